"""The cost-to-go: the length of the shortest collision-free way to the goal from each cell.

The distances come from a wavefront (``wavefront.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.geometry import wrap_angle
from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.planner.guidance.local_map import LocalMap, cells_of, too_close
from edge_worldmodel.core.planner.guidance.wavefront import UNREACHED_M, following, spread
from edge_worldmodel.core.types import Floats, Points, Pose, Tensor

FACING_AWAY_SHARE = 0.3
"""A robot that faces opposite to its way pays this share of the way left, at most of the way that it can drive within
the horizon. Without this cost, turning towards the way would gain nothing."""
_CELLS = EGO_GRID.cells
_CENTRES = EGO_GRID.cell_centres()
_CORNERS = np.array([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
_CORNER_CELLS = np.array([0, 1, _CELLS, _CELLS + 1], np.intp)
_BORDER = np.ones((_CELLS, _CELLS), bool)
_BORDER[1:-1, 1:-1] = False
_ROBOT = _CELLS // 2, _CELLS // 2
"""Cell (iy, ix) of the robot."""


@dataclass(frozen=True)
class CostToGoConfig(Config):
    """Cost of driving one metre, by the kind of cell."""

    unknown_factor: float = param(1.5, "cost of a metre through unobserved cells, relative to free ones", minimum=1.0)
    blocked_factor: float = param(50.0, "cost of a metre through cells the footprint cannot enter", minimum=1.0)
    near_factor: float = param(2.0, "cost of a metre right beside an obstacle, falling to 1", minimum=1.0)
    visited_factor: float = param(3.0, "cost of a metre where movers will pass, relative to others", minimum=1.0)
    near_distance_m: float = param(0.4, "clearance at which obstacles no longer add cost", minimum=0.01)


@dataclass(frozen=True)
class CostToGo:
    """The way to the goal from every cell, in the present ego frame.

    Attributes:
        distance_m: (64, 64) weighted metres still to go; zero without a goal.
        goal: (2,) the goal, moved to the nearest free cell if it lies in an obstacle; None: no goal.
        following: (4096,) flat index iy * 64 + ix of the next cell on the way from each cell; its own index where the
            way ends or leaves the grid.
    """

    distance_m: Tensor
    goal: Points | None
    following: NDArray[np.intp]

    def at(self, points: ArrayLike) -> Floats:
        """Return the weighted metres (...) still to go from points (..., 2)."""
        points = np.asarray(points, dtype=np.float64)
        if self.goal is None:
            return np.zeros(points.shape[:-1])
        position = points / EGO_GRID.cell_size_m + 0.5 * _CELLS - 0.5
        corner = np.minimum(np.maximum(np.floor(position), 0.0), _CELLS - 2.0)
        offset = position - corner
        gap = np.hypot(offset[..., None, 0] - _CORNERS[:, 0], offset[..., None, 1] - _CORNERS[:, 1])
        ix, iy = corner[..., 0].astype(np.intp), corner[..., 1].astype(np.intp)
        known = self.distance_m.reshape(-1)[(iy * _CELLS + ix)[..., None] + _CORNER_CELLS]
        best = (known + gap * EGO_GRID.cell_size_m).min(axis=-1)
        # Close to the goal the straight line is used, because distances between cell centres are too coarse there.
        direct = np.hypot(points[..., 0] - self.goal[0], points[..., 1] - self.goal[1])
        distance: Floats = np.where(direct < 2.0 * EGO_GRID.cell_size_m, direct, best)
        return distance

    def heading(self, points: ArrayLike, moves: int = 4) -> Floats:
        """Return the yaw (...) in rad from points (..., 2) to the cell ``moves`` grid moves further along the way."""
        points = np.asarray(points, dtype=np.float64)
        if self.goal is None:
            return np.zeros(points.shape[:-1])
        iy, ix = cells_of(points)
        cell = iy * _CELLS + ix
        for _ in range(moves):
            cell = self.following[cell]
        target = np.where((self.following[cell] == cell)[..., None], self.goal, _centres(cell))
        offset = target - points
        yaw: Floats = np.arctan2(offset[..., 1], offset[..., 0])
        return yaw

    def facing_away(self, poses: Pose) -> Floats:
        """Return how far poses (..., 3) face away from the way, as (...): 0 is along it, 1 is opposite to it."""
        away: Floats = np.abs(wrap_angle(self.heading(poses[..., :2]) - poses[..., 2])) / np.pi
        return away

    def route(self) -> Points:
        """Return points (n, 2) from the robot along the cheapest way, the goal last; empty without a goal."""
        if self.goal is None:
            return np.zeros((0, 2))
        cells = [_ROBOT[0] * _CELLS + _ROBOT[1]]
        while len(cells) < 2 * _CELLS and (following := self.following.item(cells[-1])) != cells[-1]:
            cells.append(following)
        return np.concatenate([_centres(np.array(cells[1:], dtype=np.intp)), self.goal[None]])


def cost_to_go(
    obstacles: LocalMap,
    goal: ArrayLike | None,
    radius_m: float,
    config: CostToGoConfig | None = None,
    *,
    visited: Tensor | None = None,
    whole: bool = True,
) -> CostToGo:
    """Measure the way to the goal from every cell.

    Args:
        obstacles: the map to go round.
        goal: (2,) in the present ego frame; None: all distances are zero. For a goal outside the grid, the straight
            distance from the border of the grid to the goal is added.
        radius_m: footprint radius with margin. Cells with less clearance are costly but not impassable, so that a robot
            inside one finds the way out.
        config: cost of a metre.
        visited: (64, 64), 1 in cells where movers will pass, 0 in others; None: there are no movers.
        whole: whether all distances are needed. If not, the computation takes half the time, ``route`` is the same, and
            distances are too high in cells farther from the goal than the robot.
    """
    if goal is None:
        cells = np.arange(_CELLS * _CELLS)
        return CostToGo(np.zeros((_CELLS, _CELLS), np.float32), None, cells)
    goal = np.asarray(goal, dtype=np.float64)[:2]
    metre_cost = _metre_cost(obstacles, radius_m, config or CostToGoConfig())
    sources, goal = _sources(obstacles, goal, radius_m)
    if visited is not None:
        metre_cost *= 1.0 + np.float32((config or CostToGoConfig()).visited_factor - 1.0) * visited
    cell_cost = metre_cost * np.float32(EGO_GRID.cell_size_m)
    distance = spread(sources, cell_cost) if whole else spread(sources, cell_cost, _ROBOT)
    return CostToGo(distance, goal, following(distance, sources))


def _metre_cost(obstacles: LocalMap, radius_m: float, config: CostToGoConfig) -> Tensor:
    beyond = np.clip((obstacles.clearance_m - radius_m) / config.near_distance_m, 0.0, 1.0)
    cost = 1.0 + (config.near_factor - 1.0) * (1.0 - beyond) ** 2
    cost = np.where(obstacles.unknown, cost * config.unknown_factor, cost)
    return np.where(too_close(obstacles.clearance_m, radius_m), config.blocked_factor, cost).astype(np.float32)


def _sources(obstacles: LocalMap, goal: Points, radius_m: float) -> tuple[Tensor, Points]:
    """Return the distances (64, 64) at the cells where ways end, and the goal, moved out of an obstacle if needed."""
    sources = np.full((_CELLS, _CELLS), UNREACHED_M, np.float32)
    blocked = too_close(obstacles.clearance_m, radius_m)
    if np.abs(goal).max() < 0.5 * EGO_GRID.extent_m:
        if blocked[cells_of(goal)] and not blocked.all():
            distance_m = np.hypot(*np.moveaxis(_CENTRES - goal, -1, 0))
            distance_m[blocked] = np.inf
            goal = _CENTRES[np.unravel_index(np.argmin(distance_m), distance_m.shape)]
        iy, ix = cells_of(goal)
        sources[iy, ix] = np.hypot(*(_CENTRES[iy, ix] - goal))
        return sources, goal
    # The way to a goal outside the grid leaves it through a border cell that the robot can enter.
    ways_out = _BORDER & ~blocked
    sources[ways_out] = np.hypot(*(_CENTRES[ways_out] - goal).T)
    return sources, goal


def _centres(cells: NDArray[np.intp]) -> Points:
    """Return the centres (..., 2) in metres of cells given by flat indices (...)."""
    iy, ix = np.divmod(cells, _CELLS)
    centres: Points = (np.stack([ix, iy], axis=-1) + 0.5 - 0.5 * _CELLS) * EGO_GRID.cell_size_m
    return centres
