"""Collisions of trajectories with occupancy: footprints as image kernels, and weights of collisions by their time."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.planner.guidance.local_map import too_close
from edge_worldmodel.core.planner.robot_limits import DT_S, STEPS
from edge_worldmodel.core.types import Floats, Mask, Tensor


def time_weights(stop_s: float, half_life_s: float) -> Floats:
    """Return the weight (T + 1,) of a collision at each time.

    Collisions after the time to stop count less, because a later plan can still avoid them.

    Args:
        stop_s: time to stop; collisions until then count fully.
        half_life_s: time after which later collisions count half.
    """
    late_s = np.maximum(np.arange(STEPS + 1) * DT_S - stop_s, 0.0)
    weight: Floats = 0.5 ** (late_s / half_life_s)
    return weight


def footprint_kernel(radius_m: float) -> NDArray[np.uint8]:
    """Return the disc of cells whose near edge lies within ``radius_m`` of the centre of the middle cell."""
    reach = int(np.ceil(radius_m / EGO_GRID.cell_size_m))
    offset = np.arange(-reach, reach + 1) * EGO_GRID.cell_size_m
    disc = np.hypot(*np.meshgrid(offset, offset)) - 0.5 * EGO_GRID.cell_size_m
    return too_close(disc, radius_m).astype(np.uint8)


def dilate(frames: Tensor, kernel: NDArray[np.uint8]) -> Tensor:
    """Grow occupancy (N, rows, columns) by the kernel, all frames in one call."""
    margin = kernel.shape[0] // 2
    count, rows, columns = frames.shape
    # Frames are stacked into one tall image; empty rows between them keep neighbours apart.
    tall = np.zeros((count, rows + margin, columns), np.float32)
    tall[:, :rows] = frames
    grown: Tensor = cv2.dilate(tall.reshape(-1, columns), kernel).astype(np.float32, copy=False)
    return grown.reshape(count, rows + margin, columns)[:, :rows]


def grown_by_one_cell(cells: Mask) -> Mask:
    """Return the cells (rows, columns) and all their neighbours."""
    grown: Mask = cv2.dilate(cells.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return grown


def leaving(clearance_m: Floats, clear_m: float) -> Mask:
    """Return when paths that begin too close to obstacles are still too close but have lost no clearance.

    Args:
        clearance_m: (..., T) clearance along the paths.
        clear_m: the clearance wanted.

    Returns:
        (..., T), true while the clearance is below ``clear_m`` and has not been below that of the start.
    """
    start_m = clearance_m[..., :1]
    gaining = np.logical_and.accumulate(clearance_m >= start_m, axis=-1)
    still_close: Mask = gaining & too_close(start_m, clear_m) & too_close(clearance_m, clear_m)
    return still_close
