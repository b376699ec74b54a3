"""A short recording of our own simulator: scan and odometry of a robot among people, as a ROS 2 bag."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from edge_worldmodel.core.geometry import quaternion_from_yaw
from edge_worldmodel.sim.simulation import OdometryReading, SimulatedScan, Simulation
from edge_worldmodel.sim.world import load_world

TYPES = get_typestore(Stores.ROS2_JAZZY).types
STORE = get_typestore(Stores.ROS2_JAZZY)
WORLDS = Path(__file__).parents[2] / "worlds"
ODOM_PERIOD_S = 0.02
SCAN_EVERY = 5
COMMAND = (0.3, 0.1)


def record(world: str, path: Path, duration_s: float) -> int:
    """Simulate, write the bag and return the number of scans in it."""
    simulation = Simulation(load_world(WORLDS / f"{world}.yaml"), seed=3)
    simulation.command(*COMMAND)
    scans = 0
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        scan_topic = writer.add_connection("/scan", "sensor_msgs/msg/LaserScan", typestore=STORE)
        odom_topic = writer.add_connection("/odom", "nav_msgs/msg/Odometry", typestore=STORE)
        for step in range(round(duration_s / ODOM_PERIOD_S)):
            simulation.advance(ODOM_PERIOD_S)
            odometry = _odometry(simulation.odom())
            writer.write(odom_topic, simulation.stamp_ns, STORE.serialize_cdr(odometry, odom_topic.msgtype))
            if step % SCAN_EVERY == 0:
                scan = _scan(simulation.scan())
                writer.write(scan_topic, simulation.stamp_ns, STORE.serialize_cdr(scan, scan_topic.msgtype))
                scans += 1
    return scans


def _header(stamp_ns: int, frame_id: str) -> object:
    stamp = TYPES["builtin_interfaces/msg/Time"](stamp_ns // 10**9, stamp_ns % 10**9)
    return TYPES["std_msgs/msg/Header"](stamp, frame_id)


def _odometry(reading: OdometryReading) -> object:
    x_m, y_m, yaw_rad = (float(value) for value in reading.pose)
    vector = TYPES["geometry_msgs/msg/Vector3"]
    pose = TYPES["geometry_msgs/msg/Pose"](
        TYPES["geometry_msgs/msg/Point"](x_m, y_m, 0.0),
        TYPES["geometry_msgs/msg/Quaternion"](*quaternion_from_yaw(yaw_rad)),
    )
    vx_mps, vy_mps, rate_radps = (float(value) for value in reading.twist)
    twist = TYPES["geometry_msgs/msg/Twist"](vector(vx_mps, vy_mps, 0.0), vector(0.0, 0.0, rate_radps))
    covariance = np.zeros(36)
    return TYPES["nav_msgs/msg/Odometry"](
        _header(reading.stamp_ns, "odom"),
        "base_link",
        TYPES["geometry_msgs/msg/PoseWithCovariance"](pose, covariance),
        TYPES["geometry_msgs/msg/TwistWithCovariance"](twist, covariance),
    )


def _scan(scan: SimulatedScan) -> object:
    return TYPES["sensor_msgs/msg/LaserScan"](
        header=_header(scan.stamp_ns, "laser"),
        angle_min=scan.angle_min_rad,
        angle_max=scan.angle_min_rad + scan.angle_increment_rad * (len(scan.ranges) - 1),
        angle_increment=scan.angle_increment_rad,
        time_increment=0.0,
        scan_time=0.1,
        range_min=scan.range_min_m,
        range_max=scan.range_max_m,
        ranges=np.asarray(scan.ranges, np.float32),
        intensities=np.zeros(0, np.float32),
    )
