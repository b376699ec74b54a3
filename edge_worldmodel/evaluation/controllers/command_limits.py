"""The limits of the scenario's robot under the speed cap: every planner is given these, ours included."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_worldmodel.sim.robots import RobotSpec


@dataclass(frozen=True)
class CommandLimits:
    """Limits of the commands."""

    forward_mps: float
    reverse_mps: float
    yaw_rate_radps: float
    acceleration_mps2: float
    deceleration_mps2: float
    yaw_acceleration_radps2: float
    turn_radius_m: float = 0.0
    """Smallest turning radius; 0 if the robot can turn on the spot."""


def command_limits(robot: RobotSpec, max_speed_mps: float) -> CommandLimits:
    """Return a robot's own limits under a speed cap."""
    return CommandLimits(
        forward_mps=min(robot.max_speed_mps, max_speed_mps),
        reverse_mps=min(robot.max_reverse_mps, max_speed_mps),
        yaw_rate_radps=robot.max_yaw_rate_radps,
        acceleration_mps2=robot.max_acceleration_mps2,
        deceleration_mps2=robot.max_deceleration_mps2,
        yaw_acceleration_radps2=robot.max_yaw_acceleration_radps2,
        turn_radius_m=robot.wheelbase_m / math.tan(robot.max_steering_rad) if robot.kind == "ackermann" else 0.0,
    )
