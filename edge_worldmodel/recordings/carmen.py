"""Reads CARMEN robot logs: one message per line; scans come with the pose of the laser and of the odometry.

Line formats (carmen.sourceforge.net, "logfile format"):
``FLASER n r_1..r_n x y theta odom_x odom_y odom_theta ipc_time host logger_time`` (RLASER: rear laser),
``ROBOTLASER1 type start fov resolution max accuracy remission n r_1..r_n m e_1..e_m x y theta odom_x odom_y
odom_theta tv rv forward side turn ipc_time host logger_time`` and
``ODOM x y theta tv rv accel ipc_time host logger_time``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.core.geometry import quaternion_from_yaw, relative
from edge_worldmodel.core.time_units import NS_PER_S
from edge_worldmodel.core.types import Pose
from edge_worldmodel.recordings.records import Pose3D, Record, RecordedOdometry, Scan, Transform

_KEYWORDS = ("FLASER", "RLASER", "ROBOTLASER1", "ROBOTLASER2", "RAWLASER1", "ODOM", "PARAM", "SYNC", "TRUEPOS")
_SCANNERS = {"FLASER": "front", "RLASER": "rear", "ROBOTLASER1": "front", "ROBOTLASER2": "rear"}
_FIELD_OF_VIEW_RAD = math.pi
_RANGE_MIN_M = 0.02
_RANGE_MAX_M = 80.0
_ODOM_FRAME, _BASE_FRAME = "odom", "base_link"
_STEP_S = (0.02, 1.0)
_SNIFFED_LINES = 200
"""A log may begin with comments and parameters."""

Opener = Callable[..., IO[Any]]


@dataclass(frozen=True)
class _ScanLine:
    """One parsed scan line."""

    stamp_ns: int
    scan: Scan
    laser_pose: Pose
    robot_pose: Pose


def looks_like_carmen(path: Path, opener: Opener) -> bool:
    """Return whether one of the first lines of a text file is a CARMEN message."""
    try:
        with opener(path, "rt", encoding="ascii", errors="strict") as file:
            return any(line.split(" ", 1)[0] in _KEYWORDS for line, _ in zip(file, range(_SNIFFED_LINES), strict=False))
    except (OSError, EOFError, UnicodeDecodeError):
        return False


class CarmenRecording:
    """A CARMEN log as records: scan topics ``front`` and ``rear``, odometry and the poses of the scanners."""

    def __init__(self, path: Path, opener: Opener = open) -> None:
        self.path = path
        self._opener = opener

    def records(self) -> Iterator[Record]:
        """Yield the records; an unreadable line raises RecordingError."""
        reader = _LineReader()
        try:
            with self._opener(self.path, "rt", encoding="ascii", errors="replace") as file:
                for line in file:
                    yield from reader.read(line)
        except (OSError, EOFError, ValueError, IndexError) as error:
            raise RecordingError(
                f"'{self.path}' is damaged after line {reader.lines}, {reader.scans} scans could be read: {error}"
            ) from error


class _LineReader:
    """Turns lines into records."""

    def __init__(self) -> None:
        self.lines = self.scans = 0
        self._range_max_m = _RANGE_MAX_M
        self._mounted: set[str] = set()
        self._log_ns = 0
        self._odometry: tuple[int, Pose] | None = None

    def read(self, line: str) -> Iterator[Record]:
        """Yield the records of one line."""
        self.lines += 1
        words = line.split()
        keyword = words[0] if words else ""
        if keyword == "PARAM" and words[1].endswith("front_laser_max"):
            self._range_max_m = float(words[2])
        elif keyword == "ODOM":
            stamp_ns = _nanoseconds(words[7])
            twist = (float(words[4]), 0.0, float(words[5]))
            yield from self._odometry_record(stamp_ns, np.array([float(word) for word in words[1:4]]), twist)
        elif keyword in _SCANNERS:
            scan_line = _read_robotlaser(words) if keyword.startswith("ROBOT") else self._read_laser(words)
            self.scans += 1
            yield from self._odometry_record(scan_line.stamp_ns, scan_line.robot_pose, None)
            yield from self._scan_records(_SCANNERS[keyword], scan_line)

    def _read_laser(self, words: list[str]) -> _ScanLine:
        count = int(words[1])
        ranges = np.array([float(word) for word in words[2 : 2 + count]], dtype=np.float32)
        tail = words[2 + count :]
        values = np.array([float(word) for word in tail[:6]])
        if len(ranges) != count or len(tail) < 7:
            raise ValueError(f"{words[0]} line of {count} beams has only {len(words)} words")
        # 181 or 361 beams go from -90 to 90 degrees, 180 or 360 beams end one step before
        increment_rad = _FIELD_OF_VIEW_RAD / max(count - count % 2, 1)
        scan = Scan(words[0].lower(), -0.5 * _FIELD_OF_VIEW_RAD, increment_rad, _RANGE_MIN_M, self._range_max_m, ranges)
        return _ScanLine(_nanoseconds(tail[6]), scan, values[:3], values[3:])

    def _scan_records(self, scanner: str, line: _ScanLine) -> Iterator[Record]:
        frame_id = f"{scanner}_laser"
        self._log_ns = max(self._log_ns, line.stamp_ns)
        if frame_id not in self._mounted:
            self._mounted.add(frame_id)
            mount = _pose3d(relative(line.robot_pose, line.laser_pose))
            transform = Transform(_BASE_FRAME, frame_id, mount, static=True)
            yield Record("tf_static", self._log_ns, line.stamp_ns, transform)
        s = line.scan
        scan = Scan(frame_id, s.angle_min_rad, s.angle_increment_rad, s.range_min_m, s.range_max_m, s.ranges_m)
        yield Record(scanner, self._log_ns, line.stamp_ns, scan)

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


def _read_robotlaser(words: list[str]) -> _ScanLine:
    start_rad, _, increment_rad, max_m = (float(word) for word in words[2:6])
    count = int(words[8])
    ranges = np.array([float(word) for word in words[9 : 9 + count]], dtype=np.float32)
    remissions = int(words[9 + count])
    tail = words[10 + count + remissions :]
    values = np.array([float(word) for word in tail[:6]])
    if len(ranges) != count or len(tail) < 12:
        raise ValueError(f"{words[0]} line of {count} beams has only {len(words)} words")
    scan = Scan(words[0].lower(), start_rad, increment_rad, _RANGE_MIN_M, max_m, ranges)
    return _ScanLine(_nanoseconds(tail[11]), scan, values[:3], values[3:])


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
    if "e" in text.lower():
        return round(float(text) * NS_PER_S)
    seconds, _, fraction = text.partition(".")
    return int(seconds) * NS_PER_S + int((fraction + "000000000")[:9])
