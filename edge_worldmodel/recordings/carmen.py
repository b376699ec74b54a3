"""Reads CARMEN robot logs: one message per line; scans may come with the pose of the laser and of the odometry.

Line formats (carmen.sourceforge.net, "logfile format"):
``FLASER n r_1..r_n x y theta odom_x odom_y odom_theta ipc_time host logger_time`` (RLASER: rear laser),
``ROBOTLASER1 type start fov resolution max accuracy remission n r_1..r_n m e_1..e_m x y theta odom_x odom_y
odom_theta tv rv forward side turn ipc_time host logger_time``,
``RAWLASER1 type start fov resolution max accuracy remission n r_1..r_n m e_1..e_m ipc_time host logger_time`` and
``ODOM x y theta tv rv accel ipc_time host logger_time``.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from lzma import LZMAError
from pathlib import Path
from typing import IO, Any

import numpy as np

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.core.geometry import quaternion_from_yaw, relative
from edge_worldmodel.core.time_units import NS_PER_S
from edge_worldmodel.core.types import Pose
from edge_worldmodel.recordings.records import (
    Pose3D,
    Record,
    RecordedOdometry,
    Scan,
    Transform,
    WantedTopic,
    every_topic,
)

_RAW = {"RAWLASER1": "front_raw", "RAWLASER2": "rear_raw", "RAWLASER3": "third_raw", "RAWLASER4": "fourth_raw"}
_SCANNERS = {"FLASER": "front", "RLASER": "rear", "ROBOTLASER1": "front", "ROBOTLASER2": "rear", **_RAW}
_KEYWORDS = (*_SCANNERS, "ODOM", "PARAM", "SYNC", "TRUEPOS")
_DEGREES_BY_BEAMS = {
    101: (100.0, 1.0), 201: (100.0, 0.5), 401: (100.0, 0.25), 400: (100.0, 0.25), 200: (100.0, 0.5), 100: (100.0, 1.0),
    271: (270.0, 1.0), 541: (270.0, 0.5), 1081: (270.0, 0.25), 270: (270.0, 1.0), 540: (270.0, 0.5),
    1080: (270.0, 0.25), 682: (239.77, 360 / 1024), 683: (239.77, 360 / 1024), 726: (254.88, 360 / 1024),
    769: (270.0, 360 / 1024),
}  # fmt: skip
"""Field of view and step of scanners whose number of beams is not one of 180 degrees (SICK LMS and S300, Hokuyo).

