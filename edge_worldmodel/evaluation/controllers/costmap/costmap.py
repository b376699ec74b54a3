"""A rolling costmap in the odom frame: rays clear cells, hits mark them, and cells keep their state until seen again.

It corresponds to Nav2's costmap with an obstacle layer, with distances to the nearest obstacle instead of inflated
costs.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.geometry import transform_points
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.types import Floats, Tensor
from edge_worldmodel.evaluation.controllers.costmap.footprint import FootprintDiscs

CELL_M = 0.05
CELLS = 256
"""12.8 m, as wide as the ego grid of our own planner."""
_UNKNOWN, _FREE, _OCCUPIED = 0, 1, 2
_FAR_M = 20.0
# Number of fractional bits in coordinates for drawing with OpenCV.
_SHIFT = 6
_FARTHEST_CELL = 2.0**15


class Costmap:
    """Cells [iy, ix] of the odom frame around the robot: unknown, free or occupied."""

    def __init__(self, footprint: FootprintDiscs) -> None:
        """Start with unknown cells around the origin."""
        self._footprint = footprint
        self._state = np.zeros((CELLS, CELLS), np.uint8)
        self._corner = np.full(2, -CELLS // 2)
        self._distance_m: Tensor | None = None

    @property
    def origin(self) -> Floats:
        """Lower corner (2,) of cell (0, 0) in the odom frame."""
        return self._corner * CELL_M

    @property
    def centre(self) -> Floats:
        """Centre (2,) of the map in the odom frame, within a cell of the robot."""
        return self.origin + 0.5 * CELLS * CELL_M

    @property
    def occupied(self) -> NDArray[np.bool_]:
        """Occupied cells, (CELLS, CELLS) bool."""
        return self._state == _OCCUPIED

    @property
    def unknown(self) -> NDArray[np.bool_]:
        """Cells that were never observed, (CELLS, CELLS) bool."""
        return self._state == _UNKNOWN

    @property
    def distance_m(self) -> Tensor:
        """Distance in metres from each cell to the nearest occupied one; computed on demand."""
        if self._distance_m is None:
            self._distance_m = _distance(self._state)
        return self._distance_m

    def update(self, sweep: Sweep, pose: Floats) -> None:
        """Update the map with a sweep from a base pose (3,) in the odom frame."""
        self._follow(pose[:2])
        origin = (transform_points(pose, sweep.origin) - self.origin) / CELL_M
        ends = (transform_points(pose, sweep.endpoints) - self.origin) / CELL_M
        self._clear(origin, ends)
        self._mark(ends[sweep.hit])
        # Cells under the robot are free; otherwise old hits there would block it.
        for centre in self._footprint.discs(np.asarray(pose, np.float64)).reshape(-1, 2):
            at = np.rint(((centre - self.origin) / CELL_M - 0.5) * 2**_SHIFT).astype(int)
            radius = int(self._footprint.inscribed_m / CELL_M * 2**_SHIFT)
            cv2.circle(self._state, at.tolist(), radius, _FREE, -1, cv2.LINE_8, _SHIFT)
        self._distance_m = None

    def distance_at(self, points: NDArray[np.floating]) -> Tensor:
        """Return the distance (...) in metres from points (..., 2) in the odom frame to the nearest occupied cell."""
        return self.distance_of(points[..., 0], points[..., 1])

    def distance_of(self, x: NDArray[np.floating], y: NDArray[np.floating]) -> Tensor:
        """Return the same for points given as coordinates x and y."""
        origin = self.origin.astype(x.dtype)
        cells = _along(y, origin[1]) * CELLS + _along(x, origin[0])
        return np.take(self.distance_m.reshape(-1), cells)

    def cells_of(self, points: NDArray[np.floating]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return (iy, ix) of points (..., 2) in the odom frame; outside points count as the nearest border cell."""
        origin = self.origin.astype(points.dtype)
        return _along(points[..., 1], origin[1]), _along(points[..., 0], origin[0])

    def without(self, centres: Floats, radii_m: Floats) -> Tensor:
        """Return ``distance_m`` without the obstacles inside discs (centres (n, 2), radii (n,)) of the odom frame."""
        if len(centres) == 0:
            return self.distance_m
        state = self._state.copy()
        for centre, radius_m in zip((centres - self.origin) / CELL_M - 0.5, radii_m, strict=True):
            at, radius = np.rint(centre * 2**_SHIFT).astype(int), int(radius_m / CELL_M * 2**_SHIFT)
            cv2.circle(state, at.tolist(), radius, _FREE, -1, cv2.LINE_8, _SHIFT)
        return _distance(state)

    def _follow(self, position: Floats) -> None:
        corner = np.floor(position / CELL_M).astype(int) - CELLS // 2
        dx, dy = corner - self._corner
        self._corner = corner
        if dx == 0 and dy == 0:
            return
        moved = np.zeros_like(self._state)
        if abs(dx) < CELLS and abs(dy) < CELLS:
            kept = self._state[max(dy, 0) : CELLS + min(dy, 0), max(dx, 0) : CELLS + min(dx, 0)]
            y, x = max(-dy, 0), max(-dx, 0)
            moved[y : y + kept.shape[0], x : x + kept.shape[1]] = kept
        self._state = moved

    def _clear(self, origin: Floats, ends: Floats) -> None:
        rays = ends - origin
        lengths = np.maximum(np.hypot(rays[:, 0], rays[:, 1]), 1e-6)
        # A ray clears up to one cell before its hit, so that it does not clear hits of neighbouring rays.
        reach = np.clip(lengths - 1.0, 0.0, 2 * CELLS) / lengths
        line = np.empty((len(ends), 2, 2), np.int32)
        line[:, 0] = np.rint((origin - 0.5) * 2**_SHIFT)
        line[:, 1] = np.rint((origin + rays * reach[:, None] - 0.5) * 2**_SHIFT)
        cv2.polylines(self._state, [line.reshape(-1, 1, 2)], False, _FREE, 1, cv2.LINE_8, _SHIFT)

    def _mark(self, hits: Floats) -> None:
        cells = np.floor(np.clip(hits, -1.0, _FARTHEST_CELL)).astype(np.intp)
        inside = np.all((cells >= 0) & (cells < CELLS), axis=-1)
        self._state[cells[inside, 1], cells[inside, 0]] = _OCCUPIED


def _along(coordinate: NDArray[np.floating], origin: np.floating[Any]) -> NDArray[np.intp]:
    """Return the cells of coordinates along one axis."""
    cells = np.asarray((coordinate - origin) * (1.0 / CELL_M))
    np.clip(cells, 0, CELLS - 1, out=cells)
    return cells.astype(np.intp)


def _distance(state: NDArray[np.uint8]) -> Tensor:
    away = (state != _OCCUPIED).astype(np.uint8)
    if away.all():
        return np.full(state.shape, _FAR_M, np.float32)
    metres: Tensor = cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_5) * np.float32(CELL_M)
    return metres
