"""The supervisor's own, plain look at a point cloud: a fixed height slab, no fitted floor, nothing to go wrong.

More careful than perception's, and quick enough for the safety path: whatever rises above the nominal floor
counts, a steep ramp included.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.types import Floats

_DIRECTIONS = 720


def sweep_from_points(stamp_ns: int, points: Floats, origin: Floats, low_m: float, high_m: float) -> Sweep:
    """Reduce a cloud to the nearest obstacle in each of 720 directions.

    Args:
        stamp_ns: time of the cloud.
        points: (n, 3) in metres in the base frame, all finite.
        origin: (3,) of the sensor in the base frame.
        low_m: lowest height above the base frame's floor that counts.
        high_m: highest height that counts, usually the robot's.

    Returns:
        One ray per direction in which there is any point: to the nearest obstacle, or free to the farthest
        point beside the slab (floor, ceiling).
    """
    offset = points[:, :2] - origin[:2]
    range_m = np.hypot(offset[:, 0], offset[:, 1])
    turn = np.arctan2(offset[:, 1], offset[:, 0]) / (2.0 * np.pi) + 0.5
    direction = np.minimum((turn * _DIRECTIONS).astype(np.intp), _DIRECTIONS - 1)
    obstacle = (points[:, 2] >= low_m) & (points[:, 2] <= high_m)
    ends = [_pick(np.flatnonzero(obstacle), direction, range_m)]
    beside = _pick(np.flatnonzero(~obstacle), direction, -range_m)
    ends.append(beside[~np.isin(direction[beside], direction[ends[0]])])
    chosen = np.concatenate(ends)
    return Sweep(stamp_ns, origin[:2].copy(), points[chosen, :2], np.arange(len(chosen)) < len(ends[0]))


def _pick(rows: NDArray[np.intp], direction: NDArray[np.intp], order: Floats) -> NDArray[np.intp]:
    """Return, of the given rows, those of lowest order in their direction."""
    lowest = np.full(_DIRECTIONS, np.inf)
    np.minimum.at(lowest, direction[rows], order[rows])
    chosen: NDArray[np.intp] = rows[order[rows] <= lowest[direction[rows]]]
    return chosen
