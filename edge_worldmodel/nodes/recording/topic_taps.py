"""Serialised messages of topics that need not exist yet, with whatever type and quality of service they have."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeAlias

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosidl_runtime_py.utilities import get_message

_DEPTH = 200

Receive: TypeAlias = Callable[[str, str, bytes, int], None]
"""Takes topic, message type, bytes, and the computer's time of publication (ns)."""


class _Unscheduled(CallbackGroup):
    """Subscriptions that the executor leaves alone.

    The events executor cannot take serialised messages, and the other one looks at every subscription for every
    message. Some hundred messages a second are cheaper taken in turns; when they arrive does not matter here,
    the middleware tells when they were published.
    """

    def can_execute(self, entity: Any) -> bool:
        """Never."""
        return False


class TopicTaps:
    """Subscribes to the wanted topics as soon as somebody publishes them.

    Args:
        node: the node that subscribes; its executor must be one that respects callback groups.
        is_wanted: tells by its full name whether a topic is wanted.
        receive: called from ``take_all`` with each message.
    """

    def __init__(self, node: Node, is_wanted: Callable[[str], bool], receive: Receive) -> None:
        self._node = node
        self._is_wanted = is_wanted
        self._receive = receive
        self._group = _Unscheduled()
        self._taps: dict[str, tuple[Any, str]] = {}

    def look_for_topics(self) -> None:
        """Subscribe to what is new."""
        for topic, types in self._node.get_topic_names_and_types():
            if topic in self._taps or not self._is_wanted(topic) or not self._node.count_publishers(topic):
                continue
            try:
                kind = get_message(types[0])
            except (ImportError, AttributeError, ValueError) as error:
                self._node.get_logger().warning(f"'{topic}' is not recorded: {error}", throttle_duration_sec=60.0)
                continue
            quality = self._quality(topic)
            subscription = self._node.create_subscription(
                kind, topic, lambda _: None, quality, raw=True, callback_group=self._group
            )
            self._taps[topic] = (subscription, types[0])

    def take_all(self) -> None:
        """Hand on everything that was received."""
        for topic, (subscription, type_name) in self._taps.items():
            for _ in range(_DEPTH):
                with subscription.handle:
                    taken = subscription.handle.take_message(subscription.msg_type, True)
                if taken is None:
                    break
                data, info = taken
                self._receive(topic, type_name, bytes(data), info["source_timestamp"] or time.time_ns())

    def _quality(self, topic: str) -> QoSProfile:
        """Ask for the best that every publisher of the topic offers."""
        offered = [info.qos_profile for info in self._node.get_publishers_info_by_topic(topic)]
        reliable = all(profile.reliability == ReliabilityPolicy.RELIABLE for profile in offered)
        latched = all(profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for profile in offered)
        return QoSProfile(
            depth=_DEPTH,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )
