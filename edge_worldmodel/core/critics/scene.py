"""What every critic looks at: the maneuvers, what was imagined for them, and where they should lead."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from edge_worldmodel.core.cost_to_go import CostToGo
from edge_worldmodel.core.local_map import LocalMap, clearance
from edge_worldmodel.core.maneuvers import Candidates
from edge_worldmodel.core.robot_limits import RobotLimits
from edge_worldmodel.core.types import Floats, Tensor


@dataclass(frozen=True)
class Scene:
    """One tick's candidates and their imagined futures, in the present ego frame.

    ``disturbed`` is (M, D, T + 1, 3), the poses under drawn disturbances; ``futures`` (M, F, H, 64, 64) the
    occupancy probability; ``clear_m`` the clearance a pose needs; ``tail`` the share of worst outcomes that risk
    looks at; ``fade`` (T + 1,) how much a collision counts by when it would happen; ``harmless_mps``
    the own speed below which it counts in proportion.
    """

    candidates: Candidates
    disturbed: Floats
    futures: Tensor
    surroundings: LocalMap
    field: CostToGo
    limits: RobotLimits
    clear_m: float
    tail: float
    fade: Floats
    harmless_mps: float

    def of(self, indices: list[int], futures: Tensor) -> Scene:
        """Return the scene of some candidates with their imagined futures (len(indices), F, H, 64, 64)."""
        picked = self.candidates.pick(indices)
        return replace(self, candidates=picked, disturbed=self.disturbed[indices], futures=futures)

    def without_what_stands(self) -> Scene:
        """Return the scene with only what is imagined where nothing stands now, nor right beside it."""
        nothing = np.zeros_like(self.surroundings.occupied)
        elsewhere = cv2.dilate(self.surroundings.occupied.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
        return replace(
            self,
            futures=self.futures * elsewhere.astype(np.float32),
            surroundings=LocalMap(nothing, self.surroundings.unknown, clearance(nothing)),
        )
