"""Ways to spoil a stream of serialised messages, one small class each, for the fault relay.

A spoiler is called with every message of the stream and returns what is forwarded instead: pairs of a delay in
seconds and the bytes. All messages concerned but the clock begin with a header, so stamp and frame are found at
fixed places of the bytes (CDR, little endian): 4 bytes of encapsulation, 4 of seconds, 4 of nanoseconds, then
the length of the frame's name and the name.
"""

from __future__ import annotations

import array
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import LaserScan

from edge_worldmodel import msg

Forwarded: TypeAlias = Sequence[tuple[float, bytes]]
Spoiler: TypeAlias = Callable[[bytes], Forwarded]

_STAMP = slice(4, 12)
_FRAME_BEGIN = 16
_NANOSECONDS = 1_000_000_000


class Drop:
    """Forwards nothing, or with ``every`` > 1 loses one message of so many."""

    def __init__(self, every: int = 1) -> None:
        self._every = every
        self._count = 0

    def __call__(self, data: bytes) -> Forwarded:
        """Lose this message, or let it pass."""
        self._count += 1
        return [] if self._count % self._every == 0 else [(0.0, data)]


class Delay:
    """Forwards everything late."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s

    def __call__(self, data: bytes) -> Forwarded:
        """Send this message later."""
        return [(self._delay_s, data)]


def duplicate(data: bytes) -> Forwarded:
    """Forward everything twice."""
    return [(0.0, data), (0.0, data)]


class Reorder:
    """Holds a message back until one with a newer stamp has gone first, again and again."""

    def __init__(self) -> None:
        self._held: bytes | None = None

    def __call__(self, data: bytes) -> Forwarded:
        """Hold this message back, or send it before the one that was held."""
        if self._held is None:
            self._held = data
            return []
        if data[_STAMP] == self._held[_STAMP]:  # a repeated plan has no order
            return []
        late, self._held = self._held, None
        return [(0.0, data), (0.0, late)]


class Corrupt:
    """Replaces everything after the encapsulation by random bytes."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(self, data: bytes) -> Forwarded:
        """Send rubbish of the same length."""
        return [(0.0, data[:4] + self._rng.bytes(len(data) - 4))]


class Freeze:
    """Repeats the last good message; ``restamp`` gives it the stamps of the new ones, as a stuck driver does."""

    def __init__(self, last_good: bytes, restamp: bool = False) -> None:
        self._kept, self._restamp = last_good, restamp

    def __call__(self, data: bytes) -> Forwarded:
        """Send the kept message."""
        stamp = data[_STAMP] if self._restamp else self._kept[_STAMP]
        return [(0.0, self._kept[:4] + stamp + self._kept[12:])]


class StepClock:
    """Adds an offset to a rosgraph_msgs/Clock."""

    def __init__(self, offset_s: float) -> None:
        self._offset_ns = round(offset_s * _NANOSECONDS)

    def __call__(self, data: bytes) -> Forwarded:
        """Send the time that a stepped clock shows."""
        seconds, nanoseconds = struct.unpack("<iI", data[_STAMP])
        moved_ns = max(seconds * _NANOSECONDS + nanoseconds + self._offset_ns, 1)
        return [(0.0, data[:4] + struct.pack("<iI", *divmod(moved_ns, _NANOSECONDS)) + data[12:])]


def wrong_frame(data: bytes) -> Forwarded:
    """Put everything into a frame that nobody knows."""
    return [(0.0, data[:_FRAME_BEGIN] + b"?" + data[_FRAME_BEGIN + 1 :])]


class NotANumber:
    """Puts NaN where the message carries numbers that matter."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def __call__(self, data: bytes) -> Forwarded:
        """Send the message with NaN in it."""
        message = deserialize_message(data, self._kind)
        _fill_with_nan(message)
        return [(0.0, serialize_message(message))]


def _fill_with_nan(message: Any) -> None:
    if isinstance(message, LaserScan):
        message.ranges = array.array("f", [math.nan] * len(message.ranges))
    elif isinstance(message, Odometry):
        message.twist.twist.linear.x = math.nan
    elif isinstance(message, msg.Plan):
        message.poses[-1].position.x = math.nan
    elif isinstance(message, (msg.LatentFrame, msg.WarmStart)):
        tensor = array.array("B")
        tensor.frombytes(np.full(len(message.data) // 4, np.nan, "<f4").tobytes())
        message.data = tensor
    else:
        raise TypeError(f"no number to spoil in {type(message).__name__}")


def make_spoiler(how: str, kind: type, last_good: bytes, settings: dict[str, Any]) -> Spoiler:
    """Return the spoiler of a name.

    Args:
        how: one of the names below.
        kind: message type of the stream.
        last_good: the last message that was forwarded unspoiled.
        settings: numbers that belong to the spoiler, for example ``delay_s``.
    """
    makers: dict[str, Callable[[], Spoiler]] = {
        "drop": lambda: Drop(settings.get("every", 1)),
        "delay": lambda: Delay(settings["delay_s"]),
        "duplicate": lambda: duplicate,
        "reorder": Reorder,
        "corrupt": lambda: Corrupt(settings["seed"]),
        "nan": lambda: NotANumber(kind),
        "freeze": lambda: Freeze(last_good, settings.get("restamp", False)),
        "step": lambda: StepClock(settings["offset_s"]),
        "wrong_frame": lambda: wrong_frame,
    }
    return makers[how]()
