"""The kernel's thermal zones (Documentation/driver-api/thermal/sysfs-api.rst)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_THROTTLING = ("passive", "hot", "critical")
"""Kinds of trip points at which the kernel acts."""


@dataclass(frozen=True)
class ZoneReading:
    """Temperature of one zone and its throttling temperature, in degrees Celsius; None: the zone does not give it."""

    hottest_c: float
    throttle_c: float | None


def read_zones(folder: Path, assumed_throttle_c: float) -> ZoneReading | None:
    """Return the zone that is nearest to throttling; None if no zone can be read.

    Args:
        folder: usually /sys/class/thermal.
        assumed_throttle_c: throttling temperature of zones that do not give theirs.
    """
    readings = [reading for zone in sorted(folder.glob("thermal_zone*")) if (reading := _read(zone)) is not None]

    def left_c(reading: ZoneReading) -> float:
        limit_c = assumed_throttle_c if reading.throttle_c is None else reading.throttle_c
        return limit_c - reading.hottest_c

    return min(readings, key=left_c, default=None)


def _read(zone: Path) -> ZoneReading | None:
    temperature_c = _celsius(zone / "temp")
    if temperature_c is None:
        return None
    limits = [
        limit_c
        for kind in sorted(zone.glob("trip_point_*_type"))
        if _text(kind) in _THROTTLING
        and (limit_c := _celsius(kind.with_name(kind.name.replace("_type", "_temp")))) is not None
        and limit_c > 0.0
    ]
    return ZoneReading(temperature_c, min(limits, default=None))


def _celsius(file: Path) -> float | None:
    text = _text(file)
    try:
        return None if text is None else int(text) / 1000.0
    except ValueError:
        return None


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):  # a zone cannot be read while its device sleeps
        return None
