"""The limits of a robot, and the time steps of its trajectories."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_worldmodel.core import tensors
from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.errors import ConfigError

DT_S = 0.1
"""Time between two poses of a trajectory."""
STEPS = round(tensors.HORIZON_S / DT_S)
POSES_PER_FRAME = round(tensors.HORIZON_STEP_S / DT_S)
KINDS = ("differential", "ackermann", "holonomic", "quadrotor")


@dataclass(frozen=True)
class RobotLimits(Config):
    """Speeds, accelerations and size of the robot."""

    kind: str = param("differential", "type of drive", choices=KINDS)
    max_speed_mps: float = param(1.0, "highest forward speed", minimum=0.05, maximum=10.0)
    min_speed_mps: float = param(0.0, "lowest speed; negative if the robot may reverse", minimum=-10.0, maximum=0.0)
    max_yaw_rate_radps: float = param(1.5, "highest yaw rate", minimum=0.05, maximum=10.0)
    max_accel_mps2: float = param(1.0, "highest forward acceleration", minimum=0.05, maximum=20.0)
    max_decel_mps2: float = param(1.5, "highest deceleration", minimum=0.05, maximum=20.0)
    max_yaw_accel_radps2: float = param(3.0, "highest yaw acceleration", minimum=0.05, maximum=50.0)
    max_lateral_mps: float = param(0.0, "highest sideways speed (holonomic, quadrotor)", minimum=0.0, maximum=10.0)
    max_curvature_radpm: float = param(
        1.5, "tightest curve, 1 / turning radius (ackermann)", minimum=0.05, maximum=100.0
    )
    max_jerk_mps3: float = param(100.0, "highest change of the acceleration per second", minimum=0.5, maximum=1000.0)
    max_yaw_jerk_radps3: float = param(
        300.0, "highest change of the yaw acceleration per second", minimum=0.5, maximum=10_000.0
    )
    radius_m: float = param(0.25, "radius of the circle around base_link that holds the footprint", minimum=0.05)
    length_m: float = param(
        0.0, "length of a rectangular body centred on base_link; 0: the body is the circle", minimum=0.0
    )
    width_m: float = param(0.0, "width of that rectangular body", minimum=0.0)

    def __post_init__(self) -> None:
        """Check fields that depend on each other."""
        super().__post_init__()
        if (self.length_m > 0.0) != (self.width_m > 0.0):
            raise ConfigError(
                f"RobotLimits.length_m = {self.length_m!r}, width_m = {self.width_m!r}: set both, or none for a circle"
            )
        corner_m = 0.5 * math.hypot(self.length_m, self.width_m)
        if corner_m > self.radius_m + 0.005:
            raise ConfigError(
                f"RobotLimits.radius_m = {self.radius_m!r}: the circle must hold the corners of length_m x width_m, "
                f"which lie {corner_m:.3f} m away"
            )
        if self.kind == "holonomic" and self.max_lateral_mps == 0.0:
            raise ConfigError("RobotLimits.max_lateral_mps = 0.0: a holonomic robot moves sideways; set its speed")

    @property
    def discs_m(self) -> tuple[float, ...]:
        """Return the positions along x of the discs of ``body_radius_m`` that cover the body together."""
        count = self._discs
        return tuple((i + 0.5) * self.length_m / count - 0.5 * self.length_m for i in range(count))

    @property
    def body_radius_m(self) -> float:
        """Return the radius of the discs that cover the body; ``radius_m`` if the body is the circle."""
        if not self.length_m:
            return self.radius_m
        return math.hypot(0.5 * self.length_m / self._discs, 0.5 * self.width_m)

    @property
    def _discs(self) -> int:
        return math.ceil(self.length_m / self.width_m) + 1 if self.length_m else 1

    @property
    def axes(self) -> int:
        """Return the number of columns of twist targets: 2 for speed and yaw rate, 3 with a sideways speed between."""
        return 3 if self.kind in ("holonomic", "quadrotor") and self.max_lateral_mps > 0.0 else 2
