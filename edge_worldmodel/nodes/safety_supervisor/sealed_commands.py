"""The supervisor's command with its checksum, and the verdict that vouches for it: the watchdog wants both."""

from __future__ import annotations

from rclpy.node import Node

from edge_worldmodel import msg
from edge_worldmodel.core.command_crc import command_crc
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.types import Verdict
from edge_worldmodel.nodes.ros import convert
from edge_worldmodel.nodes.ros.qos import LATEST


class SealedCommands:
    """``supervisor/command`` and ``supervisor/verdict``, numbered alike.

    Args:
        node: who publishes.
        config: with the velocity limits that every verdict repeats.
    """

    def __init__(self, node: Node, config: SupervisorConfig) -> None:
        self._commands = node.create_publisher(msg.SupervisorCommand, "supervisor/command", LATEST)
        self._verdicts = node.create_publisher(msg.Verdict, "supervisor/verdict", LATEST)
        # Filled again in every tick, which costs half of making them.
        self._command, self._verdict = msg.SupervisorCommand(), msg.Verdict()
        for name in ("max_forward_mps", "max_reverse_mps", "max_lateral_mps", "max_yaw_rate_radps"):
            setattr(self._verdict, name, float(getattr(config, name)))

    def publish(self, verdict: Verdict) -> None:
        """Publish one tick's command, then its verdict."""
        vouching, command = convert.verdict_to_msg(verdict, self._verdict), self._command
        vouching.sequence += 1
        command.sequence, command.stamp, command.twist = vouching.sequence, vouching.header.stamp, vouching.command
        linear, angular = command.twist.linear, command.twist.angular
        twist = (linear.x, linear.y, linear.z, angular.x, angular.y, angular.z)
        command.crc = command_crc(command.sequence, command.stamp.sec, command.stamp.nanosec, twist)
        vouching.command_crc = command.crc
        self._commands.publish(command)
        self._verdicts.publish(vouching)
