"""Subscriptions that a periodic task reads itself, in addition to handing over each message as it arrives.

EventsExecutor calls back for every message when it arrives; an executor with a wait set would rebuild it for each of
them. A task that also takes the waiting messages itself works with both and always sees the newest. Messages come as
bytes: most of their cost is turning them into Python objects, which an equal message does not need, and damaged bytes
must not end the executor.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription

from edge_worldmodel.nodes.ros.rclpy_internals import NeverExecuted, take


@dataclass
class _Input:
    """One subscription, and for a repeating one the bytes and message that came last."""

    kind: type
    callback: Callable[[Any], None]
    repeats: bool
    subscription: Subscription = field(init=False)
    last_bytes: bytes = b""
    last_message: Any = None

    def read(self, data: bytes) -> Any:
        """Return the message; on a repeating input equal bytes give the same object again."""
        if not self.repeats:
            return deserialize_message(data, self.kind)
        if data != self.last_bytes:
            self.last_message, self.last_bytes = deserialize_message(data, self.kind), data
        return self.last_message


class Polled:
    """Subscriptions of one node; ``take_all`` reads all messages that have not been handed over yet.

    Args:
        node: the node that owns them.
        on_unreadable: called with topic and error when bytes arrive that are no message of the topic's type.
        before_callbacks: called before any message is handed over, once for all that are handed over together.
        limit: most messages taken per topic and call, so that a flood cannot hold the caller up.
    """

    def __init__(
        self,
        node: Node,
        on_unreadable: Callable[[str, Exception], None],
        before_callbacks: Callable[[], None],
        limit: int = 10,
    ) -> None:
        self._node = node
        self._on_unreadable = on_unreadable
        self._before_callbacks = before_callbacks
        self._limit = limit
        self._group = NeverExecuted()
        self._inputs: list[_Input] = []
        self.taking = False
        """True while ``take_all`` runs; a callback then need not ask its caller to look at the inputs."""

    def subscribe(
        self, kind: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile, *, repeats: bool = False
    ) -> None:
        """Subscribe.

        Args:
            kind: message class.
            topic: its name.
            callback: receives each message, in order.
            qos: quality of service.
            repeats: the publisher repeats itself; an equal message then arrives as the same object.
        """
        source = _Input(kind, callback, repeats)
        source.subscription = self._node.create_subscription(
            kind, topic, functools.partial(self._arrived, source), qos, callback_group=self._group, raw=True
        )
        self._inputs.append(source)

    def take_all(self) -> None:
        """Take every waiting message, then hand each to its callback."""
        self.taking = True
        try:
            taken = [(source, data) for source in self._inputs for data in self._waiting(source)]
            self._before_callbacks()
            for source, data in taken:
                self._hand_over(source, data)
        finally:
            self.taking = False

    def _arrived(self, source: _Input, data: bytes) -> None:
        self._before_callbacks()
        self._hand_over(source, data)

    def _hand_over(self, source: _Input, data: bytes) -> None:
        try:
            message = source.read(data)
        except Exception as error:  # no bytes that arrive may end a node
            self._on_unreadable(source.subscription.topic_name, error)
            return
        source.callback(message)

    def _waiting(self, source: _Input) -> Iterator[bytes]:
        for _ in range(self._limit):
            taken = take(source.subscription)
            if taken is None:
                return
            yield taken[0]
