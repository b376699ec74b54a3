"""Solids of a world: boxes and upright cylinders on the floor (world frame, metres)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core.types import Floats


@dataclass(frozen=True)
class Box:
    """A box on the floor: centre, length along its own x axis, width along its own y axis, yaw."""

    x_m: float
    y_m: float
    length_m: float
    width_m: float
    yaw_rad: float = 0.0
    height_m: float = 2.0

    def distance(self, points: Floats) -> Floats:
        """Return the signed distances (n,) of points (n, 2) to the box, negative inside."""
        offset = points - (self.x_m, self.y_m)
        c, s = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        local = np.stack([c * offset[..., 0] + s * offset[..., 1], c * offset[..., 1] - s * offset[..., 0]], axis=-1)
        beyond = np.abs(local) - (self.length_m / 2, self.width_m / 2)
        outside = np.hypot(*np.moveaxis(np.maximum(beyond, 0.0), -1, 0))
        return np.asarray(outside + np.minimum(beyond.max(axis=-1), 0.0))

    def outline(self) -> Floats:
        """Return the corners (4, 2), counter-clockwise."""
        half = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * (self.length_m / 2, self.width_m / 2)
        c, s = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        return np.asarray(half @ np.array([[c, s], [-s, c]]) + (self.x_m, self.y_m))


@dataclass(frozen=True)
class Cylinder:
    """An upright cylinder on the floor."""

    x_m: float
    y_m: float
    radius_m: float
    height_m: float = 2.0

    def distance(self, points: Floats) -> Floats:
        """Return the signed distances (n,) of points (n, 2) to the cylinder, negative inside."""
        return np.asarray(np.hypot(points[..., 0] - self.x_m, points[..., 1] - self.y_m) - self.radius_m)

    def outline(self, corners: int = 12) -> Floats:
        """Return a polygon (corners, 2) that encloses the cylinder, counter-clockwise."""
        angle = np.arange(corners) * 2 * math.pi / corners
        reach = self.radius_m / math.cos(math.pi / corners)
        return np.stack([self.x_m + reach * np.cos(angle), self.y_m + reach * np.sin(angle)], axis=-1)


Solid = Box | Cylinder


def segment(start: tuple[float, float], end: tuple[float, float], thickness_m: float, height_m: float) -> Box:
    """Return the box along the line from start to end, with half the thickness on each side."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    centre = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    return Box(*centre, math.hypot(dx, dy), thickness_m, math.atan2(dy, dx), height_m)


def enclosure(bounds: tuple[float, float, float, float], thickness_m: float, height_m: float) -> tuple[Box, ...]:
    """Return four walls around (x_min, y_min, x_max, y_max), their inner faces on the bounds."""
    x0, y0, x1, y1 = bounds
    t = thickness_m
    across, along = x1 - x0 + 2 * t, y1 - y0
    middle_x, middle_y = (x0 + x1) / 2, (y0 + y1) / 2
    return (
        Box(middle_x, y0 - t / 2, across, t, height_m=height_m),
        Box(middle_x, y1 + t / 2, across, t, height_m=height_m),
        Box(x0 - t / 2, middle_y, t, along, height_m=height_m),
        Box(x1 + t / 2, middle_y, t, along, height_m=height_m),
    )


def clearance(solids: tuple[Solid, ...], points: Floats) -> Floats:
    """Return the signed distances (n,) of points (n, 2) to the nearest solid, inf where there is none."""
    nearest = np.full(np.shape(points)[:-1], np.inf)
    for solid in solids:
        nearest = np.minimum(nearest, solid.distance(points))
    return nearest
