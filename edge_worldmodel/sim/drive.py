"""Drives of differential and car-like robots within their limits, and odometry with errors."""

from __future__ import annotations

import math

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.sim.robots import OdometrySpec, RobotSpec

_ROLLING_MPS = 0.02


class DifferentialDrive:
    """Motor controller of a differential drive: follows commands within the acceleration limits."""

    def __init__(self, spec: RobotSpec) -> None:
        """Start at standstill."""
        self._spec = spec
        self._wanted = (0.0, 0.0)
        self._speed_mps = 0.0
        self._yaw_rate_radps = 0.0

    def command(self, forward_mps: float, yaw_rate_radps: float) -> None:
        """Set the commanded speeds, clipped to the limits of the robot; values that are not finite stop it."""
        if not (math.isfinite(forward_mps) and math.isfinite(yaw_rate_radps)):
            forward_mps = yaw_rate_radps = 0.0
        spec = self._spec
        self._wanted = (
            min(max(forward_mps, -spec.max_reverse_mps), spec.max_speed_mps),
            min(max(yaw_rate_radps, -spec.max_yaw_rate_radps), spec.max_yaw_rate_radps),
        )

    def advance(self, dt_s: float) -> tuple[float, float]:
        """Return the speeds (forward_mps, yaw_rate_radps) for the next ``dt_s``."""
        spec = self._spec
        forward, yaw_rate = self._wanted
        change = forward - self._speed_mps
        # Braking has its own limit.
        braking = self._speed_mps * change < 0
        limit = (spec.max_deceleration_mps2 if braking else spec.max_acceleration_mps2) * dt_s
        self._speed_mps += min(max(change, -limit), limit)
        turn_limit = spec.max_yaw_acceleration_radps2 * dt_s
        self._yaw_rate_radps += min(max(yaw_rate - self._yaw_rate_radps, -turn_limit), turn_limit)
        return self._speed_mps, self._yaw_rate_radps


class AckermannDrive(DifferentialDrive):
    """Motor and steering controller of a car: it turns only while it rolls, within its steering angle."""

    def __init__(self, spec: RobotSpec) -> None:
        """Start at standstill, steering straight ahead."""
        super().__init__(spec)
        self._steering_rad = 0.0

    def advance(self, dt_s: float) -> tuple[float, float]:
        """Return the speeds (forward_mps, yaw_rate_radps) for the next ``dt_s``."""
        spec = self._spec
        speed_mps, _ = super().advance(dt_s)
        forward, yaw_rate = self._wanted
        rolling_mps = forward if abs(forward) > _ROLLING_MPS else speed_mps
        wanted = math.atan(spec.wheelbase_m * yaw_rate / rolling_mps) if abs(rolling_mps) > _ROLLING_MPS else 0.0
        wanted = min(max(wanted, -spec.max_steering_rad), spec.max_steering_rad)
        most = spec.max_steering_rate_radps * dt_s
        self._steering_rad += min(max(wanted - self._steering_rad, -most), most)
        return speed_mps, speed_mps * math.tan(self._steering_rad) / spec.wheelbase_m


def make_drive(spec: RobotSpec) -> DifferentialDrive:
    """Return the drive of a vehicle."""
    return AckermannDrive(spec) if spec.kind == "ackermann" else DifferentialDrive(spec)


class SimulatedOdometry:
    """Dead reckoning in the odom frame, with random errors."""

    def __init__(self, spec: OdometrySpec, start: tuple[float, float, float], rng: np.random.Generator) -> None:
        """Start at the origin of the odom frame.

        Args:
            spec: sizes of the errors.
            start: true pose in the world frame.
            rng: random generator of the errors.
        """
        self._spec = spec
        self._rng = rng
        self._noisy = spec != OdometrySpec()
        self._last = start
        self._pose = (0.0, 0.0, 0.0)

    @property
    def pose(self) -> Floats:
        """Estimated pose (3,) in the odom frame, yaw not wrapped."""
        return np.array(self._pose)

    def update(self, x_m: float, y_m: float, yaw_rad: float) -> None:
        """Update with the new true pose in the world frame; plain floats, because this runs in every step."""
        last_x, last_y, last_yaw = self._last
        self._last = (x_m, y_m, yaw_rad)
        forward, left = _rotated(x_m - last_x, y_m - last_y, -last_yaw)
        turn = yaw_rad - last_yaw
        if self._noisy:
            # Variances of independent steps add up: the deviation grows with the square root of the distance.
            spec, errors = self._spec, self._rng.normal(size=3)
            way, turned = math.sqrt(math.hypot(forward, left)), math.sqrt(abs(turn))
            forward += spec.distance_noise * way * errors[0]
            turn += spec.yaw_per_metre_rad * way * errors[1] + spec.yaw_noise * turned * errors[2]
        x, y, yaw = self._pose
        dx, dy = _rotated(forward, left, yaw)
        self._pose = (x + dx, y + dy, yaw + turn)


def _rotated(x: float, y: float, angle_rad: float) -> tuple[float, float]:
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    return c * x - s * y, s * x + c * y
