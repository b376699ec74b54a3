"""The footprint of a robot as discs along its length: a collision check is one look-up per disc."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.sim.robots import RobotSpec


@dataclass(frozen=True)
class FootprintDiscs:
    """Discs of ``radius_m`` at ``centres_m`` (k,) along the base's x axis; together they cover the footprint."""

    centres_m: Floats
    radius_m: float
    inscribed_m: float

    def discs(self, poses: Floats) -> Floats:
        """Return the disc centres (..., k, 2) at poses (..., 3)."""
        cos, sin = np.cos(poses[..., 2]), np.sin(poses[..., 2])
        # Discs are the outer dimension in memory, because later operations run over the many poses.
        found = np.empty((len(self.centres_m), 2, *poses.shape[:-1]), poses.dtype)
        for disc, along in zip(found, self.centres_m.astype(poses.dtype), strict=True):
            disc[0] = poses[..., 0] + cos * along
            disc[1] = poses[..., 1] + sin * along
        return np.moveaxis(found, (0, 1), (-2, -1))


def footprint_discs(robot: RobotSpec) -> FootprintDiscs:
    """Return the discs that cover the footprint of a robot; a Jackal needs three, which reach 2 cm beyond it."""
    if not robot.length_m:
        return FootprintDiscs(np.zeros(1), robot.radius_m, robot.radius_m)
    length_m, width_m = robot.length_m, robot.width_m
    count = max(math.ceil(length_m / width_m) + 1, 1)
    centres = (np.arange(count) + 0.5) * length_m / count - 0.5 * length_m
    covering_m = math.hypot(0.5 * length_m / count, 0.5 * width_m)
    return FootprintDiscs(centres, covering_m, 0.5 * min(length_m, width_m))
