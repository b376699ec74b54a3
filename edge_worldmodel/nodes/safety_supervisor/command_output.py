"""Publishes the supervisor's command to MAVROS or to PX4: once per tick, in every state.

An autopilot takes the stream of messages as the sign that this process lives, so it must not stop before the process
does: a drone that holds gets zero velocity, one that lands gets its descent. PX4 also wants the stream before it
changes to offboard mode; until then all setpoints are zero (``autopilot_status``). Setpoints are arrays (4,): velocity
along three axes in m/s, then the yaw rate about the third axis in rad/s. Drive bases are commanded by the watchdog
(docs/adr/0020).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from geometry_msgs.msg import TwistStamped
from rclpy.node import Node

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.inputs.intake import Instant, Intake, OdometrySample
from edge_worldmodel.core.types import Floats, Twist, Verdict
from edge_worldmodel.nodes.ros import convert
from edge_worldmodel.nodes.ros.qos import LATEST
from edge_worldmodel.nodes.safety_supervisor.autopilot_status import AutopilotStatus, mavros_status, px4_status

DRIVE_BASES = ("twist", "twist_stamped")
"""Outputs that the watchdog publishes, as ``DRIVE_TOPIC``."""
DRIVE_TOPIC = "cmd_vel"


@dataclass(frozen=True)
class CommandOutputConfig(Config):
    """Form of the published command; see docs/safety.md."""

    output: str = param("twist", "Form in which the command is published.", choices=(*DRIVE_BASES, "mavros", "px4"))
    mav_frame: str = param(
        "LOCAL_NED", "Output mavros: value of MAVROS' setpoint_velocity.mav_frame.", choices=("LOCAL_NED", "BODY_NED")
    )


class AutopilotOutput(Protocol):
    """Publishes the command of a verdict as an autopilot takes it.

    Attributes:
        topic: topic that nothing else may publish.
        status: tells whether the autopilot follows the commands.
    """

    topic: str
    status: AutopilotStatus

    def send(self, verdict: Verdict, heading_rad: float | None) -> None:
        """Publish the command of one tick; ``heading_rad`` is the yaw in the odom frame, None if unknown."""


class MavrosOutput:
    """``mavros/setpoint_velocity/cmd_vel``, in the frame that MAVROS converts to its ``mav_frame``.

    Args:
        node: node that publishes.
        mav_frame: with LOCAL_NED MAVROS expects east, north, up; with BODY_NED forward, left, up.
        odom_frame: name of the odom frame.

    Raises:
        ConfigError: MAVROS' message package is not installed.
    """

    topic = "mavros/setpoint_velocity/cmd_vel"

    def __init__(self, node: Node, mav_frame: str, odom_frame: str) -> None:
        self.status = mavros_status()
        self._publisher = node.create_publisher(TwistStamped, self.topic, LATEST)
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

    topic = "fmu/in/trajectory_setpoint"

    def __init__(self, node: Node) -> None:
        messages = _px4_messages()
        self.status = px4_status(messages)
        self._modes = node.create_publisher(messages.OffboardControlMode, "fmu/in/offboard_control_mode", LATEST)
        self._setpoints = node.create_publisher(messages.TrajectorySetpoint, self.topic, LATEST)
        self._mode = messages.OffboardControlMode(velocity=True)
        # PX4 does not control what is NaN.
        free = [math.nan] * 3
        self._setpoint = messages.TrajectorySetpoint(position=free, acceleration=free, jerk=free, yaw=math.nan)

    def send(self, verdict: Verdict, heading_rad: float | None) -> None:
        """Publish the control mode, which PX4 requires at 2 Hz or more, and the command."""
        setpoint = ned_from_enu(enu_setpoint(verdict.command, verdict.climb_mps, heading_rad))
        *velocity, yaw_rate = setpoint.tolist()
        self._mode.timestamp = self._setpoint.timestamp = verdict.stamp_ns // 1000
        self._setpoint.velocity, self._setpoint.yawspeed = velocity, yaw_rate
        self._modes.publish(self._mode)
        self._setpoints.publish(self._setpoint)


def open_autopilot(node: Node, setup: CommandOutputConfig, config: SupervisorConfig) -> AutopilotOutput | None:
    """Return the autopilot that the parameters select; None for a drive base, which the watchdog commands.

    Raises:
        ConfigError: the vehicle cannot be commanded in this form, or a package is missing.
    """
    if setup.output in DRIVE_BASES:
        return None
    rotates = setup.output == "px4" or setup.mav_frame == "LOCAL_NED"
    if rotates and config.unsafe_without_odometry:
        raise ConfigError(
            f"output '{setup.output}' rotates commands into a fixed frame and needs the yaw from odometry:"
            " remove unsafe_without_odometry, or use output mavros with mav_frame BODY_NED"
        )
    if rotates and config.vehicle == "ground":
        raise ConfigError(
            f"output '{setup.output}' sends velocities in a fixed frame, in which a ground vehicle cannot tell"
            " reversing from turning around: use output mavros with mav_frame BODY_NED, or set vehicle to drone"
        )
    return Px4Output(node) if setup.output == "px4" else MavrosOutput(node, setup.mav_frame, config.odom_frame)


def heading_rad(odometry: Intake[OdometrySample], now: Instant) -> float | None:
    """Return the present yaw in the odom frame, extrapolated from odometry; None if odometry is not trusted."""
    value = odometry.value
    if value is None or odometry.fault(now) is not None:
        return None
    return float(value.pose[2] + value.twist[2] * max(odometry.age_s(now), 0.0))


def body_setpoint(command: Twist, climb_mps: float) -> Floats:
    """Return a command (3,) in the base frame as a setpoint (4,) forward, left, up."""
    return np.array([command[0], command[1], climb_mps, command[2]], dtype=np.float64)


def enu_setpoint(command: Twist, climb_mps: float, heading_rad: float | None) -> Floats:
    """Return a command in the base frame as a setpoint (4,) in the odom frame: east, north, up.

    Args:
        command: vx, vy and yaw rate (3,) in the base frame.
        climb_mps: vertical speed, positive up.
        heading_rad: yaw of the base in the odom frame, 0 is east. If it is None (unknown), only the climb is commanded.
    """
    if heading_rad is None:
        return body_setpoint(np.zeros(3), climb_mps)
    cos, sin = math.cos(heading_rad), math.sin(heading_rad)
    forward, left, yaw_rate = command.tolist()
    return np.array([cos * forward - sin * left, sin * forward + cos * left, climb_mps, yaw_rate])


def ned_from_enu(setpoint: Floats) -> Floats:
    """Convert a setpoint (4,) from east, north, up to north, east, down."""
    east, north, up, yaw_rate = setpoint.tolist()
    return np.array([north, east, -up, -yaw_rate])


def _stamped(setpoint: Floats, verdict: Verdict, frame_id: str) -> TwistStamped:
    message = TwistStamped()
    linear, angular = message.twist.linear, message.twist.angular
    linear.x, linear.y, linear.z, angular.z = setpoint.tolist()
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
