"""The emergency stop on topics. It hears publishers of any reliability; only the topic that pressed it releases it."""

from __future__ import annotations

import functools
from typing import Protocol

from rclpy.node import Node
from std_msgs.msg import Bool

from edge_worldmodel.core.safety.guards import Guards
from edge_worldmodel.core.safety.inputs.intake import Instant
from edge_worldmodel.nodes.ros.health import Health
from edge_worldmodel.nodes.ros.polling import Polled
from edge_worldmodel.nodes.ros.qos import EVENTS, EVENTS_BEST_EFFORT

_BEST_EFFORT = ", best effort"
"""Added to a topic as the source of a press that only the best-effort subscription heard."""


class ReceiptTime(Protocol):
    """Has the time at which the message that is handled now was received."""

    now: Instant


class EstopTopics:
    """Subscribes to each topic twice.

    A best-effort subscription hears every publisher, but may lose a message. A reliable one loses none, but does not
    hear best-effort publishers.

    Args:
        node: node that subscribes.
        polled: subscriptions of the node.
        guards: holds the emergency stop and the signs of life of its topics.
        topics: names of the topics.
        health: says why a release did not count.
        inputs: has the time of receipt.
    """

    def __init__(
        self, node: Node, polled: Polled, guards: Guards, topics: tuple[str, ...], health: Health, inputs: ReceiptTime
    ) -> None:
        self._node, self._guards, self._health, self._inputs = node, guards, health, inputs
        for topic in topics:
            for name, qos in ((_BEST_EFFORT, EVENTS_BEST_EFFORT), ("", EVENTS)):
                polled.subscribe(Bool, topic, functools.partial(self._on_message, topic, name), qos, every=True)

    def _on_message(self, topic: str, subscription: str, message: Bool) -> None:
        self._guards.receive_panel(topic, self._inputs.now)
        estop = self._guards.estop
        if message.data:
            estop.press(True, topic + subscription)
        elif not estop.sources & {topic, topic + _BEST_EFFORT}:
            return
        elif (count := self._node.count_publishers(topic)) > 1:
            # Messages do not say who sent them.
            self._health.problem(
                f"release of {topic}",
                f"a release on '{topic}' does not count, because the topic has {count} publishers and another one may"
                " press it: give each panel a topic of its own in estop_topics, or use one panel only",
            )
        else:
            self._health.solved(f"release of {topic}")
            estop.press(False, topic + _BEST_EFFORT)
            if not subscription:
                estop.press(False, topic)
