"""Bags of any messages and definitions in every format, and what recorders leave behind."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
from mcap.writer import CompressionType, Writer
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.recordings import open_recording
from edge_worldmodel.recordings.records import Scan

ROS1, ROS2 = get_typestore(Stores.ROS1_NOETIC), get_typestore(Stores.ROS2_JAZZY)
ROS1.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", "tf2_msgs/msg/TFMessage"))
BEGIN_NS, PERIOD_NS = 1_700_000_000_000_000_000, 100_000_000
LASER, CLOUD, TF, ODOMETRY = (
    "sensor_msgs/msg/LaserScan", "sensor_msgs/msg/PointCloud2", "tf2_msgs/msg/TFMessage", "nav_msgs/msg/Odometry",
)  # fmt: skip
STRING = "std_msgs/msg/String"


def header(stamp_ns, frame_id, store=ROS2):
    stamp = store.types["builtin_interfaces/msg/Time"](stamp_ns // 10**9, stamp_ns % 10**9)
    return store.types["std_msgs/msg/Header"](**({"seq": 0} if store is ROS1 else {}), stamp=stamp, frame_id=frame_id)


def scan(stamp_ns, frame_id="laser", distance_m=1.0, beams=9, store=ROS2):
    return store.types[LASER](
        header=header(stamp_ns, frame_id, store), angle_min=-1.0, angle_max=1.0, angle_increment=0.25,
        time_increment=0.0, scan_time=0.1, range_min=0.1, range_max=1000.0,
        ranges=np.full(beams, distance_m, np.float32), intensities=np.array([], np.float32),
    )  # fmt: skip


def pose(x_m=0.0, y_m=0.0, store=ROS2):
    point, quaternion = store.types["geometry_msgs/msg/Point"], store.types["geometry_msgs/msg/Quaternion"]
    return store.types["geometry_msgs/msg/Pose"](point(x_m, y_m, 0.0), quaternion(0.0, 0.0, 0.0, 1.0))


def odometry(stamp_ns, frame_id="odom", child="base_link", x_m=0.0, store=ROS2):
    vector, zeros = store.types["geometry_msgs/msg/Vector3"], np.zeros(36)
    twist = store.types["geometry_msgs/msg/Twist"](vector(0.5, 0.0, 0.0), vector(0.0, 0.0, 0.0))
    return store.types[ODOMETRY](
        header=header(stamp_ns, frame_id, store), child_frame_id=child,
        pose=store.types["geometry_msgs/msg/PoseWithCovariance"](pose(x_m, store=store), zeros),
        twist=store.types["geometry_msgs/msg/TwistWithCovariance"](twist, zeros),
    )  # fmt: skip


def transform(stamp_ns, parent, child, x_m=0.0, store=ROS2):
    vector, quaternion = store.types["geometry_msgs/msg/Vector3"], store.types["geometry_msgs/msg/Quaternion"]
    place = store.types["geometry_msgs/msg/Transform"](vector(x_m, 0.0, 0.0), quaternion(0.0, 0.0, 0.0, 1.0))
    stamped = store.types["geometry_msgs/msg/TransformStamped"](header(stamp_ns, parent, store), child, place)
    return store.types[TF]([stamped])


def cloud(stamp_ns, frame_id="lidar", points=3, store=ROS2):
    field = store.types["sensor_msgs/msg/PointField"]
    data = np.ones((points, 3), np.float32)
    return store.types[CLOUD](
        header=header(stamp_ns, frame_id, store), height=1, width=points,
        fields=[field(name, 4 * index, 7, 1) for index, name in enumerate("xyz")], is_bigendian=False, point_step=12,
        row_step=12 * points, data=data.view(np.uint8).ravel(), is_dense=True,
    )  # fmt: skip


def text(words="hello", store=ROS2):
    return store.types[STRING](data=words)


def scans(count, topic="/scan", store=ROS2, **options):
    """Return (topic, type, log time, message) of scans whose distance is their number."""
    times = [BEGIN_NS + index * PERIOD_NS for index in range(count)]
    return [
        (topic, LASER, at_ns, scan(at_ns, distance_m=1.0 + i, store=store, **options)) for i, at_ns in enumerate(times)
    ]


def write_ros1(path: Path, messages, definitions=None, compression=None, chunk_bytes=None) -> Path:
    """Write a ROS 1 bag; ``definitions``: (text, md5) by topic, where it is not that of the type."""
    writer = Writer1(path)
    if compression:
        writer.set_compression(compression)
    if chunk_bytes:
        writer.chunk_threshold = chunk_bytes
    with writer:
        connections = {}
        for topic, kind, log_ns, message in messages:
            if topic not in connections:
                text_, md5 = (definitions or {}).get(topic, (None, None))
                options = {"msgdef": text_, "md5sum": md5} if text_ is not None else {"typestore": ROS1}
                connections[topic] = writer.add_connection(topic, kind, **options)
            data = message if isinstance(message, bytes) else ROS1.serialize_ros1(message, kind)
            writer.write(connections[topic], log_ns, data)
    return path


def write_mcap(
    path: Path, messages, schemas=None, compression=CompressionType.NONE, chunk_bytes=2000, profile="ros2", **options
) -> Path:
    """Write an MCAP file; ``schemas``: (type name, schema encoding, text, message encoding) by topic."""
    with path.open("wb") as file:
        writer = Writer(file, chunk_size=chunk_bytes, compression=compression, **options)
        writer.start(profile=profile, library="test")
        channels = {}
        for topic, kind, log_ns, message in messages:
            if topic not in channels:
                given = (schemas or {}).get(topic)
                plain = given or (kind, "ros2msg", ROS2.generate_msgdef(kind, ros_version=2)[0], "cdr")
                name, encoding, definition, message_encoding = plain
                schema = writer.register_schema(name, encoding, definition.encode())
                channels[topic] = writer.register_channel(topic, message_encoding, schema)
            data = message if isinstance(message, bytes) else bytes(ROS2.serialize_cdr(message, kind))
            writer.add_message(channels[topic], log_time=log_ns, data=data, publish_time=log_ns)
        writer.finish()
    return path


def write_ros2(folder: Path, messages, plugin=StoragePlugin.SQLITE3, compression=None) -> Path:
    """Write a bag folder; ``compression``: (mode, format) of rosbags."""
    writer = Writer2(folder, version=9, storage_plugin=plugin)
    if compression:
        writer.set_compression(*compression)
    with writer:
        connections = {}
        for topic, kind, log_ns, message in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=ROS2)
            writer.write(connections[topic], log_ns, bytes(ROS2.serialize_cdr(message, kind)))
    return folder


def write_db3(path: Path, messages, definitions=None, version=4, fixed=None) -> Path:
    """Write a bare .db3; ``definitions``: (text, encoding) by type; ``fixed``: serialisation by topic."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT)")
        database.execute(
            "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB)"
        )
        database.execute("CREATE INDEX timestamp_idx ON messages (timestamp ASC)")
        if version >= 4:
            database.execute(
                "CREATE TABLE message_definitions(id INTEGER PRIMARY KEY, topic_type TEXT, encoding TEXT,"
                " encoded_message_definition TEXT, type_description_hash TEXT)"
            )
            for kind, (definition, encoding) in (definitions or {}).items():
                row = (kind, encoding, definition, "")
                database.execute("INSERT INTO message_definitions VALUES(NULL, ?, ?, ?, ?)", row)
        topics = {}
        for topic, kind, log_ns, message in messages:
            if topic not in topics:
                topics[topic] = len(topics) + 1
                row = (topics[topic], topic, kind, (fixed or {}).get(topic, "cdr"))
                database.execute("INSERT INTO topics VALUES(?, ?, ?, ?)", row)
            data = message if isinstance(message, bytes) else bytes(ROS2.serialize_cdr(message, kind))
            database.execute("INSERT INTO messages VALUES(NULL, ?, ?, ?)", (topics[topic], log_ns, data))
        database.commit()
    return path


def read_all(path):
    """Return the records, and the text of the damage that came after them, empty for a whole recording."""
    records = []
    recording = open_recording(path)
    try:
        for record in recording.records():
            records.append(record)  # noqa: PERF402 - kept when an error comes
    except RecordingError as error:
        return records, str(error)
    return records, ""


def scan_numbers(records, topic="scan"):
    """Return the numbers of the scans that ``scans`` wrote."""
    return [round(float(r.value.ranges_m[0])) - 1 for r in records if r.topic == topic and isinstance(r.value, Scan)]
