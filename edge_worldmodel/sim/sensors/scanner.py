"""A planar range scanner by MuJoCo ray casting, with range noise and drop-outs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from edge_worldmodel.core.types import Floats, Tensor
from edge_worldmodel.sim.robots import ScannerSpec
from edge_worldmodel.sim.sensors.rays import RayCaster


@dataclass(frozen=True)
class SimulatedScan:
    """One scan in the frame of the scanner.

    ``ranges`` (beams,): inf for a no-return, NaN for a beam without a measurement (REP-117).
    """

    stamp_ns: int
    ranges: Tensor
    angle_min_rad: float
    angle_increment_rad: float
    range_min_m: float
    range_max_m: float


class Scanner:
    """A scanner on a robot; the body of the robot is not visible to it."""

    def __init__(self, spec: ScannerSpec, body_id: int, rng: np.random.Generator) -> None:
        """Prepare the beams of a scanner mounted on a body."""
        self.spec = spec
        self._rng = rng
        angles = spec.mount_yaw_rad + spec.angle_min_rad + spec.angle_increment_rad * np.arange(spec.beams)
        self._directions = np.stack([np.cos(angles), np.sin(angles)])
        self._rays = np.zeros((spec.beams, 3))
        self._caster = RayCaster(spec.beams, body_id)

    def scan(self, model: mujoco.MjModel, data: mujoco.MjData, pose: Floats, stamp_ns: int) -> SimulatedScan:
        """Measure from a base pose (3,) in the world frame; ``data`` must hold the current body positions."""
        ranges = self.true_ranges(model, data, pose)
        spec = self.spec
        if spec.noise_m > 0:
            ranges = np.maximum(ranges + self._rng.normal(0.0, spec.noise_m, spec.beams), 0.0)
        ranges[ranges > spec.range_max_m] = np.inf
        if spec.dropout > 0:
            ranges[self._rng.random(spec.beams) < spec.dropout] = np.nan
        return SimulatedScan(
            stamp_ns,
            ranges.astype(np.float32),
            spec.angle_min_rad,
            spec.angle_increment_rad,
            spec.range_min_m,
            spec.range_max_m,
        )

    def true_ranges(self, model: mujoco.MjModel, data: mujoco.MjData, pose: Floats) -> Floats:
        """Return the exact distances (beams,) to the nearest surface, inf beyond the range."""
        spec = self.spec
        c, s = math.cos(pose[2]), math.sin(pose[2])
        x = pose[0] + c * spec.mount_x_m - s * spec.mount_y_m
        y = pose[1] + s * spec.mount_x_m + c * spec.mount_y_m
        cos, sin = self._directions
        self._rays[:, 0] = c * cos - s * sin
        self._rays[:, 1] = s * cos + c * sin
        return self._caster.cast(model, data, np.array([x, y, spec.mount_height_m]), self._rays, spec.range_max_m)
