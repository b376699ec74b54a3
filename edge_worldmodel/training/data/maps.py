"""Scenes from recorded building maps: map_server's YAML with a PGM image, gzipped or not."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import shapely
import yaml
from numpy.typing import NDArray
from shapely import Polygon

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.core.types import Floats
from edge_worldmodel.training.data.scenes import Raster, Statics, clearance_raster

FREE, OCCUPIED, UNKNOWN = 0, 1, 2
CROP_M = 26.0
"""Side of the part of a map for one scene: the grid, the way of the robot, and the range of its scanner."""
_WALKER_M = 0.3
_SMALLEST_HOLE_M2 = 0.05
_LARGEST_PIXELS = 400_000_000


@dataclass(frozen=True)
class BuildingMap:
    """One floor: ``cells`` are FREE, OCCUPIED or UNKNOWN, in the map's own frame."""

    name: str
    cells: Raster


def read_map(path: Path) -> BuildingMap:
    """Read a map from its YAML file.

    Raises:
        RecordingError: the file cannot be used.
    """
    try:
        header = yaml.safe_load(path.read_text(encoding="utf-8"))
        image_path = _image_of(path, header)
        resolution_m, origin = float(header["resolution"]), header["origin"]
        thresholds = float(header["occupied_thresh"]), float(header["free_thresh"])
        lower_corner = float(origin[0]), float(origin[1])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, IndexError) as error:
        raise RecordingError(f"{path}: the map description cannot be used: {error!r}") from error
    if not 0.005 <= resolution_m <= 1.0:
        raise RecordingError(f"{path}: resolution {resolution_m}; expected 0.005 to 1 m per pixel")
    darkness = 1.0 - _read_image(image_path).astype(np.float32)[::-1] / 255.0
    if header.get("negate"):
        darkness = 1.0 - darkness
    cells = np.full(darkness.shape, UNKNOWN, dtype=np.uint8)
    cells[darkness > thresholds[0]] = OCCUPIED
    cells[darkness < thresholds[1]] = FREE
    return BuildingMap(path.stem, Raster(_without_specks(cells), lower_corner, resolution_m))


def crop(floor: BuildingMap, rng: np.random.Generator) -> tuple[Statics, Raster, Polygon]:
    """Return a part of a map around a random free cell.

    Returns:
        Static objects, the cells that are known in the map, and the connected area where people walk.
    """
    cells = np.asarray(floor.cells.values)
    free_places = np.argwhere(cells[::5, ::5] == FREE) * 5
    half = round(CROP_M / floor.cells.cell_size_m / 2)
    while True:
        y, x = free_places[rng.integers(len(free_places))]
        x0, y0 = max(0, x - half), max(0, y - half)
        part = cells[y0 : y + half, x0 : x + half]
        origin = np.asarray(floor.cells.origin_m) + np.array((x0, y0)) * floor.cells.cell_size_m
        piece = Raster(part, (float(origin[0]), float(origin[1])), floor.cells.cell_size_m)
        walkable = _walkable(piece, (x - x0, y - y0))
        if walkable is not None and walkable.area > 12.0:
            return _statics(piece), _known(piece), walkable


def draw_goals(walkable: Polygon, count: int, rng: np.random.Generator) -> Floats:
    """Return random places (count, 2) in the area, for people to walk to."""
    x0, y0, x1, y1 = walkable.bounds
    goals = np.zeros((0, 2))
    while len(goals) < count:
        tries = rng.uniform((x0, y0), (x1, y1), (200, 2))
        goals = np.concatenate((goals, tries[shapely.contains_xy(walkable, tries[:, 0], tries[:, 1])]))
    return goals[:count]


def _image_of(path: Path, header: dict[str, Any]) -> Path:
    named = Path(str(header["image"])).name
    # Images may have been renamed since the description was written.
    candidates = [path.parent / name for name in (named, f"{named}.gz", f"{path.stem}.pgm", f"{path.stem}.pgm.gz")]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise ValueError(f"no image found; looked for {[candidate.name for candidate in candidates]}")


def _read_image(path: Path) -> NDArray[np.uint8]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            data = stream.read(_LARGEST_PIXELS)
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    except (OSError, EOFError, cv2.error) as error:
        raise RecordingError(f"{path}: cannot be read: {error}") from error
    if image is None:
        raise RecordingError(f"{path}: not a readable image")
    return np.asarray(image, dtype=np.uint8)


def _without_specks(cells: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Close small holes in walls, and set small unknown areas in free space to free."""
    kernel = np.ones((3, 3), np.uint8)
    occupied = cv2.morphologyEx((cells == OCCUPIED).astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    unknown = cv2.morphologyEx((cells == UNKNOWN).astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    cleaned = np.where(unknown > 0, UNKNOWN, FREE).astype(np.uint8)
    cleaned[occupied > 0] = OCCUPIED
    return cleaned


def _statics(piece: Raster) -> Statics:
    cells = np.asarray(piece.values)
    solid = piece.centres()[cells == OCCUPIED]
    clearance_m = clearance_raster(cells == FREE, piece.origin_m, piece.cell_size_m)
    return Statics(np.zeros((0, 4)), np.zeros((0, 3)), piece, solid, clearance_m)


def _known(piece: Raster) -> Raster:
    return Raster(np.asarray(piece.values) != UNKNOWN, piece.origin_m, piece.cell_size_m)


def _walkable(piece: Raster, seed_cell: tuple[int, int]) -> Polygon | None:
    """Return the area with a distance from walls that can be reached from a cell (x, y)."""
    clearance = np.asarray(clearance_raster(np.asarray(piece.values) == FREE, (0.0, 0.0), piece.cell_size_m).values)
    count, labels = cv2.connectedComponents((clearance > _WALKER_M).astype(np.uint8), connectivity=4)
    label = labels[seed_cell[1], seed_cell[0]]
    if count < 2 or label == 0:
        return None
    contours, hierarchy = cv2.findContours((labels == label).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    rings = [(contour[:, 0] + 0.5) * piece.cell_size_m + piece.origin_m for contour in contours if len(contour) > 3]
    parents = [int(h[3]) for contour, h in zip(contours, hierarchy[0], strict=True) if len(contour) > 3]
    outer = shapely.union_all([Polygon(r).buffer(0) for r, parent in zip(rings, parents, strict=True) if parent < 0])
    holes = shapely.union_all([Polygon(r).buffer(0) for r, parent in zip(rings, parents, strict=True) if parent >= 0])
    # Simplified, because JuPedSim is slow with the many corners of a recorded map.
    area = outer.difference(holes).simplify(0.15).buffer(0)
    largest = max(shapely.get_parts(area), key=lambda part: part.area, default=None)
    if largest is None:
        return None
    return Polygon(largest.exterior, [ring for ring in largest.interiors if Polygon(ring).area > _SMALLEST_HOLE_M2])
