"""The way to the goal that all baselines follow, where Nav2 would have its global planner.

The cost-to-go field of core/cost_to_go.py, the one that our own planner is guided by, over the costmap of the scan
history. A coarse cell counts as passable when any point in it is: narrow gaps are left to the local planner.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.planner.guidance.cost_to_go import CostToGoConfig, cost_to_go
from edge_worldmodel.core.planner.guidance.local_map import LocalMap
from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.controllers.costmap.costmap import CELLS, Costmap
from edge_worldmodel.evaluation.controllers.costmap.footprint import FootprintDiscs

SPACING_M = 0.05
"""Between points of a path."""
_SMOOTHING = 9
_MARGIN_M = 0.07
_COSTS = CostToGoConfig(near_factor=3.0, near_distance_m=0.3)


class Guidance:
    """Finds the cheapest way to the goal, again and again."""

    def __init__(self, footprint: FootprintDiscs, period_ticks: int = 2) -> None:
        """Look for a new way every ``period_ticks`` looks."""
        self._radius_m = footprint.radius_m + _MARGIN_M
        self._period_ticks, self._tick = period_ticks, 0
        self._path = np.zeros((0, 2))

    def path(self, costmap: Costmap, position: Floats, goal: Floats) -> Floats:
        """Return (n, 2) points of the way from a position (2,) to the goal (2,), all in the odom frame."""
        if self._tick % self._period_ticks == 0:
            centre = costmap.centre
            field = cost_to_go(coarse(costmap), goal - centre, self._radius_m, _COSTS, whole=False)
            self._path = _even(_smooth(_even(np.concatenate([position[None], centre + field.route()]))))
        self._tick += 1
        return _from(self._path, position)


def coarse(costmap: Costmap) -> LocalMap:
    """Return the costmap with the cells of the ego grid, though along the axes of the odom frame."""
    return LocalMap(
        occupied=_pooled(np.logical_or, costmap.occupied),
        unknown=_pooled(np.logical_and, costmap.unknown),
        measured_m=costmap.distance_m,
    )


def _pooled(operation: np.ufunc, values: NDArray[Any]) -> NDArray[Any]:
    """Put the fine cells of every coarse one together; far faster than a reduction over axes of four."""
    block = CELLS // EGO_GRID.cells
    for _ in range(2):
        rows = values[::block]
        for i in range(1, block):
            rows = operation(rows, values[i::block])
        values = rows.T
    return values


def _even(points: Floats) -> Floats:
    """Return the same way with points every SPACING_M."""
    if len(points) < 2:
        return points
    way = np.append(0.0, np.cumsum(np.hypot(*np.diff(points, axis=0).T)))
    at = np.append(np.arange(0.0, way[-1], SPACING_M), way[-1])
    return np.stack([np.interp(at, way, points[:, 0]), np.interp(at, way, points[:, 1])], axis=-1)


def _smooth(points: Floats) -> Floats:
    """Even out the steps of the grid; both ends stay."""
    if len(points) < 3:
        return points
    half = _SMOOTHING // 2
    padded = np.concatenate([np.repeat(points[:1], half, 0), points, np.repeat(points[-1:], half, 0)])
    kernel = np.full(_SMOOTHING, 1.0 / _SMOOTHING)
    smooth = np.stack([np.convolve(padded[:, i], kernel, "valid") for i in (0, 1)], axis=-1)
    smooth[0], smooth[-1] = points[0], points[-1]
    return smooth


def _from(path: Floats, position: Floats) -> Floats:
    """Return the rest of a path (n, 2) from its point nearest to a position on, at least its end."""
    nearest = int(np.argmin(np.hypot(*(path - position).T)))
    return path[nearest:]
