"""Reduces a point cloud to a sweep for the supervisor, by a fixed height slab, and large sweeps to bounded ones.

This is more cautious than perception, which fits a floor: any point above the nominal floor counts as an obstacle,
also a steep ramp. There is nothing to fit, so nothing can go wrong. However many points a sensor sends, at most one
obstacle in each direction is left for the checks of a tick.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.geometry import diamond_angle
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.types import Floats, Mask, Points
from edge_worldmodel.kernels.library import nearest_by_direction

CLOUD_DIRECTIONS = 1024
"""Directions of a cloud: each 0.22 to 0.45 degrees wide."""
MAX_RAYS = 2048
"""Rays of a sweep, and directions to which a larger one is reduced."""

_Rows = NDArray[np.int64]


def sweep_from_points(
    stamp_ns: int, points: Floats, origin: Floats, low_m: float, high_m: float, delays_s: Floats | None = None
) -> Sweep:
    """Find the nearest obstacle in each of 1024 directions.

    Args:
        stamp_ns: stamp of the cloud.
        points: (n, 3) in metres in the base frame, all finite.
        origin: (3,) position of the sensor in the base frame.
        low_m: z in the base frame from which a point is an obstacle.
        high_m: z up to which a point is an obstacle, usually the robot's height.
        delays_s: (n,) time of measurement of each point after the stamp; None if it is not known.

    Returns:
        One ray in each direction that has points: to the nearest obstacle, or else a free ray to the farthest point
        outside the slab (floor or ceiling).
    """
    obstacle = (points[:, 2] >= low_m) & (points[:, 2] <= high_m)
    chosen, hits = _choose(points[:, :2] - origin[:2], obstacle, CLOUD_DIRECTIONS)
    return Sweep(
        stamp_ns=stamp_ns,
        origin=origin[:2].copy(),
        endpoints=points[chosen, :2],
        hit=np.arange(len(chosen)) < hits,
        delays_s=None if delays_s is None else delays_s[chosen],
    )


def bounded_sweep(sweep: Sweep) -> Sweep:
    """Reduce a sweep of more than MAX_RAYS rays to the nearest hit, or else the longest ray, in each direction."""
    if len(sweep.endpoints) <= MAX_RAYS:
        return sweep
    chosen, hits = _choose(sweep.endpoints - sweep.origin, sweep.hit, MAX_RAYS)
    return replace(
        sweep,
        endpoints=sweep.endpoints[chosen],
        hit=np.arange(len(chosen)) < hits,
        delays_s=None if sweep.delays_s is None else sweep.delays_s[chosen],
    )


def _choose(offsets: Points, obstacle: Mask, directions: int) -> tuple[_Rows, int]:
    """Choose in each direction the nearest obstacle, or without one the farthest other point.

    Args:
        offsets: points (n, 2) as seen from the sensor.
        obstacle: (n,) whether a point is an obstacle.
        directions: number of directions.

    Returns:
        Rows of the chosen points, obstacles first, and the number of obstacles among them.
    """
    return nearest_by_direction(offsets, obstacle, directions) or _nearest_by_direction(offsets, obstacle, directions)


def _nearest_by_direction(offsets: Points, obstacle: Mask, directions: int) -> tuple[_Rows, int]:
    """Do the same as the kernel, its twin."""
    range2 = offsets[:, 0] * offsets[:, 0] + offsets[:, 1] * offsets[:, 1]
    direction = np.minimum((diamond_angle(offsets) * (directions / 4.0)).astype(np.int64), directions - 1)
    nearest = _first_lowest(np.flatnonzero(obstacle), direction, range2, directions)
    farthest = _first_lowest(np.flatnonzero(~obstacle), direction, -range2, directions)
    hits = nearest[nearest >= 0]
    return np.concatenate((hits, farthest[(nearest < 0) & (farthest >= 0)])), len(hits)


def _first_lowest(rows: _Rows, direction: _Rows, order: Floats, directions: int) -> _Rows:
    """Return (directions,) the first of those rows that have the lowest order in their direction; -1: none."""
    lowest = np.full(directions, np.inf)
    np.minimum.at(lowest, direction[rows], order[rows])
    tied = rows[order[rows] <= lowest[direction[rows]]]
    first = np.full(directions, -1, dtype=np.int64)
    # Where a direction repeats, the last assignment stays: in reverse that is the first row.
    first[direction[tied[::-1]]] = tied[::-1]
    return first
