"""What is where, and when, if whatever moves keeps its velocity: a first glance that costs no imagination.

The way to the goal is looked for among what stands, since what moves will have moved; maneuvers are sorted by what
each of them would meet, and when.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core import tensors
from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.planner.guidance.local_map import LocalMap, cells_of, clearance, local_map, without
from edge_worldmodel.core.planner.robot_limits import DT_S, RobotLimits
from edge_worldmodel.core.types import Floats, Tensor

_SOFT_CELLS = 1.5


@dataclass(frozen=True)
class Outlook:
    """The present as seen, the same without what moves, and what moves.

    ``movers_m`` (1 + H, 64, 64) is the distance in metres to the nearest mover at 0, 0.4 .. 3.2 s, ``crossed``
    (64, 64) 1 where movers come by and 0 where none do.
    """

    seen: LocalMap
    standing: LocalMap
    movers_m: Tensor
    crossed: Tensor

    def room_along(self, poses: Floats, limits: RobotLimits, more_m: float = 0.0) -> Floats:
        """Return (N, T + 1) the room in metres round the footprint at poses (N, T + 1, 3), every DT_S.

        The body keeps away from what stands, the circle round it from what moves, by ``more_m`` more. Negative: they
        overlap.
        """
        beside = room_beside(self.standing, poses, limits)
        iy, ix = cells_of(poses[..., :2])
        cell = frames_at(poses.shape[1]) * EGO_GRID.cells**2 + iy * EGO_GRID.cells + ix
        room: Floats = np.minimum(self.movers_m.reshape(-1)[cell] - (limits.radius_m + more_m), beside)
        return room


def room_beside(standing: LocalMap, poses: Floats, limits: RobotLimits) -> Floats:
    """Return (..., T) the room in metres between what stands and the body at poses (..., T, 3)."""
    if limits.discs_m == (0.0,):
        alone: Floats = standing.clearance_along(poses[..., :2]) - limits.body_radius_m
        return alone
    cos, sin = np.cos(poses[..., 2]), np.sin(poses[..., 2])
    discs = (np.stack([poses[..., 0] + x * cos, poses[..., 1] + x * sin], axis=-1) for x in limits.discs_m)
    room: Floats = np.minimum.reduce([standing.clearance_along(disc) for disc in discs]) - limits.body_radius_m
    return room


def outlook(present: Tensor, motion: Tensor, points: Tensor | None = None) -> Outlook:
    """Return the outlook.

    Args:
        present: (2, 64, 64), occupied and observed free.
        motion: (1 + H, 64, 64), what moves, now and at each imagined time: ``motion_forecast``.
        points: (n, 2) in the ego frame, what was hit; None: only the cells are known.
    """
    seen = local_map(present, points)
    now, *ahead = motion >= 0.5
    if not now.any():
        nobody_m = np.broadcast_to(clearance(now), (1 + len(ahead), *now.shape))
        return Outlook(seen, seen, nobody_m, np.zeros(now.shape, np.float32))
    movers_m = np.stack([clearance(moved) for moved in (now, *ahead)])
    return Outlook(seen, without(seen, now), movers_m, _crossed(np.stack(ahead)))


def _crossed(ahead: NDArray[np.bool_]) -> Tensor:
    """Return (64, 64) 1 where movers come by, falling to 0 beside their ways."""
    ways = cv2.dilate(ahead.any(axis=0).astype(np.float32), np.ones((3, 3), np.uint8))
    soft: Tensor = cv2.GaussianBlur(ways, (0, 0), _SOFT_CELLS).astype(np.float32, copy=False)
    return soft


def frames_at(poses: int) -> NDArray[np.intp]:
    """Return (poses,) the frame nearest in time to each pose: 0 the present one, k the k-th forecast one."""
    frame = np.floor(np.arange(poses) * DT_S / tensors.HORIZON_STEP_S + 0.5).astype(np.intp)
    return np.minimum(frame, tensors.HORIZON_STEPS)
