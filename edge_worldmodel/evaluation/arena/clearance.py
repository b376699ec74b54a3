"""Clearance: distances between the footprint of a robot and the solids and people of a world."""

from __future__ import annotations

import math

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.sim.robots import RobotSpec
from edge_worldmodel.sim.shapes import Box, Cylinder
from edge_worldmodel.sim.world import World

_CORNERS = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])


class FootprintClearance:
    """Measures the clearance of one robot in one world."""

    def __init__(self, world: World, robot: RobotSpec) -> None:
        """Prepare arrays of the solids, by shape."""
        cylinders = [(s.x_m, s.y_m, s.radius_m) for s in world.solids if isinstance(s, Cylinder)]
        boxes = [(s.x_m, s.y_m, s.yaw_rad, s.length_m / 2, s.width_m / 2) for s in world.solids if isinstance(s, Box)]
        self._cylinders = np.array(cylinders).reshape(-1, 3)
        self._boxes = np.array(boxes).reshape(-1, 5)
        outlines = [s.outline() for s in world.solids if isinstance(s, Box)]
        self._box_corners = np.array(outlines).reshape(-1, 2)
        self._radii_m = np.array([person.radius_m for person in world.people])
        # A round footprint is a point with a radius; a rectangle has no radius.
        self._half = np.array([robot.length_m, robot.width_m]) / 2
        self._round_m = robot.radius_m if robot.length_m == 0 else 0.0

    def to_people(self, pose: Floats, positions: Floats) -> Floats:
        """Return the distance (n,) in metres to each person; inf for who is absent.

        Args:
            pose: (3,) of the robot in the world frame.
            positions: (n, 2) of the people in the world frame, NaN where absent.
        """
        distances_m = self._from_footprint(pose, positions) - self._radii_m
        return np.where(np.isnan(distances_m), np.inf, distances_m)

    def to_solids(self, pose: Floats) -> float:
        """Return the distance in metres to the nearest solid; inf if there is none."""
        clearance_m = math.inf
        if len(self._cylinders):
            distances_m = self._from_footprint(pose, self._cylinders[:, :2]) - self._cylinders[:, 2]
            clearance_m = float(distances_m.min())
        if len(self._boxes):
            # The shortest distance between two rectangles is at a corner of one of them.
            corners = _to_world(pose, _CORNERS * self._half) if self._round_m == 0 else pose[None, :2]
            from_corners = self._to_boxes(corners) - self._round_m
            from_boxes = self._from_footprint(pose, self._box_corners)
            clearance_m = min(clearance_m, float(from_corners.min()), float(from_boxes.min()))
        return clearance_m

    def _from_footprint(self, pose: Floats, points: Floats) -> Floats:
        """Return the distances (n,) of points (n, 2) to the footprint; 0 inside a rectangle."""
        c, s = math.cos(pose[2]), math.sin(pose[2])
        x, y = points[:, 0] - pose[0], points[:, 1] - pose[1]
        # In the base frame the rectangle is axis-aligned.
        ahead = np.maximum(np.abs(c * x + s * y) - self._half[0], 0.0)
        aside = np.maximum(np.abs(c * y - s * x) - self._half[1], 0.0)
        return np.asarray(np.hypot(ahead, aside) - self._round_m)

    def _to_boxes(self, points: Floats) -> Floats:
        """Return the distances (n, boxes) of points (n, 2) to all boxes, 0 inside."""
        offset = points[:, None] - self._boxes[:, :2]
        c, s = np.cos(self._boxes[:, 2]), np.sin(self._boxes[:, 2])
        x = np.abs(c * offset[..., 0] + s * offset[..., 1]) - self._boxes[:, 3]
        y = np.abs(c * offset[..., 1] - s * offset[..., 0]) - self._boxes[:, 4]
        return np.hypot(np.maximum(x, 0.0), np.maximum(y, 0.0))


def _to_world(pose: Floats, points: Floats) -> Floats:
    c, s = math.cos(pose[2]), math.sin(pose[2])
    turned = np.stack([c * points[:, 0] - s * points[:, 1], s * points[:, 0] + c * points[:, 1]], axis=-1)
    return np.asarray(turned + pose[:2])
