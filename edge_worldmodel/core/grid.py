"""Square grids seen from above: positions of cells, and drawing of sweeps as occupied and free cells.

Arrays are indexed [iy, ix] like nav_msgs/OccupancyGrid. The origin of the grid's frame is its centre.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.geometry import transform_points
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.tensors import CELL_SIZE_M, GRID_CELLS, GRID_CHANNELS
from edge_worldmodel.core.types import Floats, Mask, Points, Pose, Tensor

_SUBCELL_BITS = 8
# OpenCV draws lines with int32 coordinates, of which _SUBCELL_BITS are fractions of a cell.
_FARTHEST_CELL = 2.0**15


@dataclass(frozen=True)
class GridSpec:
    """A square grid, centred on the origin of its frame.

    Raises:
        ConfigError: the number of cells or their size is not positive.
    """

    cells: int
    cell_size_m: float

    def __post_init__(self) -> None:
        """Check that the grid has an area."""
        if self.cells < 1 or not self.cell_size_m > 0.0:
            raise ConfigError(f"grid of {self.cells} cells of {self.cell_size_m} m: both numbers must be positive")

    @property
    def extent_m(self) -> float:
        """Side length of the grid, which covers [-extent / 2, extent / 2) in x and y."""
        return self.cells * self.cell_size_m

    def world_to_cell(self, points: ArrayLike) -> NDArray[np.intp]:
        """Return the cell of each point.

        Args:
            points: (..., 2) in metres in the grid frame, finite.

        Returns:
            (..., 2) ix and iy; outside [0, cells) for points outside the grid.
        """
        position = self.fractional_cells(np.asarray(points, dtype=np.float64))
        return np.floor(np.clip(position, -_FARTHEST_CELL, _FARTHEST_CELL)).astype(np.intp)

    def contains(self, cells: NDArray[np.intp]) -> Mask:
        """Return whether each cell (..., 2), given as ix and iy, lies in the grid, as (...)."""
        inside: Mask = np.all((cells >= 0) & (cells < self.cells), axis=-1)
        return inside

    def cell_centres(self) -> Points:
        """Return the centre in metres of each cell [iy, ix], as (cells, cells, 2)."""
        axis_m = self.axis_m()
        return np.stack(np.meshgrid(axis_m, axis_m), axis=-1)

    def axis_m(self) -> Floats:
        """Return the coordinates (cells,) in metres of cell centres along one axis."""
        return (np.arange(self.cells, dtype=np.float64) + 0.5) * self.cell_size_m - 0.5 * self.extent_m

    def fractional_cells(self, points: Points) -> Floats:
        """Return the positions of points (..., 2) in units of cells from the corner of cell (0, 0)."""
        return points / self.cell_size_m + 0.5 * self.cells


EGO_GRID = GridSpec(GRID_CELLS, CELL_SIZE_M)
"""The grid of the world model, centred on the robot."""


def hit_points(sweeps: Sequence[Sweep], poses_in_grid: ArrayLike, spacing_m: float = 0.05) -> Tensor:
    """Return the hits of sweeps within the ego grid, at most one for each square of ``spacing_m``.

    Args:
        sweeps: S sweeps, each in the base frame at its stamp.
        poses_in_grid: (S, 3) base pose of each sweep in the frame of the grid.
        spacing_m: side length of the squares.

    Returns:
        (n, 2) in metres in the frame of the grid; the first hit of each square.
    """
    poses = np.asarray(poses_in_grid, np.float64).reshape(-1, 3)
    hits = [transform_points(pose, sweep.endpoints[sweep.hit]) for sweep, pose in zip(sweeps, poses, strict=True)]
    points = np.concatenate(hits) if hits else np.zeros((0, 2))
    points = points[(np.abs(points) < 0.5 * EGO_GRID.extent_m).all(axis=1)]
    square = np.floor(points / spacing_m).astype(np.intp)
    # One number per square, because numpy.unique is much faster on numbers than on rows.
    across = math.ceil(EGO_GRID.extent_m / spacing_m) + 1
    _, first = np.unique(square[:, 0] * across + square[:, 1], return_index=True)
    thinned: Tensor = points[first].astype(np.float32)
    return thinned


def render(sweeps: Sequence[Sweep], poses_in_grid: ArrayLike, spec: GridSpec = EGO_GRID) -> Tensor:
    """Draw sweeps into one grid.

    Args:
        sweeps: S sweeps; without any, all cells are unknown.
        poses_in_grid: (S, 3) base pose of each sweep in the frame of the grid.
        spec: size of the grid.

    Returns:
        (2, cells, cells) of 0 and 1: occupied, and observed free. No cell is both; a cell that is neither is unknown.
    """
    masks = np.zeros((GRID_CHANNELS, spec.cells, spec.cells), dtype=np.uint8)
    for sweep, pose in zip(sweeps, np.asarray(poses_in_grid, dtype=np.float64).reshape(-1, 3), strict=True):
        _draw(sweep, pose, spec, masks)
    # A hit outweighs rays that pass through the same cell, so that thin obstacles are not erased.
    masks[1] &= masks[0] ^ 1
    return masks.astype(np.float32)


def resample(values: Tensor, pose_in_values: ArrayLike, spec: GridSpec = EGO_GRID) -> tuple[Tensor, Mask]:
    """Resample a grid around one pose to a grid around another pose.

    Args:
        values: (cells, cells) values of the given grid.
        pose_in_values: (3,) pose of the wanted grid in the frame of the given one.
        spec: size of both grids.

    Returns:
        (cells, cells) values at the wanted cells, interpolated bilinearly, and whether each lies in the given grid.
    """
    pose = np.asarray(pose_in_values, dtype=np.float64)
    cos, sin = np.cos(pose[2]), np.sin(pose[2])
    axis_m = spec.axis_m()
    # Rotating the two axes separately and adding them takes 64 products per axis instead of 4096.
    places = (pose[0] + (cos * axis_m - sin * axis_m[:, None]), pose[1] + (sin * axis_m + cos * axis_m[:, None]))
    x, y = (spec.fractional_cells(place) - 0.5 for place in places)
    low, high = np.minimum(x, y), np.maximum(x, y)
    inside = (low >= -0.5) & (high < spec.cells - 0.5)
    columns, rows = (np.minimum(np.maximum(at, -1.0), spec.cells).astype(np.float32) for at in (x, y))
    moved = cv2.remap(values, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.float32), inside


def _draw(sweep: Sweep, pose: Pose, spec: GridSpec, masks: NDArray[np.uint8]) -> None:
    # One matrix product from the base frame to cells, because this runs for each sweep of each frame.
    cos, sin = np.cos(pose[2]) / spec.cell_size_m, np.sin(pose[2]) / spec.cell_size_m
    to_cells = np.array(((cos, sin), (-sin, cos)))
    shift = spec.fractional_cells(pose[:2])
    origin = sweep.origin @ to_cells + shift
    if len(sweep.endpoints) == 0 or not np.all(np.abs(origin) < _FARTHEST_CELL):
        return
    ends = sweep.endpoints @ to_cells + shift
    _draw_free(origin, ends, masks[1])
    x, y = np.floor(ends[sweep.hit]).T
    inside = (x >= 0) & (x < spec.cells) & (y >= 0) & (y < spec.cells)
    masks[0, y[inside].astype(np.intp), x[inside].astype(np.intp)] = 1


def _draw_free(origin: Points, ends: Points, free: NDArray[np.uint8]) -> None:
    if np.abs(ends).max() > _FARTHEST_CELL:
        # Far endpoints are moved inwards along their rays, so that the drawn cells stay the same.
        rays = ends - origin
        ends = origin + rays * np.minimum(1.0, _FARTHEST_CELL / np.maximum(np.abs(rays).max(axis=1), 1.0))[:, None]
    # One polyline origin, end, origin, end, ... draws all rays. OpenCV counts from
    # pixel centres, so half a cell is subtracted.
    line = np.empty((len(ends), 2, 2), dtype=np.int32)
    line[:, 0] = np.rint((origin - 0.5) * 2**_SUBCELL_BITS)
    line[:, 1] = np.rint((ends - 0.5) * 2**_SUBCELL_BITS)
    points = line.reshape(-1, 1, 2)
    cv2.polylines(free, [points], isClosed=False, color=1, thickness=1, lineType=cv2.LINE_8, shift=_SUBCELL_BITS)
