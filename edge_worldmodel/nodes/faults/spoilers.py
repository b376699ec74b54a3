"""Faults of a stream of serialised messages, one small class each, for the fault relay.

A spoiler is called with every message of the stream and returns the messages that are forwarded instead, as pairs of a
delay in seconds and the bytes. All these messages but the clock begin with a header, so stamp and frame are at fixed
offsets (CDR, little endian): 4 bytes of encapsulation, 4 of seconds, 4 of nanoseconds, then the length of the name of
the frame and the name.
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
from edge_worldmodel.core.time_units import NS_PER_S

Forwarded: TypeAlias = Sequence[tuple[float, bytes]]
Spoiler: TypeAlias = Callable[[bytes], Forwarded]

_STAMP = slice(4, 12)
_FRAME_BEGIN = 16


class Drop:
    """Drops every message, or with ``every`` > 1 one of so many."""

    def __init__(self, every: int = 1) -> None:
        self._every = every
        self._count = 0

    def __call__(self, data: bytes) -> Forwarded:
        """Drop or forward this message."""
        self._count += 1
        return [] if self._count % self._every == 0 else [(0.0, data)]


class Delay:
    """Forwards every message late."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s

    def __call__(self, data: bytes) -> Forwarded:
        """Forward this message later."""
        return [(self._delay_s, data)]


def duplicate(data: bytes) -> Forwarded:
    """Forward this message twice."""
    return [(0.0, data), (0.0, data)]


class Reorder:
    """Swaps each two messages with different stamps."""

    def __init__(self) -> None:
        self._held: bytes | None = None

    def __call__(self, data: bytes) -> Forwarded:
        """Hold this message back, or forward it before the one that was held back."""
        if self._held is None:
            self._held = data
            return []
        if data[_STAMP] == self._held[_STAMP]:  # a repeated plan
            return []
        late, self._held = self._held, None
        return [(0.0, data), (0.0, late)]


class Corrupt:
    """Replaces all bytes after the encapsulation by random ones."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(self, data: bytes) -> Forwarded:
        """Forward random bytes of the same length."""
        return [(0.0, data[:4] + self._rng.bytes(len(data) - 4))]


class Freeze:
    """Repeats the last good message; ``restamp`` gives it new stamps, as a driver with a frozen sensor does."""

    def __init__(self, last_good: bytes, restamp: bool = False) -> None:
        self._kept, self._restamp = last_good, restamp

    def __call__(self, data: bytes) -> Forwarded:
        """Forward the last good message instead of this one."""
        stamp = data[_STAMP] if self._restamp else self._kept[_STAMP]
        return [(0.0, self._kept[:4] + stamp + self._kept[12:])]


class StepClock:
    """Adds an offset to a rosgraph_msgs/Clock."""

    def __init__(self, offset_s: float) -> None:
        self._offset_ns = round(offset_s * NS_PER_S)

    def __call__(self, data: bytes) -> Forwarded:
        """Forward the time of a clock that was set."""
        seconds, nanoseconds = struct.unpack("<iI", data[_STAMP])
        moved_ns = max(seconds * NS_PER_S + nanoseconds + self._offset_ns, 1)
        return [(0.0, data[:4] + struct.pack("<iI", *divmod(moved_ns, NS_PER_S)) + data[12:])]


def wrong_frame(data: bytes) -> Forwarded:
    """Change the frame of this message to an unknown one."""
    return [(0.0, data[:_FRAME_BEGIN] + b"?" + data[_FRAME_BEGIN + 1 :])]


class NotANumber:
    """Sets numbers of the message to NaN."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def __call__(self, data: bytes) -> Forwarded:
        """Forward this message with NaN in it."""
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
        raise TypeError(f"{type(message).__name__} has no number to set to NaN")


def make_spoiler(how: str, kind: type, last_good: bytes, settings: dict[str, Any]) -> Spoiler:
    """Return the spoiler of a name.

    Args:
        how: a name of the table below.
        kind: message type of the stream.
        last_good: the last message that was forwarded unchanged.
        settings: parameters of the spoiler, for example ``delay_s``.
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
