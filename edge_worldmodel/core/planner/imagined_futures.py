"""The futures that one tick imagines, batch by batch."""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core import tensors
from edge_worldmodel.core.model.world_model import WorldModel
from edge_worldmodel.core.planner.candidates.candidates import Candidates
from edge_worldmodel.core.planner.planner_config import PlannerConfig
from edge_worldmodel.core.planner.request import PlanningRequest
from edge_worldmodel.core.types import LatentFrame, Tensor, WarmStart


class ImaginedFutures:
    """Imagines the futures of candidates and keeps them; all candidates are imagined from the same noise.

    Attributes:
        per_candidate: F, the number of futures of each candidate.
        by_candidate: latents (F, Cl, 16, 16) and occupancy probability (F, H, 64, 64) of each imagined candidate.
        warm_started: whether denoising starts from the request's warm start.
        steps: the most denoising steps that a batch took.
        noise_level: noise level at which denoising started.
        networks_s: time spent in the networks.
    """

    def __init__(self, world_model: WorldModel, request: PlanningRequest, config: PlannerConfig) -> None:
        """Draw the noise; nothing is imagined yet."""
        self._world_model, self._request = world_model, request
        self._warm_start = _usable(request.warm_start, request.frame, world_model.model_id)
        self.warm_started = self._warm_start is not None
        # Also at reduced effort all noise is drawn, so that later random numbers do not depend on the effort.
        noise = request.rng.standard_normal(tensors.LATENT.with_batch(config.futures), np.float32)
        self._noise = noise[: request.effort.futures(config.futures)]
        self._steps_wanted = request.effort.steps(config.steps_warm if self.warm_started else config.steps_cold)
        self.per_candidate = len(self._noise)
        self.by_candidate: dict[int, tuple[Tensor, Tensor]] = {}
        self.steps, self.noise_level, self.networks_s = 0, 1.0, 0.0

    def imagine(self, batch: list[int], candidates: Candidates) -> Tensor:
        """Imagine the futures of the candidates ``batch``.

        Returns:
            Occupancy probability (len(batch), F, H, 64, 64).

        Raises:
            LateError: the budget's time to give up has passed.
        """
        context, budget = self._request.frame.tensor, self._request.budget
        began_s = budget.elapsed_s
        imagination = self._world_model.imagine(
            context,
            candidates.pick(batch).maneuver_tensor(),
            self._noise,
            warm_start=self._warm_start,
            steps=self._steps_wanted,
            keep_going=budget.keep_going,
        )
        budget.check()
        futures = self._world_model.decode(imagination.latents, context)
        self.networks_s += budget.elapsed_s - began_s
        self.steps, self.noise_level = max(self.steps, imagination.steps), imagination.noise_level
        by_candidate = futures.reshape(len(batch), self.per_candidate, *futures.shape[1:])
        latents = imagination.latents.reshape(len(batch), self.per_candidate, *imagination.latents.shape[1:])
        self.by_candidate.update(zip(batch, zip(latents, by_candidate, strict=True), strict=True))
        return by_candidate


def _usable(warm_start: WarmStart | None, frame: LatentFrame, model_id: str) -> WarmStart | None:
    """Return the warm start if it is valid and answers this frame of this model, else None."""
    if warm_start is None or not warm_start.valid or len(warm_start.latents) == 0:
        return None
    return warm_start if warm_start.model_id == model_id and warm_start.sequence == frame.sequence else None
