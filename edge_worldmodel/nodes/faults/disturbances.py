"""Faults that are no changed message of one stream: floods, a second publisher, and what people and drones do."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

from geometry_msgs.msg import TransformStamped, Twist
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.publisher import Publisher
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from tf2_ros import StaticTransformBroadcaster

from edge_worldmodel import msg
from edge_worldmodel.nodes.faults.spoilers import INVERTED
from edge_worldmodel.nodes.ros.qos import EVENTS, LATEST, SENSOR

_HOVER_M = 3.0
_HOVER_PERIOD_S = 0.02
AIR = "air"
"""Namespace of the drone's supervisor."""


class Repeater:
    """Calls a function at a rate, in a thread of its own, until it is told to end."""

    def __init__(self, period_s: float, action: Any) -> None:
        self._ended = threading.Event()
        self._period_s, self._action = period_s, action
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        next_s = time.monotonic()
        while not self._ended.is_set():
            self._action()
            next_s = max(next_s + self._period_s, time.monotonic())
            time.sleep(max(next_s - time.monotonic(), 0.0))

    def end(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()


class Disturbances:
    """Faults beside the streams of messages; ``end`` undoes all of them.

    Args:
        node: node of the relay.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._repeater: Repeater | None = None
        self._rival: Publisher[Twist] | None = None
        self._estop = node.create_publisher(Bool, "estop", EVENTS)
        self._reset = node.create_client(Trigger, "supervisor/reset")
        self._odometry = node.create_publisher(Odometry, f"{AIR}/odom", SENSOR)
        self.air_verdicts = node.create_subscription(msg.Verdict, f"{AIR}/supervisor/verdict", self._on_air, LATEST)
        self.air_state = -1
        self._mount = StaticTransformBroadcaster(node)
        self._mount.sendTransform(_upside_down("laser", INVERTED))

    def flood(self, publisher: Publisher[Any], data: bytes, rate_hz: float) -> None:
        """Publish a message again and again."""
        self._repeater = Repeater(1.0 / rate_hz, lambda: publisher.publish(data))

    def open_rival(self) -> None:
        """Become a second publisher of the drive topic, without a command."""
        self._rival = self._node.create_publisher(Twist, "cmd_vel", 1)

    def press_estop(self, pressed: bool) -> None:
        """Press or release the emergency stop on its topic."""
        self._estop.publish(Bool(data=pressed))

    def reset(self) -> None:
        """Ask for a reset, as a person does after an emergency stop. The answer shows in the verdict."""
        self._reset.call_async(Trigger.Request())

    def hover(self) -> None:
        """Publish the odometry of a drone that hovers."""
        self.air_state = -1
        self._repeater = Repeater(_HOVER_PERIOD_S, self._publish_hovering)

    def end(self) -> None:
        """End the flood, the second publisher and the drone."""
        if self._repeater is not None:
            self._repeater.end()
            self._repeater = None
        if self._rival is not None:
            self._node.destroy_publisher(self._rival)
            self._rival = None

    def _publish_hovering(self) -> None:
        message = Odometry(child_frame_id="base_link")
        message.header.frame_id = "odom"
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.pose.pose.position.z = _HOVER_M
        message.pose.pose.orientation.w = 1.0
        self._odometry.publish(message)

    def _on_air(self, message: msg.Verdict, _: dict[str, int]) -> None:
        self.air_state = message.state


def _upside_down(parent: str, child: str) -> TransformStamped:
    """Return the mount of a scanner that hangs upside down at the place of another one."""
    transform = TransformStamped(child_frame_id=child)
    transform.header.frame_id = parent
    half = 0.5 * math.pi
    transform.transform.rotation.x, transform.transform.rotation.w = math.sin(half), math.cos(half)
    return transform
