"""Conversion between integer nanoseconds, as ROS stamps count, and seconds."""

from __future__ import annotations

NS_PER_S = 1_000_000_000


def to_seconds(duration_ns: int) -> float:
    """Return a duration or stamp in seconds."""
    return duration_ns * 1e-9


def to_nanoseconds(duration_s: float) -> int:
    """Return a duration or stamp in whole nanoseconds, rounded to the nearest."""
    return round(duration_s * 1e9)
