"""Subscriptions that are read when their owner asks, not whenever a message arrives.

An executor of rclpy rebuilds its wait set for every single message, which costs more than most messages are
worth, and runs callbacks in whatever order. A periodic task that samples its inputs needs neither.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile


class _NeverExecuted(CallbackGroup):
    """Keeps its entities out of the executor's wait set."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        return None


class Polled:
    """Subscriptions of one node, read together by ``take_all``.

    Args:
        node: the node that owns them.
        most: messages taken per topic and call, so that a flood cannot hold the caller up.
    """

    def __init__(self, node: Node, most: int = 10) -> None:
        self._node = node
        self._most = most
        self._group = _NeverExecuted()
        self._subscriptions: list[Any] = []

    def subscribe(self, kind: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile) -> None:
        """Subscribe; ``callback`` is called from ``take_all`` with each message in order."""
        subscription = self._node.create_subscription(kind, topic, callback, qos, callback_group=self._group)
        self._subscriptions.append(subscription)

    def take_all(self) -> None:
        """Hand every waiting message to its callback."""
        for subscription in self._subscriptions:
            for _ in range(self._most):
                with subscription.handle:
                    taken = subscription.handle.take_message(subscription.msg_type, False)
                if taken is None:
                    break
                subscription.callback(taken[0])
