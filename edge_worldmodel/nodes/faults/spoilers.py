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
from geometry_msgs.msg import Twist
from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import LaserScan

from edge_worldmodel import msg
from edge_worldmodel.core.time_units import NS_PER_S

Forwarded: TypeAlias = Sequence[tuple[float, bytes]]
Spoiler: TypeAlias = Callable[[bytes], Forwarded]

INVERTED = "laser_upside_down"
"""Frame of a scanner at the same place, mounted upside down."""
_AHEAD_RAD = math.radians(20.0)
_TIED_RAYS, _TIED_M = 20_000, 0.4
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


class Edit:
    """Changes each message by a function."""

    def __init__(self, kind: type, change: Callable[[Any], None]) -> None:
        self._kind, self._change = kind, change

    def __call__(self, data: bytes) -> Forwarded:
        """Forward the changed message."""
        message = deserialize_message(data, self._kind)
        self._change(message)
        return [(0.0, serialize_message(message))]


def _turn_over(scan: LaserScan) -> None:
    """Make this the scan of the same scene by a scanner that is mounted upside down."""
    scan.header.frame_id = INVERTED
    scan.angle_min, scan.angle_max = -scan.angle_max, -scan.angle_min
    scan.ranges.reverse()


def _set_ahead(scan: LaserScan, range_m: float) -> None:
    angles = scan.angle_min + scan.angle_increment * np.arange(len(scan.ranges))
    ahead = np.abs(np.arctan2(np.sin(angles), np.cos(angles))) < _AHEAD_RAD
    scan.ranges = array.array("f", np.where(ahead, range_m, scan.ranges).astype("f4").tobytes())


def _set_all(scan: LaserScan, range_m: float) -> None:
    scan.ranges = array.array("f", [range_m] * len(scan.ranges))


def _tie(scan: LaserScan) -> None:
    """Make all of very many rays end at the same distance."""
    scan.ranges = array.array("f", [_TIED_M] * _TIED_RAYS)
    scan.angle_min, scan.angle_increment = -math.pi, 2.0 * math.pi / _TIED_RAYS
    scan.angle_max = scan.angle_min + scan.angle_increment * (_TIED_RAYS - 1)
    scan.intensities = array.array("f")


class DeadEncoder:
    """Repeats the pose of the last good odometry at a speed of zero, with new stamps."""

    def __init__(self, last_good: bytes) -> None:
        self._pose = deserialize_message(last_good, Odometry).pose

    def __call__(self, data: bytes) -> Forwarded:
        """Forward odometry of a robot at rest."""
        message = deserialize_message(data, Odometry)
        message.pose, message.twist.twist = self._pose, Twist()
        return [(0.0, serialize_message(message))]


def _reverse(odometry: Odometry) -> None:
    odometry.twist.twist.linear.x *= -1.0


def _exaggerate(odometry: Odometry) -> None:
    odometry.twist.twist.linear.x += 0.6


def _pitch(odometry: Odometry, degrees: float) -> None:
    """Turn the robot nose down, keeping its yaw."""
    half_yaw = math.atan2(odometry.pose.pose.orientation.z, odometry.pose.pose.orientation.w)
    half = 0.5 * math.radians(degrees)
    turned = odometry.pose.pose.orientation
    turned.x, turned.y = -math.sin(half_yaw) * math.sin(half), math.cos(half_yaw) * math.sin(half)
    turned.z, turned.w = math.sin(half_yaw) * math.cos(half), math.cos(half_yaw) * math.cos(half)


def _fill(grid: OccupancyGrid) -> None:
    grid.data = array.array("b", [100] * len(grid.data))


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
    edits: dict[str, Callable[[Any], None]] = {
        "upside_down": _turn_over,
        "too_close": lambda scan: _set_ahead(scan, -math.inf),
        "blind_stripe": lambda scan: _set_ahead(scan, math.nan),
        "all_inf": lambda scan: _set_all(scan, math.inf),
        "tied": _tie,
        "reverse": _reverse,
        "exaggerate": _exaggerate,
        "pitch": lambda odometry: _pitch(odometry, settings["degrees"]),
        "full": _fill,
    }
    if how in edits:
        return Edit(kind, edits[how])
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
        "dead_encoder": lambda: DeadEncoder(last_good),
    }
    return makers[how]()
