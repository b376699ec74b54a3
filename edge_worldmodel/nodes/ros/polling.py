"""Subscriptions that bring bytes, turned into messages in one place: as they arrive, and whatever waits when asked.

An executor of events hands every message over at once, one with a wait set would rebuild that for each of them;
a periodic task that reads its inputs itself works with both, and sees the newest. Bytes rather than messages, because
turning a repetition into Python is what it costs, and damaged bytes must not end the executor.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message


class _NeverExecuted(CallbackGroup):
    """Keeps its entities out of the wait set of an executor that has one."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        return None


@dataclass
class _Input:
    """One subscription, and for a repeating one the bytes and message that came last."""

    kind: type
    callback: Callable[[Any], None]
    repeats: bool
    subscription: Any = None
    last_bytes: bytes = b""
    last: Any = None

    def waiting(self) -> bytes | None:
        """Return the next waiting message, None when there is none."""
        with self.subscription.handle:
            taken = self.subscription.handle.take_message(self.kind, True)
        return None if taken is None else taken[0]

    def read(self, data: bytes) -> Any:
        """Return the message; the very bytes of the last one of a repeating input give the very object again."""
        if not self.repeats:
            return deserialize_message(data, self.kind)
        if data != self.last_bytes:
            self.last, self.last_bytes = deserialize_message(data, self.kind), data
        return self.last


class Polled:
    """Subscriptions of one node; those that have not been handed over yet are read together by ``take_all``.

    Args:
        node: the node that owns them.
        on_unreadable: called with topic and error when bytes arrive that are no message of the topic's type.
        before_callbacks: called before any message is handed over, once for all that are handed over together.
        most: messages taken per topic and call, so that a flood cannot hold the caller up.
    """

    def __init__(
        self,
        node: Node,
        on_unreadable: Callable[[str, Exception], None],
        before_callbacks: Callable[[], None],
        most: int = 10,
    ) -> None:
        self._node = node
        self._on_unreadable = on_unreadable
        self._before_callbacks = before_callbacks
        self._most = most
        self._group = _NeverExecuted()
        self._inputs: list[_Input] = []
        self.taking = False
        """Whether ``take_all`` is at work: its caller looks at all there is anyway."""

    def subscribe(
        self, kind: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile, *, repeats: bool = False
    ) -> None:
        """Subscribe.

        Args:
            kind: message class.
            topic: its name.
            callback: receives each message, in order.
            qos: quality of service.
            repeats: the sender repeats itself; an equal message then arrives as the same object.
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
        except Exception as error:  # what arrives must never be able to end a node, whatever it is
            self._on_unreadable(source.subscription.topic_name, error)
            return
        source.callback(message)

    def _waiting(self, source: _Input) -> Iterator[bytes]:
        for _ in range(self._most):
            data = source.waiting()
            if data is None:
                return
            yield data
