"""Subscriptions whose messages arrive as bytes and are read here, also by a periodic task of its own.

So bytes that are no message of their topic are counted and said; a usual subscription never sees them, because the
middleware drops them.

EventsExecutor calls back for every message when it arrives; an executor with a wait set would rebuild it for each of
them. A task that also takes the waiting messages itself works with both and always sees the newest. Messages come as
bytes: most of their cost is turning them into Python objects, which an older or an equal message does not need, and
damaged bytes must not end the executor.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription

from edge_worldmodel.core.errors import InputError
from edge_worldmodel.nodes.ros.rclpy_internals import NeverExecuted, take


class UnreadableError(InputError):
    """The bytes that arrived are no message of their topic's type."""

    kind = "unreadable"


class MessageReader:
    """Reads the messages of one topic and counts those that cannot be read.

    Args:
        topic: full name of the topic.
        message_type: message class.
    """

    def __init__(self, topic: str, message_type: type) -> None:
        self._topic, self._message_type = topic, message_type
        self._unreadable = 0

    def read(self, data: bytes) -> Any:
        """Return the message.

        Raises:
            UnreadableError: the bytes are none.
        """
        try:
            return deserialize_message(data, self._message_type)
        except Exception as error:  # of any class, with the middleware's words
            self._unreadable += 1
            package, name = self._message_type.__module__.split(".")[0], self._message_type.__name__
            count = "1 message" if self._unreadable == 1 else f"{self._unreadable} messages"
            raise UnreadableError(
                f"topic '{self._topic}': {count} could not be read (the publisher's message type differs from"
                f" {package}/msg/{name}, or the data was cut); check the publisher"
            ) from error


@dataclass
class _Input:
    """One subscription; its newest message that waits, with the time of receipt, and for a repeating one the last."""

    reader: MessageReader
    callback: Callable[[Any], None]
    repeats: bool
    every: bool
    on_arrival: Callable[[], None] | None
    subscription: Subscription = field(init=False)
    last_bytes: bytes = b""
    last_message: Any = None
    waiting: tuple[int, bytes] | None = None

    def read(self, data: bytes) -> Any:
        """Return the message; on a repeating input equal bytes give the same object again."""
        if not self.repeats:
            return self.reader.read(data)
        if data != self.last_bytes:
            self.last_message, self.last_bytes = self.reader.read(data), data
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
        on_unreadable: Callable[[str, UnreadableError], None],
        before_callbacks: Callable[[], None],
        limit: int = 10,
    ) -> None:
        self._node = node
        self._on_unreadable = on_unreadable
        self._before_callbacks = before_callbacks
        self._limit = limit
        self._group = NeverExecuted()
        self._inputs: list[_Input] = []
        self.received_ns = 0
        """Time of receipt of the message that is handed over now, on the steady clock."""

    def subscribe(
        self,
        kind: type,
        topic: str,
        callback: Callable[[Any], None],
        qos: QoSProfile,
        *,
        repeats: bool = False,
        every: bool = False,
        on_arrival: Callable[[], None] | None = None,
    ) -> None:
        """Subscribe. Without ``every``, only the newest message is handed over, and only by ``take_all``.

        Args:
            kind: message class.
            topic: its name.
            callback: receives the messages, in order.
            qos: quality of service.
            repeats: the publisher repeats itself; an equal message then arrives as the same object.
            every: hand over each message, and at once when it arrives.
            on_arrival: called when a message waits that differs from the one handed over last.
        """
        reader = MessageReader(self._node.resolve_topic_name(topic), kind)
        source = _Input(reader, callback, repeats, every, on_arrival)
        source.subscription = self._node.create_subscription(
            kind, topic, functools.partial(self._arrived, source), qos, callback_group=self._group, raw=True
        )
        self._inputs.append(source)

    def take_all(self) -> None:
        """Take the waiting messages, then hand them to their callbacks."""
        taken = [(source, receipt) for source in self._inputs for receipt in self._waiting(source)]
        self._before_callbacks()
        for source, (self.received_ns, data) in taken:
            self._hand_over(source, data)

    def _arrived(self, source: _Input, data: bytes) -> None:
        if source.every:
            self._before_callbacks()
            self.received_ns = time.monotonic_ns()
            self._hand_over(source, data)
            return
        source.waiting = time.monotonic_ns(), data
        if source.on_arrival is not None and data != source.last_bytes:
            source.on_arrival()

    def _hand_over(self, source: _Input, data: bytes) -> None:
        try:
            message = source.read(data)
        except UnreadableError as error:
            self._on_unreadable(source.subscription.topic_name, error)
            return
        source.callback(message)

    def _waiting(self, source: _Input) -> list[tuple[int, bytes]]:
        """Return the messages of an input to hand over now, with their times of receipt."""
        receipts = [source.waiting] if source.waiting is not None else []
        source.waiting = None
        for _ in range(self._limit):
            taken = take(source.subscription)
            if taken is None:
                break
            receipts.append((time.monotonic_ns(), taken[0]))
        return receipts if source.every else receipts[-1:]


def subscribe(
    node: Node,
    message_type: type,
    topic: str,
    callback: Callable[[Any], None],
    qos: QoSProfile | int,
    reject: Callable[[Exception], None],
) -> Subscription:
    """Subscribe.

    Args:
        node: node that subscribes.
        message_type: message class.
        topic: name of the topic.
        callback: receives each message.
        qos: quality of service.
        reject: receives an UnreadableError for bytes that are no message.
    """
    reader = MessageReader(node.resolve_topic_name(topic), message_type)

    def receive(data: bytes) -> None:
        try:
            message = reader.read(data)
        except UnreadableError as error:
            reject(error)
            return
        callback(message)

    return node.create_subscription(message_type, topic, receive, qos, raw=True)
