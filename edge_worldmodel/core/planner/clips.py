"""The clips that one tick imagined, candidate by candidate as they come."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_worldmodel.core.model.world_model import Imagination
from edge_worldmodel.core.types import Tensor


@dataclass
class Clips:
    """What was imagined until now, and its price.

    ``of`` holds latents (F, Cl, 16, 16) and occupancy (F, H, 64, 64) by candidate; ``steps`` is the most denoising
    steps that a batch took, ``networks_s`` the time of all of them.
    """

    futures: int
    noise_level: float = 1.0
    steps: int = 0
    networks_s: float = 0.0
    of: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def add(self, batch: list[int], imagination: Imagination, futures: Tensor, took_s: float) -> None:
        """Keep the clips of a batch of candidates: occupancy (len(batch) * F, H, 64, 64) and its latents."""
        for number, index in enumerate(batch):
            rows = slice(number * self.futures, (number + 1) * self.futures)
            self.of[index] = imagination.latents[rows], futures[rows]
        self.steps, self.noise_level = max(self.steps, imagination.steps), imagination.noise_level
        self.networks_s += took_s
