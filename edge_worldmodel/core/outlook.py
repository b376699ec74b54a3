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
from edge_worldmodel.core.local_map import LocalMap, cells_of, clearance, local_map
from edge_worldmodel.core.robot_limits import DT_S
from edge_worldmodel.core.types import Floats, Tensor

_SOFT_CELLS = 1.5


@dataclass(frozen=True)
class Outlook:
    """The present as seen, the same without what moves, and clearances (1 + H, 64, 64) in metres at 0, 0.4 .. 3.2 s."""

    seen: LocalMap
    standing: LocalMap
    clearance_m: Tensor
    crossed: Tensor

    def clearance_along(self, poses: Floats) -> Floats:
        """Return (N, T + 1) the clearance of poses (N, T + 1, 2 or more), every DT_S, each at its own time."""
        iy, ix = cells_of(poses[..., :2])
        found: Floats = self.clearance_m[frames_at(poses.shape[1]), iy, ix].astype(np.float64)
        return found


def outlook(present: Tensor, motion: Tensor) -> Outlook:
    """Return the outlook.

    Args:
        present: (2, 64, 64), occupied and observed free.
        motion: (1 + H, 64, 64), what moves, now and at each imagined time: ``motion_forecast``.
    """
    seen = local_map(present)
    now, *ahead = motion >= 0.5
    if not now.any():
        still = np.broadcast_to(seen.clearance_m, (1 + len(ahead), *now.shape))
        return Outlook(seen, seen, still, np.zeros_like(seen.clearance_m))
    stands = seen.occupied & ~now
    standing = LocalMap(stands, seen.unknown, clearance(stands))
    later = [clearance(stands | moved) for moved in ahead]
    return Outlook(seen, standing, np.stack([seen.clearance_m, *later]), _crossed(np.stack(ahead)))


def _crossed(ahead: NDArray[np.bool_]) -> Tensor:
    """Return (64, 64) 1 where movers come by, falling to 0 beside their ways."""
    ways = cv2.dilate(ahead.any(axis=0).astype(np.float32), np.ones((3, 3), np.uint8))
    soft: Tensor = cv2.GaussianBlur(ways, (0, 0), _SOFT_CELLS).astype(np.float32, copy=False)
    return soft


def frames_at(poses: int) -> NDArray[np.intp]:
    """Return (poses,) the frame nearest in time to each pose: 0 the present one, k the k-th forecast one."""
    frame = np.floor(np.arange(poses) * DT_S / tensors.HORIZON_STEP_S + 0.5).astype(np.intp)
    return np.minimum(frame, tensors.HORIZON_STEPS)
