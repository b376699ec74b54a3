"""A good message of every kind that a node subscribes to, by its stamp."""

from __future__ import annotations

import math

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from diagnostic_msgs.msg import KeyValue  # noqa: E402
from geometry_msgs.msg import PoseStamped, TransformStamped, Twist, TwistStamped  # noqa: E402
from nav_msgs.msg import OccupancyGrid, Odometry  # noqa: E402
from nav_msgs.msg import Path as PathMessage  # noqa: E402
from sensor_msgs.msg import BatteryState, CameraInfo, CompressedImage, Image, LaserScan, PointCloud2  # noqa: E402
from sensor_msgs_py import point_cloud2  # noqa: E402
from std_msgs.msg import Bool, Empty, Header, String  # noqa: E402
from tf2_msgs.msg import TFMessage  # noqa: E402

from edge_worldmodel import msg  # noqa: E402
from edge_worldmodel.core import tensors  # noqa: E402
from edge_worldmodel.core.types import LatentFrame, WarmStart  # noqa: E402
from edge_worldmodel.nodes.ros import convert  # noqa: E402
from edge_worldmodel.nodes.ros.convert_sensors import occupancy_to_msg  # noqa: E402

from .safety_supervisor.supervised_graph import odom_msg, plan_msg, scan_msg  # noqa: E402


def header(stamp_ns, frame_id="laser"):
    return Header(stamp=convert.stamp_to_msg(stamp_ns), frame_id=frame_id)


def cloud_msg(stamp_ns, turn_rad=0.0):
    bearing = np.linspace(-math.pi, math.pi, 200) + turn_rad
    wall = np.stack((4 * np.cos(bearing), 4 * np.sin(bearing), np.full(200, 0.5)), axis=-1).astype(np.float32)
    return point_cloud2.create_cloud_xyz32(header(stamp_ns), wall)


def depth_msg(stamp_ns):
    image = Image(header=header(stamp_ns, "camera"), height=12, width=16, step=32, encoding="16UC1")
    image.data.frombytes(np.full((12, 16), 2000, np.uint16).tobytes())
    return image


def latent_msg(stamp_ns, shape=(1, tensors.CONTEXT_CHANNELS, 16, 16)):
    pose, tensor = np.zeros(3), np.zeros(shape, np.float32)
    frame = LatentFrame(stamp_ns, "odom", "base_link", pose, pose, tensor, 0.5, 0.1, "deterministic", 7)
    return convert.latent_frame_to_msg(frame)


def warm_start_msg(stamp_ns):
    latents = np.zeros((4, tensors.LATENT_CHANNELS, 16, 16), np.float32)
    return convert.warm_start_to_msg(WarmStart(stamp_ns, 7, True, "", "deterministic", 0.1, 0.9, 0.5, latents), "odom")


def grid_msg(stamp_ns):
    return occupancy_to_msg(np.full((64, 64), 0.1), np.ones((64, 64), bool), np.zeros(3), stamp_ns, "odom")


def tf_msg(stamp_ns):
    transform = TransformStamped(header=header(stamp_ns, "base_link"), child_frame_id="laser")
    transform.transform.rotation.w = 1.0
    return TFMessage(transforms=[transform])


class Robot:
    """Messages of a robot that does what the supervisor commands; its scans differ while it moves."""

    def __init__(self):
        self.way_m, self.scans, self.command = 0.0, 0, np.zeros(3)

    def odometry(self, stamp_ns):
        message = odom_msg(stamp_ns)
        self.way_m += 0.02 * float(self.command[0])
        message.pose.pose.position.x, message.twist.twist.linear.x = self.way_m, float(self.command[0])
        return message

    def plan(self, stamp_ns):
        message = plan_msg(stamp_ns)
        for pose in message.poses:
            pose.position.x += self.way_m
        return message

    def scan(self, stamp_ns):
        self.scans += 1
        message = scan_msg(stamp_ns)
        message.ranges[0] += 1e-3 * (self.scans % 7)
        return message

    def cloud(self, stamp_ns):
        return cloud_msg(stamp_ns, 1e-3 * (self.scans % 7))


def path_msg(stamp_ns):
    return PathMessage(header=header(stamp_ns, "odom"), poses=[PoseStamped(), PoseStamped(header=header(0, "odom"))])


def compressed_msg(stamp_ns):
    import cv2

    data = cv2.imencode(".png", np.full((12, 16), 2000, np.uint16))[1].tobytes()
    return CompressedImage(
        header=header(stamp_ns, "camera"), format="16UC1; compressedDepth png", data=bytes(12) + data
    )


GOOD = {
    LaserScan: scan_msg,
    PointCloud2: cloud_msg,
    Image: depth_msg,
    CompressedImage: compressed_msg,
    CameraInfo: lambda ns: CameraInfo(header=header(ns, "camera"), k=[20.0, 0, 8, 0, 20, 6, 0, 0, 1]),
    Odometry: odom_msg,
    OccupancyGrid: grid_msg,
    PoseStamped: lambda ns: PoseStamped(header=header(ns, "odom")),
    PathMessage: path_msg,
    Twist: lambda ns: Twist(),
    TwistStamped: lambda ns: TwistStamped(header=header(ns, "base_link")),
    TFMessage: tf_msg,
    msg.Plan: plan_msg,
    msg.LatentFrame: latent_msg,
    msg.WarmStart: warm_start_msg,
    msg.Verdict: lambda ns: msg.Verdict(header=header(ns, "base_link"), state=msg.Verdict.ACTIVE),
    Bool: lambda ns: Bool(data=True),
    Empty: lambda ns: Empty(),
    String: lambda ns: String(data="passing"),
    BatteryState: lambda ns: BatteryState(percentage=0.8),
    KeyValue: lambda ns: KeyValue(key="connected armed", value="GUIDED"),
}
NO_FLOATS = (Bool, Empty, String, OccupancyGrid, PointCloud2, Image, CompressedImage, KeyValue, msg.Verdict)
"""Kinds without numbers that would have to be refused, or with none to spoil."""
