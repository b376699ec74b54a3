"""The outlook: the present scene with movers carried on at constant velocity, and the way to the goal through it.

It needs no network. The way to the goal avoids static obstacles only, because movers will have moved by then.
Maneuvers are sorted by the obstacles and movers that they would meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_worldmodel.core import tensors
from edge_worldmodel.core.geometry import relative
from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.model.context_channels import motion_frames, present_frame
from edge_worldmodel.core.planner.guidance.cost_to_go import CostToGo, cost_to_go
from edge_worldmodel.core.planner.guidance.local_map import LocalMap, cells_of, clearance, local_map, without
from edge_worldmodel.core.planner.robot_limits import DT_S, RobotLimits
from edge_worldmodel.core.types import Floats, LatentFrame, Mask, Points, Pose, Tensor

_BLUR_CELLS = 1.5


@dataclass(frozen=True)
class Outlook:
    """The scene of one tick; derived values are computed at their first use.

    Attributes:
        seen: the present frame.
        movers: (1 + H, 64, 64) cells of movers now and at each imagined time (0, 0.4 .. 3.2 s).
        goal: (2,) in the present ego frame; None: there is no goal.
        clear_m: clearance that the way to the goal keeps from static obstacles, from the robot's centre.
    """

    seen: LocalMap
    movers: Mask
    goal: Points | None
    clear_m: float

    @cached_property
    def static(self) -> LocalMap:
        """Return the present frame without movers."""
        return without(self.seen, self.movers[0]) if self._has_movers else self.seen

    @cached_property
    def movers_m(self) -> Tensor:
        """Return the distance (1 + H, 64, 64) in metres from each cell to the nearest mover at each time."""
        if not self._has_movers:
            return np.broadcast_to(clearance(self.movers[0]), self.movers.shape)
        return np.stack([clearance(cells) for cells in self.movers])

    @cached_property
    def visited(self) -> Tensor:
        """Return 1 in cells where movers will pass, falling to 0 beside their paths, as (64, 64)."""
        if not self._has_movers:
            return np.zeros(self.movers.shape[1:], np.float32)
        paths = cv2.dilate(self.movers[1:].any(axis=0).astype(np.float32), np.ones((3, 3), np.uint8))
        blurred: Tensor = cv2.GaussianBlur(paths, (0, 0), _BLUR_CELLS).astype(np.float32, copy=False)
        return blurred

    @cached_property
    def cost_to_go(self) -> CostToGo:
        """Return the cost-to-go round static obstacles, more costly where movers will pass."""
        return cost_to_go(self.static, self.goal, self.clear_m, visited=self.visited)

    def clearance_along(self, poses: Pose, limits: RobotLimits, extra_mover_margin_m: float = 0.0) -> Floats:
        """Return the clearance in metres of the footprint along trajectories.

        Args:
            poses: (N, T + 1, 3) in the present ego frame, at times DT_S apart.
            limits: the robot. Its body must clear static obstacles; the circle around it must clear movers.
            extra_mover_margin_m: subtracted from the clearance from movers.

        Returns:
            (N, T + 1) the smaller of both clearances; negative where the robot overlaps an obstacle.
        """
        static_m = body_clearance(self.static, poses, limits)
        iy, ix = cells_of(poses[..., :2])
        cell = nearest_frames(poses.shape[1]) * EGO_GRID.cells**2 + iy * EGO_GRID.cells + ix
        mover_m = self.movers_m.reshape(-1)[cell] - (limits.radius_m + extra_mover_margin_m)
        smaller: Floats = np.minimum(mover_m, static_m)
        return smaller

    @cached_property
    def _has_movers(self) -> bool:
        return bool(self.movers[0].any())


def outlook_of(frame: LatentFrame, goal: ArrayLike | None, clear_m: float) -> Outlook:
    """Return the outlook of a frame.

    Args:
        frame: encoded scene; it carries the present frame and the motion forecast.
        goal: (2,) or (3,) position in ``frame.frame_id``; None: there is no goal.
        clear_m: clearance that the way to the goal keeps from static obstacles, from the robot's centre.
    """
    if goal is not None:
        goal = relative(frame.pose, np.append(np.asarray(goal, np.float64)[:2], 0.0))[:2]
    seen = local_map(present_frame(frame.tensor), frame.obstacles)
    return Outlook(seen=seen, movers=motion_frames(frame.tensor) >= 0.5, goal=goal, clear_m=clear_m)


def body_clearance(static: LocalMap, poses: Pose, limits: RobotLimits) -> Floats:
    """Return the clearance (..., T) in metres between the body and static obstacles at poses (..., T, 3)."""
    if limits.discs_m == (0.0,):
        of_circle: Floats = static.clearance_along(poses[..., :2]) - limits.body_radius_m
        return of_circle
    cos, sin = np.cos(poses[..., 2]), np.sin(poses[..., 2])
    discs = (np.stack([poses[..., 0] + x * cos, poses[..., 1] + x * sin], axis=-1) for x in limits.discs_m)
    of_discs: Floats = np.minimum.reduce([static.clearance_along(disc) for disc in discs]) - limits.body_radius_m
    return of_discs


def nearest_frames(poses: int) -> NDArray[np.intp]:
    """Return the frame nearest in time to each pose, as (poses,): 0 is the present, k the k-th imagined frame."""
    frame = np.floor(np.arange(poses) * DT_S / tensors.HORIZON_STEP_S + 0.5).astype(np.intp)
    return np.minimum(frame, tensors.HORIZON_STEPS)
