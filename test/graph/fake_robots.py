"""Robots as their makers' drivers show themselves on ROS: topics, rates, frames, missing readings and command type.

The figures are from the sources that the presets in config/robots/ name.
"""

from __future__ import annotations

import array
import math
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import TransformStamped, Twist, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from sensor_msgs.msg import LaserScan
from tf2_msgs.msg import TFMessage

from edge_worldmodel.core.geometry import compose, quaternion_from_yaw
from edge_worldmodel.core.safety.motion.braking import arc_pose
from edge_worldmodel.core.types import Floats, Pose
from edge_worldmodel.nodes.ros.qos import LATEST, SENSOR

_STATIC = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_ROOM_M = 3.0
"""The robot starts in the middle of a square room whose walls are this far away."""
Joint = tuple[str, str, float, float, float]
"""Parent and child frame, x and z in metres, yaw."""


@dataclass(frozen=True)
class Maker:
    """A robot by its driver.

    Attributes:
        joints: static transforms.
        odom: topic of odometry.
        child: frame of odometry and of the transform from odom.
        odom_hz: rate of both.
        scan: topic of the scanner; ``laser`` its frame, ``scan_hz`` its rate, ``beams`` over ``fov_rad``.
        stamped_at_end: the driver stamps a scan when it is complete; else with the time of its first beam.
        missing: reading without an obstacle within range.
        stamped: the drive base takes TwistStamped; else Twist.
        tf: topic of transforms.
    """

    joints: tuple[Joint, ...]
    child: str
    laser: str
    scan_hz: float
    beams: int
    fov_rad: float
    range_m: tuple[float, float]
    odom_hz: float = 50.0
    odom: str = "odom"
    scan: str = "scan"
    stamped_at_end: bool = False
    missing: float = math.inf
    stamped: bool = True
    tf: str = "/tf"


def _turtlebot3(x_m: float, z_m: float, stamped: bool) -> Maker:
    """LDS-01: 5 Hz, 0 where nothing is within 3.5 m. Odometry comes at 20 Hz. Older drivers take Twist."""
    return Maker(
        joints=(("base_footprint", "base_link", 0.0, 0.01, 0.0), ("base_link", "base_scan", x_m, z_m, 0.0)),
        child="base_footprint",
        laser="base_scan",
        scan_hz=5.0,
        beams=360,
        fov_rad=2.0 * math.pi,
        range_m=(0.12, 3.5),
        odom_hz=20.0,
        stamped_at_end=True,
        missing=0.0,
        stamped=stamped,
    )


def _clearpath(laser: Joint, scan_hz: float, beams: int, range_m: tuple[float, float]) -> Maker:
    """Odometry of the EKF; transforms in the robot's namespace."""
    return Maker(
        joints=(("base_link", "lidar2d_0_link", *laser[2:]), ("lidar2d_0_link", "lidar2d_0_laser", 0.0, 0.05, 0.0)),
        child="base_link",
        laser="lidar2d_0_laser",
        scan_hz=scan_hz,
        beams=beams,
        fov_rad=1.5 * math.pi,
        range_m=range_m,
        odom="platform/odom/filtered",
        scan="sensors/lidar2d_0/scan",
        tf="tf",
    )


MAKERS = {
    "turtlebot3_burger": _turtlebot3(-0.032, 0.172, stamped=True),
    "turtlebot3_waffle": _turtlebot3(-0.064, 0.122, stamped=False),
    "turtlebot4": Maker(
        joints=(
            ("base_link", "shell_link", 0.0, 0.0942, 0.0),
            ("shell_link", "rplidar_link", -0.04, 0.0987, 0.5 * math.pi),
        ),
        child="base_link",
        laser="rplidar_link",
        scan_hz=5.5,
        beams=360,
        fov_rad=2.0 * math.pi,
        range_m=(0.15, 12.0),
        odom_hz=20.0,
    ),
    "jackal": _clearpath(("", "", 0.12, 0.184, 0.0), 40.0, 1081, (0.06, 10.0)),
    "husky": _clearpath(("", "", 0.2, 0.3, 0.0), 50.0, 541, (0.5, 20.0)),
    "f1tenth": Maker(
        joints=(("base_link", "laser", 0.27, 0.11, 0.0),),
        child="base_link",
        laser="laser",
        scan_hz=40.0,
        beams=1081,
        fov_rad=1.5 * math.pi,
        range_m=(0.06, 10.0),
        stamped=False,
    ),
}


