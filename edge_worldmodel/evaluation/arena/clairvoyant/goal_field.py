"""Free space and the way to the goal among the solids of a world, on a grid."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import distance_transform_edt, map_coordinates
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from edge_worldmodel.core.types import Floats, Mask
from edge_worldmodel.sim.shapes import Box, Cylinder, Solid, clearance
from edge_worldmodel.sim.world import World

_CELL_M = 0.1
_AROUND_M = 10.0
"""The grid reaches so far beyond start and goal."""
_FAR_M = 1e3
_START_AWAY_M = 0.3
"""A start beside a wall may lie so far from the nearest cell with a way."""
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


class GoalField:
    """Clearance and cost-to-go; without solids both are exact and need no grid."""

    def __init__(self, world: World, body_radius_m: float) -> None:
        """Compute the grids.

        Args:
            world: its solids, and start and goal of its first robot.
            body_radius_m: cells nearer to a solid than this are no way.
        """
        robot = world.robots[0]
        assert robot.goal is not None
        self._goal = np.array(robot.goal[:2])
        self._open = not world.solids
        self.reachable = True
        """Whether the solids leave a way from the start to the goal."""
        if self._open:
            return
        ends = np.array([robot.start[:2], robot.goal[:2]])
        self._low = np.maximum(ends.min(axis=0) - _AROUND_M, world.bounds[:2])
        high = np.minimum(ends.max(axis=0) + _AROUND_M, world.bounds[2:])
        columns, rows = (np.ceil((high - self._low) / _CELL_M).astype(int) + 1).tolist()
        x, y = self._low[0] + _CELL_M * np.arange(columns), self._low[1] + _CELL_M * np.arange(rows)
        centres = np.stack(np.meshgrid(x, y), axis=-1)
        self._clearance_m = _clearance(world.solids, centres)
        start_cell = np.rint((np.array(robot.start[:2]) - self._low) / _CELL_M).astype(int)
        self._distance_m, away_m = self._wavefront(self._clearance_m > body_radius_m)
        self.reachable = bool(away_m[start_cell[1], start_cell[0]] < _START_AWAY_M)
        down, right = np.gradient(self._distance_m, _CELL_M)
        self._slope: Floats = np.stack([right, down])

    def clearance_m(self, points: Floats) -> Floats:
        """Return the distance (...) of points (..., 2) to the nearest solid."""
        return np.full(points.shape[:-1], _FAR_M) if self._open else self._lookup(self._clearance_m, points)

    def distance_m(self, points: Floats) -> Floats:
        """Return the length (...) of the way to the goal from points (..., 2)."""
        if self._open:
            return np.asarray(np.hypot(*np.moveaxis(self._goal - points, -1, 0)))
        return self._lookup(self._distance_m, points)

    def heading_rad(self, points: Floats) -> Floats:
        """Return the direction (...) of the way to the goal at points (..., 2)."""
        straight = np.moveaxis(self._goal - points, -1, 0)
        if self._open:
            return np.asarray(np.arctan2(straight[1], straight[0]))
        x, y = (-self._lookup(slope, points) for slope in self._slope)
        near = np.hypot(*straight) < 2 * _CELL_M
        return np.asarray(np.where(near, np.arctan2(straight[1], straight[0]), np.arctan2(y, x)))

    def _lookup(self, grid: Floats, points: Floats) -> Floats:
        cells = np.moveaxis((points - self._low) / _CELL_M, -1, 0)[::-1]
        return np.asarray(map_coordinates(grid, cells, order=1, mode="nearest"))

    def _wavefront(self, free: Mask) -> tuple[Floats, Floats]:
        """Return the distance to the goal of every cell, and how far each is from a cell with a way to the goal.

        Cells without a way continue the distance of the nearest cell with one.
        """
        count, index = free.size, np.arange(free.size).reshape(free.shape)
        pairs, costs = [], []
        for down, right in _NEIGHBOURS:
            here = index[: free.shape[0] - down, max(-right, 0) : free.shape[1] - max(right, 0)]
            there = index[down:, max(right, 0) : free.shape[1] - max(-right, 0)]
            passable = free.ravel()[here] & free.ravel()[there]
            pairs.append(np.stack([here[passable], there[passable]]))
            costs.append(np.full(passable.sum(), _CELL_M * math.hypot(down, right)))
        begin, end = np.concatenate(pairs, axis=1)
        graph = coo_matrix((np.concatenate(costs), (begin, end)), shape=(count, count)).tocsr()
        goal_cell = np.rint((self._goal - self._low) / _CELL_M).astype(int)
        from_goal = dijkstra(graph, directed=False, indices=int(index[goal_cell[1], goal_cell[0]]))
        distance_m = np.minimum(from_goal, _FAR_M).reshape(free.shape)
        away, nearest = distance_transform_edt(distance_m >= _FAR_M, return_indices=True)
        away_m = _CELL_M * np.asarray(away)
        return np.asarray(distance_m[tuple(nearest)] + 2.0 * away_m), away_m


def _clearance(solids: tuple[Solid, ...], points: Floats) -> Floats:
    """Return the distance (...) of points (..., 2) to the nearest solid; many equal cylinders by a search tree."""
    found = clearance(tuple(solid for solid in solids if isinstance(solid, Box)), points)
    cylinders = np.array([(s.x_m, s.y_m, s.radius_m) for s in solids if isinstance(s, Cylinder)]).reshape(-1, 3)
    for radius_m in np.unique(cylinders[:, 2]):
        tree = cKDTree(cylinders[cylinders[:, 2] == radius_m, :2])
        found = np.minimum(found, tree.query(points)[0] - radius_m)
    return np.minimum(found, _FAR_M)
