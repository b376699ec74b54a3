"""The path to the goal that all baselines follow, in place of Nav2's global planner.

It comes from the same cost-to-go field that guides our own planner (core/planner/guidance), on the costmap. A coarse
cell counts as passable if any point in it is, so that the local planner decides about narrow gaps.
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
"""Distance between points of a path."""
_PERIOD_TICKS = 2
_SMOOTHING = 9
_MARGIN_M = 0.07
_COSTS = CostToGoConfig(near_factor=3.0, near_distance_m=0.3)


class Guidance:
    """Finds the cheapest path to the goal and keeps it for some control periods."""

    def __init__(self, footprint: FootprintDiscs) -> None:
        """Find a new path every _PERIOD_TICKS calls."""
        self._radius_m = footprint.radius_m + _MARGIN_M
        self._tick = 0
        self._path = np.zeros((0, 2))

    def path(self, costmap: Costmap, position: Floats, goal: Floats) -> Floats:
        """Return the path (n, 2) from a position (2,) to the goal (2,), all in the odom frame."""
        if self._tick % _PERIOD_TICKS == 0:
            centre = costmap.centre
            field = cost_to_go(coarse(costmap), goal - centre, self._radius_m, _COSTS, whole=False)
            self._path = _resampled(_smoothed(_resampled(np.concatenate([position[None], centre + field.route()]))))
        self._tick += 1
        return _rest_of(self._path, position)


def coarse(costmap: Costmap) -> LocalMap:
    """Return the costmap with the cell size of the ego grid, aligned with the odom frame."""
    return LocalMap(
        occupied=_pooled(np.logical_or, costmap.occupied),
        unknown=_pooled(np.logical_and, costmap.unknown),
        measured_m=costmap.distance_m,
    )


def _pooled(operation: np.ufunc, values: NDArray[Any]) -> NDArray[Any]:
    """Combine the fine cells of every coarse cell; slices are much faster than a reduction over small axes."""
    block = CELLS // EGO_GRID.cells
    for _ in range(2):
        rows = values[::block]
        for i in range(1, block):
            rows = operation(rows, values[i::block])
        values = rows.T
    return values


def _resampled(points: Floats) -> Floats:
    """Return the same path with points every SPACING_M."""
    if len(points) < 2:
        return points
    way = np.append(0.0, np.cumsum(np.hypot(*np.diff(points, axis=0).T)))
    at = np.append(np.arange(0.0, way[-1], SPACING_M), way[-1])
    return np.stack([np.interp(at, way, points[:, 0]), np.interp(at, way, points[:, 1])], axis=-1)


def _smoothed(points: Floats) -> Floats:
    """Smooth the steps of the grid; both ends stay."""
    if len(points) < 3:
        return points
    half = _SMOOTHING // 2
    padded = np.concatenate([np.repeat(points[:1], half, 0), points, np.repeat(points[-1:], half, 0)])
    kernel = np.full(_SMOOTHING, 1.0 / _SMOOTHING)
    smooth = np.stack([np.convolve(padded[:, i], kernel, "valid") for i in (0, 1)], axis=-1)
    smooth[0], smooth[-1] = points[0], points[-1]
    return smooth


def _rest_of(path: Floats, position: Floats) -> Floats:
    """Return a path (n, 2) from its point nearest to a position on."""
    nearest = int(np.argmin(np.hypot(*(path - position).T)))
    return path[nearest:]
