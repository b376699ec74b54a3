"""Reduces a point cloud to a sweep for the supervisor, by a fixed height slab.

This is more cautious than perception, which fits a floor: any point above the nominal floor counts as an obstacle,
also a steep ramp. There is nothing to fit, so nothing can go wrong.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.types import Floats

_DIRECTIONS = 720


def sweep_from_points(stamp_ns: int, points: Floats, origin: Floats, low_m: float, high_m: float) -> Sweep:
    """Find the nearest obstacle in each of 720 directions.

    Args:
        stamp_ns: stamp of the cloud.
        points: (n, 3) in metres in the base frame, all finite.
        origin: (3,) position of the sensor in the base frame.
        low_m: z in the base frame from which a point is an obstacle.
        high_m: z up to which a point is an obstacle, usually the robot's height.

    Returns:
        One ray in each direction that has points: to the nearest obstacle, or else a free ray to the farthest point
        outside the slab (floor or ceiling).
    """
    offset = points[:, :2] - origin[:2]
    range_m = np.hypot(offset[:, 0], offset[:, 1])
    turn = np.arctan2(offset[:, 1], offset[:, 0]) / (2.0 * np.pi) + 0.5
    direction = np.minimum((turn * _DIRECTIONS).astype(np.intp), _DIRECTIONS - 1)
    obstacle = (points[:, 2] >= low_m) & (points[:, 2] <= high_m)
    ends = [_pick(np.flatnonzero(obstacle), direction, range_m)]
    outside = _pick(np.flatnonzero(~obstacle), direction, -range_m)
    ends.append(outside[~np.isin(direction[outside], direction[ends[0]])])
    chosen = np.concatenate(ends)
    return Sweep(
        stamp_ns=stamp_ns,
        origin=origin[:2].copy(),
        endpoints=points[chosen, :2],
        hit=np.arange(len(chosen)) < len(ends[0]),
    )


def _pick(rows: NDArray[np.intp], direction: NDArray[np.intp], order: Floats) -> NDArray[np.intp]:
    """Return those of the given rows that have the lowest order in their direction."""
    lowest = np.full(_DIRECTIONS, np.inf)
    np.minimum.at(lowest, direction[rows], order[rows])
    chosen: NDArray[np.intp] = rows[order[rows] <= lowest[direction[rows]]]
    return chosen
