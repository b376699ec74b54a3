"""The present frame as the planner sees it: what is occupied, what is unknown, how far the next obstacle is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.types import Floats, Tensor

ROUNDING_M = 1e-4
"""Clearances are compared to within this."""
_FINE_CELLS = 4 * EGO_GRID.cells
"""Fine cells along the grid, 5 cm each."""
_FAR_M = 20.0
"""Clearance where the grid holds no obstacle at all."""


@dataclass(frozen=True)
class LocalMap:
    """Ego grid at the reference time, [iy, ix] in the present ego frame; clearances are measured when first asked for.

    ``occupied`` and ``unknown`` are (64, 64), ``points`` (n, 2) what was hit, where that is known. ``measured_m`` are
    the clearances (n, n) where somebody has measured them already.
    """

    occupied: NDArray[np.bool_]
    unknown: NDArray[np.bool_]
    points: Tensor | None = None
    measured_m: Tensor | None = None

    @cached_property
    def fine_m(self) -> Tensor:
        """Return the clearances as finely as they are known: (256, 256) from points, (64, 64) from cells alone."""
        if self.measured_m is not None:
            return self.measured_m
        if self.points is None or not len(self.points):
            return clearance(self.occupied)
        free = np.ones((_FINE_CELLS, _FINE_CELLS), np.uint8)
        free[cells_of(self.points, _FINE_CELLS)] = 0
        return _metres(cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), _FINE_CELLS)

    @cached_property
    def clearance_m(self) -> Tensor:
        """Return (64, 64) the clearance of each cell's best spot: a gap leads through it when through a part of it."""
        return _best_of_each_cell(self.fine_m)

    def clearance_at(self, points: ArrayLike) -> Floats:
        """Return (...) the distance from points (..., 2) to the nearest obstacle, to within half a cell."""
        return lookup(self.fine_m, points).astype(np.float64)

    def clearance_at_few(self, points: Floats) -> Floats:
        """Return (n,) the same for a few points (n, 2): obstacle by obstacle, without measuring the whole map."""
        if self.points is None or not len(self.points) or self.measured_m is not None:
            return self.clearance_at(points)
        (here_y, here_x), (hit_y, hit_x) = cells_of(points, _FINE_CELLS), cells_of(self.points, _FINE_CELLS)
        square = (here_y[:, None] - hit_y) ** 2 + (here_x[:, None] - hit_x) ** 2
        return _metres(np.sqrt(square.min(axis=1).astype(np.float32)), _FINE_CELLS).astype(np.float64)

    def clearance_along(self, paths: Floats) -> Floats:
        """Return (..., T) the same along paths (..., T, 2), interpolated between cells."""
        return along(self.fine_m, paths)


def local_map(frame: Tensor, points: Tensor | None = None) -> LocalMap:
    """Read a frame (2, 64, 64) of occupied and observed free.

    Args:
        frame: what is seen, in cells.
        points: (n, 2) in the ego frame, what was hit, where that is known; None or none of them: only the cells are.
    """
    occupied, free = frame[0] >= 0.5, frame[1] >= 0.5
    return LocalMap(occupied, ~(occupied | free), points)


def without(seen: LocalMap, moving: NDArray[np.bool_]) -> LocalMap:
    """Return a map without some cells (64, 64) and the points in them; what they hid stays unknown."""
    kept = None if seen.points is None else seen.points[~moving[cells_of(seen.points)]]
    return LocalMap(seen.occupied & ~moving, seen.unknown, kept)


def _best_of_each_cell(fine_m: Tensor) -> Tensor:
    fine = len(fine_m) // EGO_GRID.cells
    if fine == 1:
        return fine_m
    # Row by row, then column by column: nearly twenty times as fast as a reduction over blocks.
    rows = np.maximum.reduce([fine_m[i::fine] for i in range(fine)])
    best_m: Tensor = np.maximum.reduce([rows[:, i::fine] for i in range(fine)])
    return best_m


def clearance(occupied: NDArray[np.bool_]) -> Tensor:
    """Return (n, n) the distance in metres from each cell's centre to the nearest occupied cell's edge."""
    if not occupied.any():
        return np.full(occupied.shape, _FAR_M, np.float32)
    free = (~occupied).view(np.uint8)
    return _metres(cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), len(occupied))


def _metres(cells: NDArray[Any], cells_across: int) -> Tensor:
    """Return distances between the centres of cells as those to the nearer edge, in metres; they are written over."""
    metres: Tensor = np.asarray(cells, np.float32)
    metres -= np.float32(0.5)
    metres *= np.float32(EGO_GRID.extent_m / cells_across)
    return np.maximum(metres, 0.0, out=metres)


def too_close(clearance_m: Floats | Tensor, needed_m: float | Floats) -> NDArray[np.bool_]:
    """Return (...) whether a clearance is not more than what is needed; the same rule for maps, paths and kernels."""
    close: NDArray[np.bool_] = clearance_m < needed_m + ROUNDING_M
    return close


def cells_of(points: ArrayLike, cells_across: int = EGO_GRID.cells) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return (iy, ix) of points (..., 2) in the ego frame; outside points count as the nearest border cell."""
    position = EGO_GRID.fractional_cells(np.asarray(points, np.float64)) * (cells_across / EGO_GRID.cells)
    cells = np.minimum(np.maximum(position, 0.0), cells_across - 1.0).astype(np.intp)
    return cells[..., 1], cells[..., 0]


def along(values: Tensor, paths: Floats) -> Floats:
    """Return (..., T) grid values (n, n) along paths (..., T, 2), interpolated between the cells' centres."""
    position = (EGO_GRID.fractional_cells(paths) * (len(values) / EGO_GRID.cells) - 0.5).astype(np.float32)
    x, y = np.moveaxis(position.reshape(-1, *paths.shape[-2:]), -1, 0)
    found = cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float64).reshape(paths.shape[:-1])


def lookup(values: Tensor, points: ArrayLike) -> Tensor:
    """Return (...) the grid values (n, n) at points (..., 2)."""
    iy, ix = cells_of(points, len(values))
    found: Tensor = values.reshape(-1)[iy * len(values) + ix]
    return found
