"""Subscriptions that are read when their owner asks, not whenever a message arrives.

An executor of rclpy rebuilds its wait set for every single message, which costs more than most messages are
worth, and runs callbacks in whatever order. A periodic task that samples its inputs needs neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message


class _NeverExecuted(CallbackGroup):
    """Keeps its entities out of the executor's wait set."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        return None


@dataclass
class _Input:
    """One subscription, and for a repeating one the bytes and message that came last."""

    subscription: Any
    repeats: bool
    last_bytes: bytes = b""
    last: Any = None

    def take(self) -> Any | None:
        """Return the next waiting message, None when there is none.

        The very bytes of the last message give the very object again: converting is what a repetition costs.
        """
        subscription = self.subscription
        with subscription.handle:
            taken = subscription.handle.take_message(subscription.msg_type, self.repeats)
        if taken is None or not self.repeats:
            return None if taken is None else taken[0]
        if taken[0] != self.last_bytes:
            self.last = deserialize_message(taken[0], subscription.msg_type)
            self.last_bytes = taken[0]
        return self.last


class Polled:
    """Subscriptions of one node, read together by ``take_all``.

    Args:
        node: the node that owns them.
        on_unreadable: called with topic and error when bytes arrive that are no message of the topic's type.
        most: messages taken per topic and call, so that a flood cannot hold the caller up.
    """

    def __init__(self, node: Node, on_unreadable: Callable[[str, Exception], None], most: int = 10) -> None:
        self._node = node
        self._on_unreadable = on_unreadable
        self._most = most
        self._group = _NeverExecuted()
        self._inputs: list[_Input] = []

    def subscribe(
        self, kind: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile, *, repeats: bool = False
    ) -> None:
        """Subscribe; ``callback`` is called by ``take_all`` with each message in order.

        Args:
            kind: message class.
            topic: its name.
            callback: receives a message.
            qos: quality of service.
            repeats: the sender repeats itself; an equal message then arrives as the same object.
        """
        subscription = self._node.create_subscription(kind, topic, callback, qos, callback_group=self._group)
        self._inputs.append(_Input(subscription, repeats))

    def take_all(self, before_callbacks: Callable[[], None]) -> None:
        """Take every waiting message, then call ``before_callbacks``, then hand each message to its callback."""
        taken = [(source, message) for source in self._inputs for message in self._waiting(source)]
        before_callbacks()
        for source, message in taken:
            source.subscription.callback(message)

    def _waiting(self, source: _Input) -> Iterator[Any]:
        for _ in range(self._most):
            try:
                message = source.take()
            except Exception as error:  # what arrives must never be able to end a node, whatever it is
                self._on_unreadable(source.subscription.topic_name, error)
                continue
            if message is None:
                return
            yield message
