"""True occupancy of the ego grid: the cells that walls, people and vehicles touch."""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core.geometry import inverse, transform_points
from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.tensors import CELL_SIZE_M, GRID_CELLS
from edge_worldmodel.core.types import Floats, Mask
from edge_worldmodel.training.data.scenes import Raster

_HALF_M = 0.5 * GRID_CELLS * CELL_SIZE_M


def solid_cells(solid_points: Floats, ego_pose: Floats) -> Mask:
    """Return the cells (64, 64) around ``ego_pose`` (3,) that contain one of the points (n, 2) in the scene's frame."""
    mask = np.zeros((GRID_CELLS, GRID_CELLS), dtype=bool)
    near = solid_points[np.abs(solid_points - ego_pose[:2]).max(axis=1, initial=0.0) < 1.5 * _HALF_M]
    cells = EGO_GRID.world_to_cell(transform_points(inverse(ego_pose), near))
    cells = cells[EGO_GRID.contains(cells)]
    mask[cells[:, 1], cells[:, 0]] = True
    return mask


def disc_cells(centres: Floats, radii: Floats) -> Mask:
    """Return the cells (K, 64, 64) that discs touch.

    Args:
        centres: (K, P, 2) in the ego frame in metres, NaN where a disc is absent.
        radii: (P,) in metres.
    """
    masks = np.zeros((len(centres), GRID_CELLS, GRID_CELLS), dtype=bool)
    if centres.shape[1] == 0:
        return masks
    reach_m = _HALF_M + float(radii.max())
    with np.errstate(invalid="ignore"):
        frame, disc = np.nonzero((np.abs(centres) < reach_m).all(axis=-1))
    centre, radius = centres[frame, disc], radii[disc]
    span = int(np.ceil(2 * radii.max() / CELL_SIZE_M)) + 1
    first = EGO_GRID.world_to_cell(centre - radius[:, None])
    steps = np.stack(np.meshgrid(np.arange(span), np.arange(span)), axis=-1).reshape(-1, 2)
    cells = first[:, None] + steps
    lower = cells * CELL_SIZE_M - _HALF_M
    nearest = np.clip(centre[:, None], lower, lower + CELL_SIZE_M)
    touched = np.linalg.norm(nearest - centre[:, None], axis=-1) <= radius[:, None]
    touched &= EGO_GRID.contains(cells)
    index, cell = np.nonzero(touched)
    masks[frame[index], cells[index, cell, 1], cells[index, cell, 0]] = True
    return masks


def box_cells(poses: Floats, sizes: Floats) -> Mask:
    """Return the cells (K, 64, 64) that rectangles touch.

    Args:
        poses: (K, V, 3) of the centres in the ego frame, NaN where a rectangle is absent.
        sizes: (V, 2) length and width in metres.
    """
    masks = np.zeros((len(poses), GRID_CELLS, GRID_CELLS), dtype=bool)
    for box, (length, width) in enumerate(sizes):
        points = _fill_box(length, width)
        for frame in np.flatnonzero(np.isfinite(poses[:, box]).all(axis=-1)):
            cells = EGO_GRID.world_to_cell(transform_points(poses[frame, box], points))
            cells = cells[EGO_GRID.contains(cells)]
            masks[frame, cells[:, 1], cells[:, 0]] = True
    return masks


def _fill_box(length: float, width: float) -> Floats:
    # Edges included; the distance between points is at most a third of a cell.
    x = np.linspace(-length / 2, length / 2, int(np.ceil(3 * length / CELL_SIZE_M)) + 1)
    y = np.linspace(-width / 2, width / 2, int(np.ceil(3 * width / CELL_SIZE_M)) + 1)
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def known_cells(known: Raster | None, ego_pose: Floats) -> Mask:
    """Return the cells (64, 64) around ``ego_pose`` whose truth is known; ``known`` None: everywhere."""
    if known is None:
        return np.ones((GRID_CELLS, GRID_CELLS), dtype=bool)
    centres = transform_points(ego_pose, EGO_GRID.cell_centres().reshape(-1, 2))
    return np.asarray(known.at(centres, 0.0), dtype=bool).reshape(GRID_CELLS, GRID_CELLS)
