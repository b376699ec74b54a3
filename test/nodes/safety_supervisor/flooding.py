"""Run as a program: floods the topics of a supervisor, as its argument says.

``good`` sends clouds of 100,000 points at 50 Hz, new plans at 1 kHz, and an imagined occupancy of 100 % at 100 Hz.
``garbage`` sends random bytes on each topic at 200 Hz.
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from nav_msgs.msg import OccupancyGrid
from nav_msgs.msg import Odometry as OdometryMsg
from sensor_msgs.msg import BatteryState, LaserScan, PointCloud2
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Bool, Empty, Header
from tf2_msgs.msg import TFMessage

from edge_worldmodel import msg
from edge_worldmodel.nodes.ros.convert import stamp_to_msg
from edge_worldmodel.nodes.ros.convert_sensors import occupancy_to_msg
from edge_worldmodel.nodes.ros.qos import EVENTS, LATCHED, LATEST, SENSOR
from edge_worldmodel.nodes.ros.rclpy_internals import RCLError

# The interpreter of ROS does not look for modules beside a program.
sys.path.insert(0, str(Path(__file__).parent))
from supervised_graph import plan_msg  # noqa: E402

GARBAGE = (
    (msg.Plan, "planner/plan", LATEST),
    (OdometryMsg, "odom", SENSOR),
    (LaserScan, "scan", SENSOR),
    (PointCloud2, "points", SENSOR),
    (OccupancyGrid, "planner/imagined_occupancy", LATCHED),
    (Bool, "estop", EVENTS),
    (Bool, "supervisor/deadman", SENSOR),
    (Empty, "operator_heartbeat", SENSOR),
    (BatteryState, "battery_state", SENSOR),
    (TFMessage, "tf", EVENTS),
)
"""Every topic that a supervisor with all its signals subscribes to."""


def cloud_of(points):
    """Return a function that makes a cloud of random points around the robot, none nearer than 4 m."""
    draw = np.random.default_rng(0)
    bearing, range_m = draw.uniform(-np.pi, np.pi, points), draw.uniform(4.0, 9.0, points)
    places = np.stack((range_m * np.cos(bearing), range_m * np.sin(bearing), draw.uniform(0.2, 1.5, points)), axis=-1)
    message = point_cloud2.create_cloud_xyz32(Header(frame_id="lidar"), places.astype(np.float32))

    def make(stamp_ns):
        message.header.stamp = stamp_to_msg(stamp_ns)
        return message

    return make


def imagined(stamp_ns):
    """Return a grid that is imagined full."""
    return occupancy_to_msg(np.ones((64, 64)), np.ones((64, 64), bool), np.zeros(3), stamp_ns, "odom")


def good(node):
    """Return what to send and how often [s]."""
    sources = (
        (PointCloud2, "points", SENSOR, cloud_of(100_000), 0.02),
        (msg.Plan, "planner/plan", LATEST, plan_msg, 0.001),
        (OccupancyGrid, "planner/imagined_occupancy", LATCHED, imagined, 0.01),
    )
    return [
        (node.create_publisher(kind, topic, qos), lambda make=make: make(time.time_ns()), period_s)
        for kind, topic, qos, make, period_s in sources
    ]


def garbage(node):
    """Return what to send and how often [s]: a header of serialised data, then random bytes."""
    draw = np.random.default_rng(0)
    make = lambda: b"\x00\x01\x00\x00" + draw.bytes(int(draw.integers(0, 2000)))  # noqa: E731
    return [(node.create_publisher(*topic), make, 0.005) for topic in GARBAGE]


def main() -> None:
    """Send until it is ended."""
    rclpy.init()
    node = rclpy.create_node("flood")
    sources = {"good": good, "garbage": garbage}[sys.argv[1]](node)
    due_s = [time.monotonic()] * len(sources)
    while rclpy.ok():
        for index, (publisher, make, period_s) in enumerate(sources):
            if time.monotonic() >= due_s[index]:
                with contextlib.suppress(RCLError):  # Fast DDS refuses some sizes of garbage
                    publisher.publish(make())
                # Nothing is made up for, so that a slow machine is not flooded more than asked for.
                due_s[index] = max(due_s[index] + period_s, time.monotonic())
        time.sleep(0.0002)


if __name__ == "__main__":
    main()
