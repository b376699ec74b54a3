"""How the supervisor's command leaves: to a drive base, to MAVROS or to PX4, once per tick and whatever the state.

Each tick's message is also the autopilot's proof of life, so it ends when this process does and not before: a drone
that is held gets zero velocity, one that lands its descent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

from geometry_msgs.msg import Twist, TwistStamped
from rclpy.node import Node

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.intake import Clock, Intake, Odometry
from edge_worldmodel.core.types import Floats, Verdict
from edge_worldmodel.nodes.ros import convert
from edge_worldmodel.nodes.ros.qos import LATEST
from edge_worldmodel.nodes.safety_supervisor.setpoint_frames import body_setpoint, enu_setpoint, ned_from_enu


@dataclass(frozen=True)
class CommandOutputConfig(Config):
    """Where the command goes; see docs/safety.md."""

    output: str = param(
        "twist", "What the command is published as.", choices=("twist", "twist_stamped", "mavros", "px4")
    )
    mav_frame: str = param(
        "LOCAL_NED", "Output mavros: what its setpoint_velocity.mav_frame says.", choices=("LOCAL_NED", "BODY_NED")
    )


class CommandOutput(Protocol):
    """Publishes what a verdict commands."""

    def send(self, verdict: Verdict, heading_rad: float | None) -> None:
        """Publish one tick's command; ``heading_rad`` is the yaw in the odometry frame, None while unknown."""


class TwistOutput:
    """``cmd_vel`` as Twist."""

    def __init__(self, node: Node) -> None:
        self._publisher = node.create_publisher(Twist, "cmd_vel", LATEST)

    def send(self, verdict: Verdict, heading_rad: float | None) -> None:
        """Publish the command in the base frame."""
        self._publisher.publish(_twist(body_setpoint(verdict.command, verdict.climb_mps)))


class TwistStampedOutput:
    """``cmd_vel`` as TwistStamped."""

    def __init__(self, node: Node) -> None:
        self._publisher = node.create_publisher(TwistStamped, "cmd_vel", LATEST)

    def send(self, verdict: Verdict, heading_rad: float | None) -> None:
        """Publish the command in the base frame."""
        setpoint = body_setpoint(verdict.command, verdict.climb_mps)
        self._publisher.publish(_stamped(setpoint, verdict, verdict.frame_id))


class MavrosOutput:
    """``mavros/setpoint_velocity/cmd_vel``, in the frame that MAVROS turns into its ``mav_frame``.

    Args:
        node: who publishes.
        mav_frame: LOCAL_NED: MAVROS expects east, north, up. BODY_NED: forward, left, up.
        odom_frame: name of the frame of odometry.
    """

    def __init__(self, node: Node, mav_frame: str, odom_frame: str) -> None:
        self._publisher = node.create_publisher(TwistStamped, "mavros/setpoint_velocity/cmd_vel", LATEST)
        self._in_body_frame = mav_frame == "BODY_NED"
        self._odom_frame = odom_frame

    def send(self, verdict: Verdict, heading_rad: float | None) -> None:
        """Publish the command."""
        if self._in_body_frame:
            message = _stamped(body_setpoint(verdict.command, verdict.climb_mps), verdict, verdict.frame_id)
        else:
            setpoint = enu_setpoint(verdict.command, verdict.climb_mps, heading_rad)
            message = _stamped(setpoint, verdict, self._odom_frame)
        self._publisher.publish(message)


class Px4Output:
    """``fmu/in/offboard_control_mode`` and ``fmu/in/trajectory_setpoint``: velocity in north, east, down.

    Raises:
        ConfigError: PX4's message package is not installed.
    """

    def __init__(self, node: Node) -> None:
        messages = _px4_messages()
        self._modes = node.create_publisher(messages.OffboardControlMode, "fmu/in/offboard_control_mode", LATEST)
        self._setpoints = node.create_publisher(messages.TrajectorySetpoint, "fmu/in/trajectory_setpoint", LATEST)
        self._mode = messages.OffboardControlMode(velocity=True)
        # NaN: not controlled
        free = [math.nan] * 3
        self._setpoint = messages.TrajectorySetpoint(position=free, acceleration=free, jerk=free, yaw=math.nan)

    def send(self, verdict: Verdict, heading_rad: float | None) -> None:
        """Publish the proof of life and the command."""
        setpoint = ned_from_enu(enu_setpoint(verdict.command, verdict.climb_mps, heading_rad))
        *velocity, yaw_rate = setpoint.tolist()
        self._mode.timestamp = self._setpoint.timestamp = verdict.stamp_ns // 1000
        self._setpoint.velocity, self._setpoint.yawspeed = velocity, yaw_rate
        self._modes.publish(self._mode)
        self._setpoints.publish(self._setpoint)


def open_output(node: Node, setup: CommandOutputConfig, config: SupervisorConfig) -> CommandOutput:
    """Return the output that the parameters ask for.

    Raises:
        ConfigError: the vehicle cannot be commanded that way, or a package is missing.
    """
    if setup.output == "twist":
        return TwistOutput(node)
    if setup.output == "twist_stamped":
        return TwistStampedOutput(node)
    turns = setup.output == "px4" or setup.mav_frame == "LOCAL_NED"
    if turns and config.unsafe_without_odometry:
        raise ConfigError(
            f"output '{setup.output}' turns commands into a fixed frame by the yaw of odometry:"
            " remove unsafe_without_odometry, or use output mavros with mav_frame BODY_NED"
        )
    if turns and config.vehicle == "ground":
        raise ConfigError(
            f"output '{setup.output}' would send a velocity in a fixed frame, from which a ground vehicle cannot tell"
            " reverse from turning round: use output mavros with mav_frame BODY_NED, or set vehicle to drone"
        )
    return Px4Output(node) if setup.output == "px4" else MavrosOutput(node, setup.mav_frame, config.odom_frame)


def heading_rad(odometry: Intake[Odometry], clock: Clock) -> float | None:
    """Return the yaw of now, carried forward from the newest odometry; None when that cannot be trusted."""
    value = odometry.value
    if value is None or odometry.fault(clock) is not None:
        return None
    return float(value.pose[2] + value.twist[2] * max(odometry.age_s(clock), 0.0))


def _twist(setpoint: Floats) -> Twist:
    message = Twist()
    message.linear.x, message.linear.y, message.linear.z, message.angular.z = setpoint.tolist()
    return message


def _stamped(setpoint: Floats, verdict: Verdict, frame_id: str) -> TwistStamped:
    message = TwistStamped(twist=_twist(setpoint))
    message.header.stamp = convert.stamp_to_msg(verdict.stamp_ns)
    message.header.frame_id = frame_id
    return message


def _px4_messages() -> Any:
    try:
        from px4_msgs import msg
    except ImportError as error:
        raise ConfigError(
            "output 'px4' needs the ROS package px4_msgs, which is not installed: build the branch of"
            " https://github.com/PX4/px4_msgs that matches your firmware in your workspace and source it"
        ) from error
    return msg
