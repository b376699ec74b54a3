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
_FAR_M = 20.0
"""Clearance where the grid holds no obstacle at all."""


@dataclass(frozen=True)
class LocalMap:
    """Ego grid at the reference time, all arrays (64, 64) [iy, ix] in the present ego frame."""

    occupied: NDArray[np.bool_]
    unknown: NDArray[np.bool_]
    clearance_m: Tensor

    def clearance_at(self, points: ArrayLike) -> Floats:
        """Return (...) the distance from points (..., 2) to the nearest obstacle, to within half a cell."""
        return lookup(self.clearance_m, points).astype(np.float64)

    def clearance_along(self, paths: Floats) -> Floats:
        """Return (..., T) the same along paths (..., T, 2), interpolated: a gap asks for more than half a cell."""
        return along(self.clearance_m, paths)


def local_map(frame: Tensor) -> LocalMap:
    """Read a frame (2, 64, 64) of occupied and observed free."""
    occupied, free = frame[0] >= 0.5, frame[1] >= 0.5
    return LocalMap(occupied, ~(occupied | free), clearance(occupied))


def clearance(occupied: NDArray[np.bool_]) -> Tensor:
    """Return (64, 64) the distance in metres from each cell's centre to the nearest occupied cell's edge."""
    if not occupied.any():
        return np.full(occupied.shape, _FAR_M, np.float32)
    cells = cv2.distanceTransform((~occupied).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    metres: Tensor = np.maximum((cells - 0.5) * EGO_GRID.cell_size_m, 0.0).astype(np.float32)
    return metres


def too_close(clearance_m: Floats | Tensor, needed_m: float | Floats) -> NDArray[np.bool_]:
    """Return (...) whether a clearance is not more than what is needed; the same rule for maps, paths and kernels."""
    close: NDArray[np.bool_] = clearance_m < needed_m + ROUNDING_M
    return close


def cells_of(points: ArrayLike) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return (iy, ix) of points (..., 2) in the ego frame; outside points count as the nearest border cell."""
    position = EGO_GRID.fractional_cells(np.asarray(points, np.float64))
    cells = np.minimum(np.maximum(position, 0.0), EGO_GRID.cells - 1.0).astype(np.intp)
    return cells[..., 1], cells[..., 0]


def along(values: Tensor, paths: Floats) -> Floats:
    """Return (..., T) grid values (64, 64) along paths (..., T, 2), interpolated between the cells' centres."""
    position = (EGO_GRID.fractional_cells(paths) - 0.5).astype(np.float32)
    x, y = np.moveaxis(position.reshape(-1, *paths.shape[-2:]), -1, 0)
    found = cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float64).reshape(paths.shape[:-1])


def lookup(values: Tensor, points: ArrayLike) -> Tensor:
    """Return (...) the grid values (64, 64) at points (..., 2)."""
    iy, ix = cells_of(points)
    found: Tensor = values.reshape(-1)[iy * EGO_GRID.cells + ix]
    return found
