"""Turns stored ROS messages into records; the definitions in the file are used where they are sound, else our own.

A topic that is not needed is not looked at, so that its definition may be anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np
import zstandard
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

from edge_worldmodel.core.time_units import NS_PER_S
from edge_worldmodel.recordings.installed_messages import contained_type
from edge_worldmodel.recordings.records import (
    Cloud,
    CloudField,
    Pose3D,
    RecordedOdometry,
    RecordedPose,
    Scan,
    Transform,
    Value,
)
from edge_worldmodel.recordings.storage.stored import Channel, StoredMessage, decompressed

_ZSTD_MAGIC = zstandard.FRAME_HEADER
_IDL_LINE = "=" * 80 + "\n"
_STANDARD = {"ros1": Stores.ROS1_NOETIC, "cdr": Stores.ROS2_JAZZY}
_TF_TYPES = ("tf/msg/tfMessage", "tf2_msgs/msg/TFMessage")
_TF_DEFINITION = "geometry_msgs/TransformStamped[] transforms"

Values = list[tuple[Value, int]]
"""Values with their stamps in nanoseconds."""


class UnreadableError(Exception):
    """A message cannot be read; the text says why."""


class Decoder:
    """Reads messages of the types that we play; how to read a channel is found with its first message.

    Args:
        remarks: list to which a line is added for what was left out.
    """

    def __init__(self, remarks: list[str]) -> None:
        self._remarks = remarks
        self._readers: dict[Channel, tuple[Callable[[bytes], Any], ...]] = {}

    def values(self, message: StoredMessage) -> Values:
        """Return what a message holds.

        Raises:
            UnreadableError: its bytes are no message of its type.
        """
        channel, data = message.channel, message.data
        if channel.encoding == "cdr" and data.startswith(_ZSTD_MAGIC):
            data, whole = decompressed(data, "zstd")
            if not whole:
                raise UnreadableError(f"compressed messages of '{channel.topic}' are damaged")
        if channel not in self._readers:
            self._readers[channel] = _readers(channel)
        for read in self._readers[channel]:
            try:
                values = list(_CONVERTERS[channel.type_name](read(data), channel.topic))
            except Exception:  # noqa: S112 - the readers made from definitions raise any class of error
                continue
            self._readers[channel] = (read,)
            return [(value, stamp_ns) for value, stamp_ns in values if self._is_sound(value, channel)]
        raise UnreadableError(f"messages of '{channel.topic}' are no {channel.type_name}")

    def _is_sound(self, value: Value, channel: Channel) -> bool:
        """Return whether the pose in a record is one; a transform that is not would spoil all poses below it."""
        if not isinstance(value, Transform | RecordedOdometry | RecordedPose):
            return True
        is_transform = isinstance(value, Transform)
        # Odometry of a driver that leaves the rotation empty counts as not turned.
        if value.pose.is_bounded() and (any(value.pose.rotation) or not is_transform):
            return True
        remark = f"a pose of '{channel.topic}' is no pose"
        if isinstance(value, Transform):
            remark = f"a transform from '{value.frame_id}' to '{value.child_frame_id}' of '{channel.topic}' is no pose"
        if remark not in self._remarks:
            self._remarks.append(remark)
        return False


def why_unread(channel: Channel) -> str:
    """Return why a channel is not read, for people; empty if it is."""
    if channel.encoding not in _STANDARD:
        kind = channel.type_name or "messages without a type"
        return f"{kind} in '{channel.encoding}': only messages of ROS are read"
    if channel.type_name not in _CONVERTERS:
        return f"{channel.type_name or 'messages without a type'}: messages of this type are not played"
    return ""


@lru_cache(maxsize=128)
def _readers(channel: Channel) -> tuple[Callable[[bytes], Any], ...]:
    """Return functions from bytes to a message: by the definition of the file, then by our own."""
    found = []
    for embedded in (True, False):
        try:
            store = _store(channel, embedded)
            read = store.deserialize_ros1 if channel.encoding == "ros1" else store.deserialize_cdr
        except Exception:  # noqa: S112 - a damaged definition raises any class of error
            continue
        found.append(partial(read, typename=channel.type_name))
    return tuple(found)


def _store(channel: Channel, embedded: bool) -> Any:
    """Return a store of the type of a channel and of those it contains."""
    found = _embedded(channel) if embedded else {}
    standard = _standard(channel.encoding)
    chosen: dict[str, Any] = {}
    missing = [channel.type_name]
    while missing:
        name = missing.pop()
        chosen[name] = found[name] if name in found else standard[name]
        contained = (contained_type(description) for _, description in chosen[name][1])
        missing += [name for name in contained if name is not None and name not in chosen]
    store = get_typestore(Stores.EMPTY)
    store.register(chosen)
    return store


def _embedded(channel: Channel) -> dict[str, Any]:
    if not channel.definition:
        raise LookupError("no definition")
    if channel.definition_format not in ("ros2idl", "omgidl"):
        return dict(get_types_from_msg(channel.definition, channel.type_name))
    found: dict[str, Any] = {}
    for text in channel.definition.split(_IDL_LINE):
        body = text.partition("\n")[2] if text.startswith("IDL: ") else text
        if body.strip():
            found.update(get_types_from_idl(body))
    return found


@cache
def _standard(encoding: str) -> dict[str, Any]:
    found: dict[str, Any] = dict(get_typestore(_STANDARD[encoding]).fielddefs)
    for name in _TF_TYPES:
        found.update(get_types_from_msg(_TF_DEFINITION, name))
    return found


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
            time_increment_s=float(message.time_increment),
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
