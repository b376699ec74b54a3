"""The middleware's own word on a topic: a deadline missed, a publisher gone. A second signal, never the only one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node

from edge_worldmodel.nodes.ros.qos import WATCHED
from edge_worldmodel.nodes.ros.rclpy_internals import EventsOnly


class PromiseWatch:
    """Watches that a topic's publishers keep deadline and liveliness.

    A publisher that offers neither is simply not watched, as whoever needs its messages reads them elsewhere.

    Args:
        node: the node that subscribes.
        kind: message class.
        topic: its name.
        on_broken: called with what happened, in plain words.
    """

    def __init__(self, node: Node, kind: type, topic: str, on_broken: Callable[[str], None]) -> None:
        self._on_broken = on_broken
        callbacks = SubscriptionEventCallbacks(
            deadline=lambda _: self._on_broken("its deadline was missed"),
            liveliness=self._on_liveliness,
            incompatible_qos=lambda _: None,
        )
        self._subscription = node.create_subscription(
            kind, topic, lambda _: None, WATCHED, callback_group=EventsOnly(), event_callbacks=callbacks, raw=True
        )  # raw: an executor of events takes the messages all the same, and nobody wants them turned into Python

    def _on_liveliness(self, status: Any) -> None:
        if status.alive_count == 0:
            self._on_broken("its publisher is gone")