FLASER and RLASER lines have neither.
"""
_HALF_CIRCLE_BEAMS = {90, 91, 180, 181, 360, 361, 720, 721}
_RANGE_MIN_M = 0.02
_RANGE_MAX_M = 80.0
_ODOM_FRAME, _BASE_FRAME = "odom", "base_link"
_STEP_S = (0.02, 1.0)
_SNIFFED_LINES = 2000
"""A log may begin with comments and parameters."""
_LONGEST_LINE = 1 << 20
_MOST_BEAMS = 100_000
_LEAST_CONFIGURED_WORDS = 10
_ERRORS = (OSError, EOFError, LZMAError, zlib.error, RuntimeError)

Opener = Callable[..., IO[Any]]


class _LineError(Exception):
    """A line cannot be read; the text says why."""


@dataclass(frozen=True)
class _ScanLine:
    """One parsed scan line; raw lines have no poses."""

    stamp_ns: int
    scan: Scan
    laser_pose: Pose | None
    robot_pose: Pose | None


def looks_like_carmen(path: Path, opener: Opener) -> bool:
    """Return whether one of the first lines of a text file is a CARMEN message."""
    try:
        with opener(path, "rt", encoding="utf-8", errors="replace") as file:
            for _ in range(_SNIFFED_LINES):
                line = file.readline(_LONGEST_LINE)
                if not line or "\0" in line:
                    return False
                if line.split()[:1] and line.split()[0] in _KEYWORDS:
                    return True
    except _ERRORS:
        pass
    return False


class CarmenRecording:
    """A CARMEN log as records: scan topics ``front``, ``rear`` and so on, odometry, and the poses of the scanners.

    Args:
        path: of the file.
        opener: opens it, decompressing it if necessary.

    Attributes:
        unread: empty; lines of other keywords are no sensor data.
        remarks: on what was assumed.
    """

    def __init__(self, path: Path, opener: Opener = open) -> None:
        self.path = path
        self._opener = opener
        self._scanners: set[str] | None = None
        self.unread: dict[str, str] = {}
        self.remarks: list[str] = []

    def records(self, wanted: WantedTopic = every_topic) -> Iterator[Record]:
        """Yield the records of the wanted topics; lines that cannot be read are left out and raise at the end."""
        reader = _LineReader(wanted, self.remarks)
        if self._scanners is not None and not any(map(wanted, ("tf_static", "odom", *self._scanners))):
            return
        reason = ""
        try:
            # comments may be in any encoding
            with self._opener(self.path, "rt", encoding="utf-8", errors="replace") as file:
                for line in file:
                    yield from reader.read(line)
                    if self._scanners is not None and reader.is_done(self._scanners):
                        break
                else:
                    self._scanners = reader.scanners
        except _ERRORS:
            reason = f"the file is cut or damaged after line {reader.lines}"
        if reader.unreadable:
            number, why = reader.unreadable[0]
            more = f" (and {len(reader.unreadable) - 1} more lines)" if len(reader.unreadable) > 1 else ""
            reason = "; ".join(filter(None, (reason, f"line {number} cannot be read: {why}{more}")))
        if reason:
            last = reader.unreadable[0][0] - 1 if reader.unreadable else reader.lines
            raise RecordingError(
                f"'{self.path}' is damaged after line {last}, {reader.scans} scans could be read,"
                f" {len(reader.unreadable)} lines are lost: {reason}"
            )


class _LineReader:
    """Turns lines into records."""

    def __init__(self, wanted: WantedTopic, remarks: list[str]) -> None:
        self.lines = self.scans = 0
        self.scanners: set[str] = set()
        self.unreadable: list[tuple[int, str]] = []
        self._wanted, self._remarks = wanted, remarks
        self._range_max_m = _RANGE_MAX_M
        self._degrees: dict[str, float] = {}
        self._mounted: set[str] = set()
        self._log_ns = 0
        self._odometry: tuple[int, Pose] | None = None

    def read(self, line: str) -> Iterator[Record]:
        """Yield the records of one line."""
        self.lines += 1
        first = line.split(None, 1)[:1]
        keyword = first[0] if first else ""
        scanner = _SCANNERS.get(keyword, "")
        if scanner:
            self.scanners.add(scanner)
        if not (keyword == "PARAM" or (keyword == "ODOM" and self._wanted("odom")) or self._is_wanted(scanner)):
            return
        words = line.split()
        try:
            if keyword == "PARAM":
                self._parameter(words)
            elif keyword == "ODOM":
                yield from self._odometry_line(words)
            else:
                yield from self._scan_line(keyword, words)
        except IndexError:
            self.unreadable.append((self.lines, f"{keyword} line of only {len(words)} words"))
        except _LineError as error:
            self.unreadable.append((self.lines, f"{keyword}: {error}"))

    def _is_wanted(self, scanner: str) -> bool:
        mount = self._wanted("tf_static") and not self._is_mounted(scanner)
        return bool(scanner) and (self._wanted(scanner) or self._wanted("odom") or mount)

    def _is_mounted(self, scanner: str) -> bool:
        return scanner in _RAW.values() or _frame(scanner) in self._mounted

    def is_done(self, scanners: set[str]) -> bool:
        """Return whether nothing that is wanted can follow, in a log of these scanners."""
        return not any(map(self._wanted, ("odom", *scanners))) and all(map(self._is_mounted, scanners))

    def _parameter(self, words: list[str]) -> None:
        """Keep the largest range and the field of view, in degrees, that the log declares for its scanners."""
        if len(words) < 3:
            return
        try:
            value = float(words[2])
        except ValueError:
            return
        if words[1].endswith("front_laser_max") and 0.0 < value < math.inf:
            self._range_max_m = value
        for scanner in ("front", "rear"):
            for name in ("fov", "resolution"):
                if words[1].endswith(f"{scanner}_laser_{name}") and 0.0 < value <= 360.0:
                    self._degrees[f"{scanner} {name}"] = value

    def _odometry_line(self, words: list[str]) -> Iterator[Record]:
        stamp_ns = _nanoseconds(words[7])
        twist = (_number(words[4]), 0.0, _number(words[5]))
        yield from self._odometry_record(stamp_ns, _numbers(words[1:4]), twist)

    def _scan_line(self, keyword: str, words: list[str]) -> Iterator[Record]:
        line = self._read_laser(words) if keyword in ("FLASER", "RLASER") else _read_configured(words)
        self.scans += 1
        if line.robot_pose is not None and self._wanted("odom"):
            yield from self._odometry_record(line.stamp_ns, line.robot_pose, None)
        yield from self._scan_records(_SCANNERS[keyword], line)

    def _read_laser(self, words: list[str]) -> _ScanLine:
        ranges, tail = _ranges(words, 1)
        if len(tail) < 7:
            raise _LineError(f"line of {len(ranges)} beams has only {len(words)} words")
        start_rad, step_rad = self._angles(_SCANNERS[words[0]], len(ranges))
        scan = Scan(words[0].lower(), start_rad, step_rad, _RANGE_MIN_M, self._range_max_m, ranges)
        values = _numbers(tail[:6])
        return _ScanLine(_nanoseconds(tail[6]), scan, values[:3], values[3:])

    def _angles(self, scanner: str, beams: int) -> tuple[float, float]:
        """Return the angle of the first beam and the step: as declared, else those of scanners with so many beams."""
        fov_deg = self._degrees.get(f"{scanner} fov")
        step_deg = self._degrees.get(f"{scanner} resolution")
        if fov_deg is None and beams in _DEGREES_BY_BEAMS:
            fov_deg, step_deg = _DEGREES_BY_BEAMS[beams]
        if fov_deg is None:
            if beams not in _HALF_CIRCLE_BEAMS:
                self._assume(f"'{scanner}' has {beams} beams: a field of view of 180 degrees is assumed")
            # 181 or 361 beams go from -90 to 90 degrees, 180 or 360 beams end one step before
            fov_deg, step_deg = 180.0, 180.0 / max(beams - beams % 2, 1)
        if step_deg is None or not 0.9 * fov_deg <= step_deg * beams <= 1.1 * fov_deg + step_deg:
            step_deg = fov_deg / max(beams - beams % 2, 1)
        return math.radians(-0.5 * fov_deg), math.radians(step_deg)

    def _assume(self, remark: str) -> None:
        if remark not in self._remarks:
            self._remarks.append(remark)

    def _scan_records(self, scanner: str, line: _ScanLine) -> Iterator[Record]:
        frame_id = _frame(scanner)
        self._log_ns = max(self._log_ns, line.stamp_ns)
        if frame_id not in self._mounted and line.robot_pose is not None and line.laser_pose is not None:
            self._mounted.add(frame_id)
            mount = _pose3d(relative(line.robot_pose, line.laser_pose))
            if self._wanted("tf_static"):
                transform = Transform(_BASE_FRAME, frame_id, mount, static=True)
                yield Record("tf_static", self._log_ns, line.stamp_ns, transform)
        if self._wanted(scanner):
            yield Record(scanner, self._log_ns, line.stamp_ns, replace(line.scan, frame_id=frame_id))

    def _odometry_record(self, stamp_ns: int, pose: Pose, twist: tuple[float, float, float] | None) -> Iterator[Record]:
        """Yield odometry, unless it is not newer than the last one (some logs have it twice)."""
        last = self._odometry
        if last is not None and stamp_ns <= last[0]:
            return
        if twist is None:
            twist = _difference(last, stamp_ns, pose)
        self._odometry = (stamp_ns, pose)
        self._log_ns = max(self._log_ns, stamp_ns)
        yield Record("odom", self._log_ns, stamp_ns, RecordedOdometry(_ODOM_FRAME, _BASE_FRAME, _pose3d(pose), twist))


def _frame(scanner: str) -> str:
    """Return the frame of a scanner; the raw scans of a scanner are in the same frame."""
    return f"{scanner.removesuffix('_raw')}_laser"


def _read_configured(words: list[str]) -> _ScanLine:
    """Read a line that has the angles of its scanner: ROBOTLASER, with poses, or RAWLASER, without."""
    if len(words) < _LEAST_CONFIGURED_WORDS:
        raise _LineError(f"line of only {len(words)} words")
    start_rad, fov_rad, step_rad, max_m = (_number(word) for word in words[2:6])
    ranges, tail = _ranges(words, 8)
    tail = tail[1 + _count(tail[0]) :]
    raw = words[0] in _RAW
    if len(tail) < (1 if raw else 12):
        raise _LineError(f"line of {len(ranges)} beams has only {len(words)} words")
    if not (math.isfinite(start_rad) and math.isfinite(fov_rad)):
        raise _LineError("its angles are no numbers")
    steps = max(len(ranges) - 1, 1)
    if not step_rad > 0.0 or (fov_rad > 0.0 and abs(step_rad * steps - fov_rad) > 0.1 * fov_rad + 2.0 * step_rad):
        step_rad = fov_rad / steps
    max_m = max_m if 0.0 < max_m < math.inf else _RANGE_MAX_M
    scan = Scan(words[0].lower(), start_rad, step_rad, _RANGE_MIN_M, max_m, ranges)
    if raw:
        return _ScanLine(_nanoseconds(tail[0]), scan, None, None)
    values = _numbers(tail[:6])
    return _ScanLine(_nanoseconds(tail[11]), scan, values[:3], values[3:])


def _ranges(words: list[str], at: int) -> tuple[Any, list[str]]:
    """Return the ranges whose number is the word ``at``, and the words behind them."""
    count = _count(words[at])
    ranges = _numbers(words[at + 1 : at + 1 + count], finite=False)
    if len(ranges) != count:
        raise _LineError(f"line of {count} beams has only {len(words)} words")
    return ranges.astype(np.float32), words[at + 1 + count :]


def _count(word: str) -> int:
    if not (word.isascii() and word.isdigit()) or len(word) > 9 or int(word) > _MOST_BEAMS:
        raise _LineError(f"'{word[:20]}' is no number of beams")
    return int(word)


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise _LineError(f"'{word[:20]}' is no number") from None


def _numbers(words: list[str], finite: bool = True) -> Any:
    try:
        values = np.array(words, dtype=np.float64) if words else np.zeros(0)
    except ValueError:
        values = np.array([_number(word) for word in words])
    if finite and not np.isfinite(values).all():
        raise _LineError(f"a pose of '{' '.join(words)[:60]}' is no place")
    return values


def _difference(last: tuple[int, Pose] | None, stamp_ns: int, pose: Pose) -> tuple[float, float, float]:
    """Return the mean base twist since the last pose; zero when the time between them is too short or too long."""
    if last is None or not _STEP_S[0] <= (stamp_ns - last[0]) / NS_PER_S <= _STEP_S[1]:
        return (0.0, 0.0, 0.0)
    vx, vy, rate = relative(last[1], pose) * (NS_PER_S / (stamp_ns - last[0]))
    return (float(vx), float(vy), float(rate))


def _pose3d(pose: Pose) -> Pose3D:
    x, y, z, w = quaternion_from_yaw(float(pose[2]))
    return Pose3D((float(pose[0]), float(pose[1]), 0.0), (x, y, z, w))


def _nanoseconds(text: str) -> int:
    """Return seconds in text form as nanoseconds, without rounding them to a float."""
    if not math.isfinite(value := _number(text)) or not 0.0 <= value < _LATEST_S:
        raise _LineError(f"'{text[:20]}' is no time")
    seconds, _, fraction = text.partition(".")
    if not (seconds + fraction).isdigit():
        return round(value * NS_PER_S)
    return int(seconds or 0) * NS_PER_S + int((fraction + "000000000")[:9])


_LATEST_S = 9e9
"""Later times do not fit into 64 bits."""