class FakeRobot:
    """Drives as commanded in a square room, and publishes what the maker's drivers publish.

    Args:
        node: publishes in its own namespace.
        maker: the robot.
    """

    def __init__(self, node: Node, maker: Maker) -> None:
        self._node, self._maker = node, maker
        self.pose: Pose = np.zeros(3)
        self.twist: Floats = np.zeros(3)
        kind = TwistStamped if maker.stamped else Twist
        node.create_subscription(kind, "cmd_vel", self._obey, LATEST)
        self._odom = node.create_publisher(Odometry, maker.odom, SENSOR)
        self._scan = node.create_publisher(LaserScan, maker.scan, SENSOR)
        self._tf = node.create_publisher(TFMessage, maker.tf, 10)
        self._tf_static = node.create_publisher(TFMessage, f"{maker.tf}_static", _STATIC)
        self._angles = -0.5 * maker.fov_rad + np.arange(maker.beams) * self._step_rad
        self._noise = np.random.default_rng(0)

    def start(self) -> None:
        """Send the first data."""
        maker, stamp = self._maker, self._node.get_clock().now()
        self._tf_static.publish(TFMessage(transforms=[_transform(stamp, *joint) for joint in maker.joints]))
        self._node.create_timer(1.0 / maker.odom_hz, self._move)
        self._node.create_timer(1.0 / maker.scan_hz, self._look)

    @property
    def _step_rad(self) -> float:
        return self._maker.fov_rad / self._maker.beams

    def _obey(self, command: Twist | TwistStamped) -> None:
        twist = command.twist if isinstance(command, TwistStamped) else command
        self.twist = np.array([twist.linear.x, 0.0, twist.angular.z])

    def _move(self) -> None:
        self.pose = compose(self.pose, arc_pose(self.twist, 1.0 / self._maker.odom_hz))
        stamp = self._node.get_clock().now()
        x, y, yaw = self.pose.tolist()
        moved = _transform(stamp, "odom", self._maker.child, x, 0.0, yaw)
        moved.transform.translation.y = y
        self._tf.publish(TFMessage(transforms=[moved]))
        message = Odometry(header=moved.header, child_frame_id=self._maker.child)
        message.pose.pose.position.x, message.pose.pose.position.y = x, y
        message.pose.pose.orientation = moved.transform.rotation
        message.twist.twist.linear.x, message.twist.twist.angular.z = float(self.twist[0]), float(self.twist[2])
        self._odom.publish(message)

    def _look(self) -> None:
        maker = self._maker
        duration_s = maker.fov_rad / (2.0 * math.pi * maker.scan_hz)
        age_ns = 0 if maker.stamped_at_end else round(duration_s * 1e9)
        stamp = Time(nanoseconds=self._node.get_clock().now().nanoseconds - age_ns)
        message = LaserScan(angle_min=float(self._angles[0]), angle_max=float(self._angles[-1]))
        message.header.stamp, message.header.frame_id = stamp.to_msg(), maker.laser
        message.angle_increment, message.scan_time = self._step_rad, 1.0 / maker.scan_hz
        message.time_increment = duration_s / maker.beams
        message.range_min, message.range_max = maker.range_m
        ranges = self._distances() + self._noise.normal(0.0, 0.005, maker.beams)
        ranges = np.where(ranges > maker.range_m[1], maker.missing, ranges)
        message.ranges = array.array("f", ranges.astype(np.float32).tobytes())
        self._scan.publish(message)

    def _distances(self) -> Floats:
        """Return the distance (beams,) from the scanner to the walls."""
        laser = self.pose
        for _, _, x, _, yaw in self._maker.joints:
            laser = compose(laser, np.array([x, 0.0, yaw]))
        with np.errstate(divide="ignore"):
            ways = [
                (np.copysign(_ROOM_M, along) - place) / along
                for place, along in (
                    (laser[0], np.cos(laser[2] + self._angles)),
                    (laser[1], np.sin(laser[2] + self._angles)),
                )
            ]
        return np.minimum(*ways)


def _transform(stamp: Time, parent: str, child: str, x_m: float, z_m: float, yaw_rad: float) -> TransformStamped:
    message = TransformStamped(child_frame_id=child)
    message.header.stamp, message.header.frame_id = stamp.to_msg(), parent
    message.transform.translation.x, message.transform.translation.z = x_m, z_m
    turn = message.transform.rotation
    turn.x, turn.y, turn.z, turn.w = (float(part) for part in quaternion_from_yaw(yaw_rad))
    return message
