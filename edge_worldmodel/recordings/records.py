"""The records of a recording, free of ROS types: scans, clouds, odometry, poses and transforms with their times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from transforms3d.quaternions import mat2quat, quat2mat

from edge_worldmodel.core.geometry import yaw_from_quaternion
from edge_worldmodel.core.types import Floats, Pose

_LARGEST = 1e8
"""In metres; far above any map, even in UTM coordinates."""


@dataclass(frozen=True)
class Pose3D:
    """Translation in metres and rotation as a quaternion (x, y, z, w)."""

    translation: tuple[float, float, float]
    rotation: tuple[float, float, float, float]

    def is_bounded(self) -> bool:
        """Return whether all numbers are finite and not so large that arithmetic with them overflows."""
        return all(abs(number) <= _LARGEST for number in (*self.translation, *self.rotation))

    def matrix(self) -> Floats:
        """Return the pose as a (4, 4) matrix."""
        x, y, z, w = self.rotation
        matrix = np.eye(4)
        matrix[:3, :3] = quat2mat([w, x, y, z])
        matrix[:3, 3] = self.translation
        return matrix

    @classmethod
    def from_matrix(cls, matrix: Floats) -> Pose3D:
        """Return the pose of a (4, 4) matrix."""
        w, x, y, z = (float(value) for value in mat2quat(matrix[:3, :3]))
        tx, ty, tz = (float(value) for value in matrix[:3, 3])
        return cls((tx, ty, tz), (x, y, z, w))

    def planar(self) -> Pose:
        """Return (x_m, y_m, yaw_rad)."""
        return np.array([self.translation[0], self.translation[1], float(yaw_from_quaternion(*self.rotation))])


@dataclass(frozen=True)
class Scan:
    """One planar scan, as in sensor_msgs/LaserScan; ranges (n,) in metres."""

    frame_id: str
    angle_min_rad: float
    angle_increment_rad: float
    range_min_m: float
    range_max_m: float
    ranges_m: NDArray[np.float32]
    time_increment_s: float = 0.0


@dataclass(frozen=True)
class CloudField:
    """Name, byte offset, datatype code and count of one field, as in sensor_msgs/PointField."""

    name: str
    offset: int
    datatype: int
    count: int


@dataclass(frozen=True)
class Cloud:
    """One point cloud, its bytes as recorded, as in sensor_msgs/PointCloud2."""

    frame_id: str
    height: int
    width: int
    fields: tuple[CloudField, ...]
    is_bigendian: bool
    point_step: int
    row_step: int
    is_dense: bool
    data: bytes


@dataclass(frozen=True)
class RecordedOdometry:
    """Base pose in ``frame_id`` and twist (vx_mps, vy_mps, yaw_rate_radps) in the base frame."""

    frame_id: str
    child_frame_id: str
    pose: Pose3D
    twist: tuple[float, float, float]


@dataclass(frozen=True)
class RecordedPose:
    """Pose in ``frame_id``, as in geometry_msgs/PoseStamped."""

    frame_id: str
    pose: Pose3D


@dataclass(frozen=True)
class Transform:
    """Pose of ``child_frame_id`` in ``frame_id``; a ``static`` one is valid for all times."""

    frame_id: str
    child_frame_id: str
    pose: Pose3D
    static: bool


Value: TypeAlias = Scan | Cloud | RecordedOdometry | RecordedPose | Transform


@dataclass(frozen=True)
class Record:
    """One value with its topic, the time of recording (``log_ns``) and the time of measurement (``stamp_ns``)."""

    topic: str
    log_ns: int
    stamp_ns: int
    value: Value


WantedTopic = Callable[[str], bool]


def every_topic(name: str) -> bool:
    """Return True."""
    return True


class Recording(Protocol):
    """A file of records; each call of ``records`` reads it from its beginning.

    Attributes:
        path: of the file.
        unread: topics whose messages are not read, with the reason; complete once ``records`` has ended.
        remarks: for people, on how it is read.
    """

    path: Path
    unread: dict[str, str]
    remarks: list[str]

    def records(self, wanted: WantedTopic = ...) -> Iterator[Record]:
        """Yield the records of the wanted topics in the order of recording.

        Raises:
            RecordingError: when all that can be read was yielded: the file is damaged. The text gives the number of
                messages that could be read and of those that are lost.
        """
        ...
