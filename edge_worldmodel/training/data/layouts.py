"""Random floor plans (rooms, corridors, junctions, doorways, ...) with a walkable area and goals for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import shapely
from shapely import Polygon, box

from edge_worldmodel.core.types import Floats
from edge_worldmodel.training.data.scenes import (
    Raster,
    Statics,
    clearance_raster,
    points_in_discs,
    points_on_segments,
)

_FIELD_CELL_M = 0.1


@dataclass(frozen=True)
class Layout:
    """A floor plan.

    ``walkable`` has the boxes and pillars as holes; ``goals`` (G, 2) are the places
    that people walk to; ``pillars`` (D, 3) are discs of x, y, radius; ``boxes`` are polygons.
    """

    kind: str
    walkable: Polygon
    goals: Floats
    pillars: Floats
    boxes: tuple[Polygon, ...]

    def statics(self) -> Statics:
        """Return the static objects for a scanner, and the clearance for a robot."""
        rounds = [disc_polygon(pillar) for pillar in self.pillars]
        outline = shapely.union_all([self.walkable, *rounds])
        segments = np.concatenate([_ring_segments(polygon) for polygon in _polygons(outline)])
        solid = [points_on_segments(segments), points_in_discs(self.pillars)]
        solid += [_fill(polygon) for polygon in self.boxes]
        return Statics(segments, self.pillars, None, np.concatenate(solid), self._clearance())

    def _clearance(self) -> Raster:
        x0, y0, x1, y1 = self.walkable.bounds
        size = int(np.ceil((y1 - y0) / _FIELD_CELL_M)), int(np.ceil((x1 - x0) / _FIELD_CELL_M))
        centres = Raster(np.zeros(size, np.uint8), (x0, y0), _FIELD_CELL_M).centres()
        free = shapely.contains_xy(self.walkable, centres[..., 0], centres[..., 1])
        return clearance_raster(free, (x0, y0), _FIELD_CELL_M)


def draw_layout(rng: np.random.Generator, kind: str | None = None) -> Layout:
    """Return a random floor plan of the given kind, or of a random one of KINDS."""
    kind = kind or str(rng.choice([name for name in KINDS if name != "yard"]))
    floor, goals = KINDS[kind](rng)
    return furnish(kind, floor, goals, rng)


def furnish(kind: str, floor: Polygon, goals: Floats, rng: np.random.Generator) -> Layout:
    """Return a floor plan with random boxes and pillars, which neither divide the floor nor cover a goal."""
    area_m2 = floor.area
    pillars, boxes, walkable = [], [], floor
    crowded = kind == "clutter"
    keep_free = shapely.MultiPoint(goals).buffer(0.8)
    for _ in range(rng.poisson(area_m2 * (0.35 if crowded else 0.02))):
        x, y = _point_within(walkable, rng)
        if rng.random() < (0.8 if crowded else 0.4):
            radius = rng.uniform(0.05, 0.3) if crowded else rng.uniform(0.1, 0.35)
            shape, pillar = disc_polygon((x, y, radius)), (x, y, radius)
        else:
            size, turn_deg = rng.uniform(0.2, 1.6, 2), rng.choice((0.0, 90.0, rng.uniform(0.0, 180.0)))
            rectangle = box(x - size[0] / 2, y - size[1] / 2, x + size[0] / 2, y + size[1] / 2)
            shape, pillar = shapely.affinity.rotate(rectangle, float(turn_deg)).intersection(floor), None
        rest = walkable.difference(shape)
        if shape.intersects(keep_free) or not _connected(rest):
            continue
        walkable = rest
        if pillar is None:
            boxes.append(shape)
        else:
            pillars.append(pillar)
    return Layout(kind, walkable, goals, np.array(pillars).reshape(-1, 3), tuple(boxes))


def disc_polygon(disc: Floats | tuple[float, float, float]) -> Polygon:
    """Return a polygon with 16 corners around a disc (x, y, radius)."""
    return shapely.Point(disc[0], disc[1]).buffer(disc[2] / np.cos(np.pi / 16), quad_segs=4)


def _room(rng: np.random.Generator) -> tuple[Polygon, Floats]:
    width, height = rng.uniform(5.0, 16.0, 2)
    return box(0, 0, width, height), rng.uniform((0.6, 0.6), (width - 0.6, height - 0.6), (6, 2))


def _hall(rng: np.random.Generator) -> tuple[Polygon, Floats]:
    width, height = rng.uniform(16.0, 30.0, 2)
    return box(0, 0, width, height), rng.uniform((1, 1), (width - 1, height - 1), (8, 2))


def _corridor(rng: np.random.Generator) -> tuple[Polygon, Floats]:
    length, width = rng.uniform(16.0, 30.0), rng.uniform(1.6, 4.5)
    floor = box(0, 0, length, width)
    for _ in range(rng.integers(0, 4)):
        x, depth = rng.uniform(1.0, length - 3.0), rng.uniform(0.4, 1.5)
        side = (width, width + depth) if rng.random() < 0.5 else (-depth, 0.0)
        floor = floor.union(box(x, side[0], x + rng.uniform(0.8, 2.0), side[1]))
    return floor, np.stack((np.array((0.8, length - 0.8)), rng.uniform(0.5, width - 0.5, 2)), axis=-1)


def _junction(rng: np.random.Generator) -> tuple[Polygon, Floats]:
    # A T has one arm on one side, a crossing both, an L only half of the main corridor.
    wide, side = rng.uniform(1.6, 4.0, 2)
    arms = rng.uniform(8.0, 14.0, 4)
    shape = rng.choice(("t", "crossing", "l"), p=(0.5, 0.35, 0.15))
    left = side / 2 if shape == "l" else arms[0]
    floor = box(-left, -wide / 2, arms[1], wide / 2).union(box(-side / 2, -wide / 2, side / 2, arms[2]))
    goals = [(arms[1] - 0.8, 0.0), (0.0, arms[2] - 0.8)]
    if shape != "l":
        goals.append((-arms[0] + 0.8, 0.0))
    if shape == "crossing":
        floor = floor.union(box(-side / 2, -arms[3], side / 2, 0.0))
        goals.append((0.0, -arms[3] + 0.8))
    return floor, np.array(goals)


def _doorway(rng: np.random.Generator) -> tuple[Polygon, Floats]:
    (a, b), height = rng.uniform(4.0, 9.0, 2), rng.uniform(4.0, 10.0)
    wall, door = rng.uniform(0.1, 0.3), rng.uniform(0.9, 1.8)
    y = rng.uniform(0.3, height - 0.3 - door)
    floor = box(-a, 0, 0, height).union(box(wall, 0, wall + b, height)).union(box(0, y, wall, y + door))
    goals = [rng.uniform((-a + 0.6, 0.6), (-0.6, height - 0.6), (3, 2))]
    goals.append(rng.uniform((wall + 0.6, 0.6), (wall + b - 0.6, height - 0.6), (3, 2)))
    return floor, np.concatenate(goals)


def _offices(rng: np.random.Generator) -> tuple[Polygon, Floats]:
    length, width, wall = rng.uniform(14.0, 24.0), rng.uniform(1.6, 3.0), 0.15
    areas, goals = [box(0, 0, length, width)], [(0.8, width / 2), (length - 0.8, width / 2)]
    for side in (-1.0, 1.0):
        x = rng.uniform(0.0, 2.0)
        while x < length - 3.0:
            room, depth, door = rng.uniform(3.0, 6.0), rng.uniform(3.0, 6.0), rng.uniform(0.9, 1.3)
            near = width + wall if side > 0 else -wall - depth
            areas.append(box(x, near, x + room, near + depth))
            at = x + rng.uniform(0.2, room - door - 0.2)
            door_y = (-wall - 0.1, 0.1) if side < 0 else (width - 0.1, near + 0.1)
            areas.append(box(at, door_y[0], at + door, door_y[1]))
            goals.append((x + room / 2, near + depth / 2))
            x += room + rng.uniform(0.15, 2.0)
    return shapely.union_all(areas), np.array(goals)


def _clutter(rng: np.random.Generator) -> tuple[Polygon, Floats]:
    width, height = rng.uniform(4.5, 10.0), rng.uniform(8.0, 14.0)
    return box(0, 0, width, height), rng.uniform((0.6, 0.6), (width - 0.6, height - 0.6), (4, 2))


def _yard(rng: np.random.Generator) -> tuple[Polygon, Floats]:
    side = rng.uniform(30.0, 40.0)
    return box(0, 0, side, side), rng.uniform(2.0, side - 2.0, (4, 2))


KINDS: dict[str, Callable[[np.random.Generator], tuple[Polygon, Floats]]] = {
    "room": _room,
    "hall": _hall,
    "corridor": _corridor,
    "junction": _junction,
    "doorway": _doorway,
    "offices": _offices,
    "clutter": _clutter,
    "yard": _yard,
}
"""Floor plans by kind; each function returns the floor and the goals (G, 2) of people."""


def _connected(area: shapely.Geometry) -> bool:
    # All places must stay reachable, also through doors of 0.9 m.
    return isinstance(area, Polygon) and isinstance(area.buffer(-0.3), Polygon)


def _point_within(floor: Polygon, rng: np.random.Generator) -> tuple[float, float]:
    x0, y0, x1, y1 = floor.bounds
    while True:
        x, y = rng.uniform(x0, x1), rng.uniform(y0, y1)
        if shapely.contains_xy(floor, x, y):
            return x, y


def _polygons(area: shapely.Geometry) -> list[Polygon]:
    return [part for part in shapely.get_parts(area) if isinstance(part, Polygon)]


def _ring_segments(polygon: Polygon) -> Floats:
    rings = [np.asarray(ring.coords) for ring in (polygon.exterior, *polygon.interiors)]
    return np.concatenate([np.concatenate((ring[:-1], ring[1:]), axis=1) for ring in rings])


def _fill(polygon: Polygon) -> Floats:
    x0, y0, x1, y1 = polygon.bounds
    grid = np.stack(np.meshgrid(np.arange(x0, x1, 0.08), np.arange(y0, y1, 0.08)), axis=-1).reshape(-1, 2)
    return grid[shapely.contains_xy(polygon, grid[:, 0], grid[:, 1])]
