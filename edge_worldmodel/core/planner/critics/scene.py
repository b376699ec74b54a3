"""What every critic looks at: the maneuvers, what was imagined for them, and where they should lead."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.planner.candidates.maneuvers import Candidates
from edge_worldmodel.core.planner.guidance.cost_to_go import CostToGo
from edge_worldmodel.core.planner.guidance.local_map import LocalMap
from edge_worldmodel.core.planner.guidance.outlook import Outlook
from edge_worldmodel.core.planner.robot_limits import RobotLimits
from edge_worldmodel.core.types import Floats, Tensor

NEAR_MOVER_M = 0.8
"""Distance from the outlook's movers within which anything imagined may be one of them."""


@dataclass(frozen=True)
class Scene:
    """One tick's candidates and their imagined futures, in the present ego frame.

    ``disturbed`` is (M, D, T + 1, 3), the poses under drawn disturbances; ``futures`` (M, F, H, 64, 64) the
    occupancy probability; ``ahead`` what is seen now, and what stands of it; ``clear_m`` the clearance that a
    pose needs from what moves, ``wall_margin_m`` the room between body and what stands;
    ``tail`` the share of worst outcomes that risk looks at; ``fade`` (T + 1,) how much a collision counts by when it
    would happen; ``harmless_mps`` the own speed below which it counts in proportion.
    """

    candidates: Candidates
    disturbed: Floats
    futures: Tensor
    ahead: Outlook
    field: CostToGo
    limits: RobotLimits
    clear_m: float
    wall_margin_m: float
    tail: float
    fade: Floats
    harmless_mps: float

    def of(self, indices: list[int], futures: Tensor) -> Scene:
        """Return the scene of some candidates with their imagined futures (len(indices), F, H, 64, 64)."""
        picked = self.candidates.pick(indices)
        return replace(self, candidates=picked, disturbed=self.disturbed[indices], futures=futures)

    def without_what_stands(self) -> Scene:
        """Return the scene with only what is imagined where nothing is seen now, nor right beside it."""
        elsewhere = ~_grown(self.ahead.seen.occupied)
        nothing = np.zeros_like(elsewhere)
        empty = LocalMap(nothing, self.ahead.seen.unknown)
        futures = self.futures * elsewhere.astype(np.float32)
        return replace(self, futures=futures, ahead=replace(self.ahead, seen=empty, standing=empty))

    def departures(self, rows: slice, columns: slice) -> Tensor:
        """Return (M, F, H, rows, columns) what is imagined beside what stands, of a part of the grid.

        Walls are imagined with soft edges, for their cells are coarse; they are seen better than that. And how things
        go on where nobody has looked yet will be seen before the robot is there, unless it moves. So right beside
        what stands only that counts by which a cell is rather occupied than not, and neither that nor what lies
        in the dark counts away from where movers are expected.
        """
        part = np.s_[..., rows, columns]
        stands, unknown = self.ahead.standing.occupied, self.ahead.seen.unknown
        beside = (_grown(stands) & ~stands)[part]
        moving = self.ahead.movers_m[1:][part] <= NEAR_MOVER_M
        counted = ~stands[part] & (moving | ~(beside | unknown[part]))
        edge = (counted & beside).astype(np.float32)
        found: Tensor = self.futures[part] * (counted.astype(np.float32) + edge)
        found -= edge
        return np.maximum(found, 0.0, out=found)


def _grown(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the cells and all their neighbours."""
    grown: NDArray[np.bool_] = cv2.dilate(cells.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return grown
