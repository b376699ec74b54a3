"""Small recordings of one scanner on a robot that drives at 0.5 m/s, written in every format."""

import bz2
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_typestore

SCANS, BEAMS, PERIOD_NS, BEGIN_NS = 20, 9, 100_000_000, 1_700_000_000_000_000_000
SPEED_MPS = 0.5


def scan_ranges(index):
    """Ranges that tell which scan they are from; one beam of each has no return, one is no number."""
    ranges = np.full(BEAMS, 1.0 + 0.1 * index, dtype=np.float32)
    ranges[0], ranges[1] = np.inf, np.nan
    return ranges


def _header(types, stamp_ns, frame_id, ros1):
    stamp = types["builtin_interfaces/msg/Time"](stamp_ns // 10**9, stamp_ns % 10**9)
    arguments = {"stamp": stamp, "frame_id": frame_id}
    return types["std_msgs/msg/Header"](**({"seq": 0} if ros1 else {}), **arguments)


def _messages(types, ros1, lag_ns):
    """Yield (topic, type, log time, message) of scans and odometry."""
    point, quaternion = types["geometry_msgs/msg/Point"], types["geometry_msgs/msg/Quaternion"]
    vector, zeros = types["geometry_msgs/msg/Vector3"], np.zeros(36)
    for index in range(SCANS):
        stamp_ns = BEGIN_NS + index * PERIOD_NS
        pose = types["geometry_msgs/msg/Pose"](point(SPEED_MPS * 0.1 * index, 0.0, 0.0), quaternion(0.0, 0.0, 0.0, 1.0))
        twist = types["geometry_msgs/msg/Twist"](vector(SPEED_MPS, 0.0, 0.0), vector(0.0, 0.0, 0.0))
        odometry = types["nav_msgs/msg/Odometry"](
            header=_header(types, stamp_ns, "odom", ros1),
            child_frame_id="base_link",
            pose=types["geometry_msgs/msg/PoseWithCovariance"](pose, zeros),
            twist=types["geometry_msgs/msg/TwistWithCovariance"](twist, zeros),
        )
        yield "/wheels/odom", "nav_msgs/msg/Odometry", stamp_ns + lag_ns, odometry
        scan = types["sensor_msgs/msg/LaserScan"](
            header=_header(types, stamp_ns, "/laser" if ros1 else "laser", ros1),
            angle_min=-1.0,
            angle_max=1.0,
            angle_increment=0.25,
            time_increment=0.0,
            scan_time=0.1,
            range_min=0.1,
            range_max=10.0,
            ranges=scan_ranges(index),
            intensities=np.array([], dtype=np.float32),
        )
        yield "/scan", "sensor_msgs/msg/LaserScan", stamp_ns + lag_ns, scan


def write_ros1(path: Path, lag_ns: int = 0) -> Path:
    """Write a ROS 1 bag."""
    store = get_typestore(Stores.ROS1_NOETIC)
    with Writer1(path) as writer:
        connections = {}
        for topic, kind, log_ns, message in _messages(store.types, True, lag_ns):
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=store)
            writer.write(connections[topic], log_ns, store.serialize_ros1(message, kind))
    return path


def write_ros2(path: Path, plugin: StoragePlugin) -> Path:
    """Write a ROS 2 bag folder."""
    store = get_typestore(Stores.ROS2_JAZZY)
    with Writer2(path, version=9, storage_plugin=plugin) as writer:
        connections = {}
        for topic, kind, log_ns, message in _messages(store.types, False, 0):
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=store)
            writer.write(connections[topic], log_ns, store.serialize_cdr(message, kind))
    return path


def write_carmen(path: Path, beams: int = 181) -> Path:
    """Write a CARMEN log whose front laser sits 0.2 m ahead of the base and whose rear laser looks back."""
    lines = ["# CARMEN Logfile", "PARAM robot_front_laser_max 30.0 1.0 host 0.0"]
    for index in range(SCANS):
        x_m, stamp = SPEED_MPS * 0.1 * index, f"{1000.0 + 0.1 * index:.6f} host {0.1 * index:.6f}"
        ranges = " ".join([f"{1.0 + 0.1 * index:.2f}"] * beams)
        lines.append(f"ODOM {x_m} 0 0 {SPEED_MPS} 0 0 {stamp}")
        lines.append(f"FLASER {beams} {ranges} {x_m + 0.2} 0 0 {x_m} 0 0 {stamp}")
        lines.append(f"RLASER {beams} {ranges} {x_m - 0.2} 0 3.141592653589793 {x_m} 0 0 {stamp}")
    data = ("\n".join(lines) + "\n").encode()
    path.write_bytes(bz2.compress(data) if path.suffix == ".bz2" else data)
    return path


@pytest.fixture
def samples():
    """Writers of sample recordings, and what is in them."""
    return SimpleNamespace(
        write_ros1=write_ros1,
        write_ros2=write_ros2,
        write_carmen=write_carmen,
        scan_ranges=scan_ranges,
        SCANS=SCANS,
        PERIOD_NS=PERIOD_NS,
        BEGIN_NS=BEGIN_NS,
        SPEED_MPS=SPEED_MPS,
    )


@pytest.fixture(params=["ros1", "sqlite3", "mcap", "bare mcap", "bare db3"])
def bag(request, tmp_path):
    """The same recording in every bag format."""
    if request.param == "ros1":
        return write_ros1(tmp_path / "recording.bag")
    plugin = StoragePlugin.MCAP if "mcap" in request.param else StoragePlugin.SQLITE3
    folder = write_ros2(tmp_path / "recording", plugin)
    return next(folder.glob("*.mcap" if "mcap" in request.param else "*.db3")) if "bare" in request.param else folder
