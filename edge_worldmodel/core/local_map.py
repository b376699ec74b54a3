"""The present frame as the planner sees it: what is occupied, what is unknown, how far the next obstacle is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.types import Floats, Tensor

ROUNDING_M = 1e-4
"""Clearances are compared to within this."""
_FINE = 4
"""Fine cells along a cell, 5 cm each."""
_FAR_M = 20.0
"""Clearance where the grid holds no obstacle at all."""


@dataclass(frozen=True)
class LocalMap:
    """Ego grid at the reference time, [iy, ix] in the present ego frame.

    ``occupied``, ``unknown`` and ``clearance_m`` are (64, 64); ``fine_m`` holds the clearances as finely as they are
    known, (256, 256) where the points are known that the cells were drawn from. A cell's clearance is then that of its
    best spot: a gap leads through a cell when it leads through a part of it.
    """

    occupied: NDArray[np.bool_]
    unknown: NDArray[np.bool_]
    clearance_m: Tensor
    fine_m: Tensor

    def clearance_at(self, points: ArrayLike) -> Floats:
        """Return (...) the distance from points (..., 2) to the nearest obstacle, to within half a cell."""
        return lookup(self.fine_m, points).astype(np.float64)

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
    return _with_clearance(occupied, ~(occupied | free), points)


def without(seen: LocalMap, moving: NDArray[np.bool_], points: Tensor | None = None) -> LocalMap:
    """Return a map without some cells (64, 64) and the points (n, 2) in them; what they hid stays unknown."""
    kept = None if points is None else points[~moving[cells_of(points)]]
    return _with_clearance(seen.occupied & ~moving, seen.unknown, kept)


def _with_clearance(occupied: NDArray[np.bool_], unknown: NDArray[np.bool_], points: Tensor | None) -> LocalMap:
    if points is None or not len(points):
        coarse_m = clearance(occupied)
        return LocalMap(occupied, unknown, coarse_m, coarse_m)
    drawn = np.zeros((_FINE * EGO_GRID.cells, _FINE * EGO_GRID.cells), bool)
    drawn[cells_of(points, len(drawn))] = True
    fine_m = clearance(drawn)
    return LocalMap(occupied, unknown, _best_of_each_cell(fine_m), fine_m)


def _best_of_each_cell(fine_m: Tensor) -> Tensor:
    # Row by row, then column by column: nearly twenty times as fast as a reduction over blocks.
    rows = np.maximum.reduce([fine_m[i::_FINE] for i in range(_FINE)])
    best_m: Tensor = np.maximum.reduce([rows[:, i::_FINE] for i in range(_FINE)])
    return best_m


def clearance(occupied: NDArray[np.bool_]) -> Tensor:
    """Return (n, n) the distance in metres from each cell's centre to the nearest occupied cell's edge."""
    if not occupied.any():
        return np.full(occupied.shape, _FAR_M, np.float32)
    cells = cv2.distanceTransform((~occupied).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    metres: Tensor = np.asarray(cells, np.float32)
    metres -= np.float32(0.5)
    metres *= np.float32(EGO_GRID.extent_m / len(occupied))
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
