"""Reads ROS 1 bags and ROS 2 bags (sqlite3, MCAP; a folder or one file) as records, without ROS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.core.time_units import NS_PER_S
from edge_worldmodel.recordings.records import (
    Cloud,
    CloudField,
    Pose3D,
    Record,
    RecordedOdometry,
    RecordedPose,
    Scan,
    Transform,
    Value,
)


class BagRecording:
    """A bag as records; topics of unsupported message types are left out."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def records(self) -> Iterator[Record]:
        """Yield the records in the order of the index of the bag."""
        # imported here, so that the package can be imported without rosbags
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore

        count = 0
        try:
            with AnyReader([self.path], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
                wanted = [c for c in reader.connections if c.msgtype in _CONVERTERS]
                # an empty list of connections would yield every message, also of unknown types
                for connection, log_ns, data in reader.messages(wanted) if wanted else ():
                    message = reader.deserialize(data, connection.msgtype)
                    for value, stamp in _CONVERTERS[connection.msgtype](message, connection.topic):
                        yield Record(connection.topic.strip("/"), log_ns, stamp, value)
                    count += 1
        except RecordingError:
            raise
        except GeneratorExit:
            raise
        except Exception as error:  # a damaged bag may raise any class of error in the reader
            raise RecordingError(
                f"'{self.path}' is damaged, {count} messages could be read: {error or type(error).__name__}"
            ) from error


_Values = Iterator[tuple[Value, int]]


def _stamp_ns(header: Any) -> int:
    return int(header.stamp.sec) * NS_PER_S + int(header.stamp.nanosec)


def _frame(frame_id: str) -> str:
    """Remove the leading slash that frames of ROS 1 may have and that tf2 refuses."""
    return frame_id.lstrip("/")


def _pose3d(position: Any, orientation: Any) -> Pose3D:
    return Pose3D(
        (float(position.x), float(position.y), float(position.z)),
        (float(orientation.x), float(orientation.y), float(orientation.z), float(orientation.w)),
    )


def _scan(message: Any, topic: str) -> _Values:
    yield (
        Scan(
            frame_id=_frame(message.header.frame_id) or topic.strip("/").replace("/", "_"),
            angle_min_rad=float(message.angle_min),
            angle_increment_rad=float(message.angle_increment),
            range_min_m=float(message.range_min),
            range_max_m=float(message.range_max),
            ranges_m=np.array(message.ranges, dtype=np.float32),
        ),
        _stamp_ns(message.header),
    )


def _cloud(message: Any, topic: str) -> _Values:
    fields = tuple(CloudField(f.name, int(f.offset), int(f.datatype), int(f.count)) for f in message.fields)
    yield (
        Cloud(
            frame_id=_frame(message.header.frame_id) or topic.strip("/").replace("/", "_"),
            height=int(message.height),
            width=int(message.width),
            fields=fields,
            is_bigendian=bool(message.is_bigendian),
            point_step=int(message.point_step),
            row_step=int(message.row_step),
            is_dense=bool(message.is_dense),
            data=np.asarray(message.data, dtype=np.uint8).tobytes(),
        ),
        _stamp_ns(message.header),
    )


def _odometry(message: Any, topic: str) -> _Values:
    pose, twist = message.pose.pose, message.twist.twist
    yield (
        RecordedOdometry(
            frame_id=_frame(message.header.frame_id),
            child_frame_id=_frame(message.child_frame_id),
            pose=_pose3d(pose.position, pose.orientation),
            twist=(float(twist.linear.x), float(twist.linear.y), float(twist.angular.z)),
        ),
        _stamp_ns(message.header),
    )


def _pose(message: Any, topic: str) -> _Values:
    pose = message.pose
    yield (
        RecordedPose(_frame(message.header.frame_id), _pose3d(pose.position, pose.orientation)),
        _stamp_ns(message.header),
    )


def _transforms(message: Any, topic: str) -> _Values:
    for item in message.transforms:
        pose = _pose3d(item.transform.translation, item.transform.rotation)
        static = topic.strip("/").endswith("tf_static")
        yield Transform(_frame(item.header.frame_id), _frame(item.child_frame_id), pose, static), _stamp_ns(item.header)


_CONVERTERS: dict[str, Callable[[Any, str], _Values]] = {
    "sensor_msgs/msg/LaserScan": _scan,
    "sensor_msgs/msg/PointCloud2": _cloud,
    "nav_msgs/msg/Odometry": _odometry,
    "geometry_msgs/msg/PoseStamped": _pose,
    "tf2_msgs/msg/TFMessage": _transforms,
    "tf/msg/tfMessage": _transforms,
}
