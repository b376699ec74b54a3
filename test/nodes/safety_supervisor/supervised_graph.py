"""Good input for a supervisor at real rates, from this process or, run as a program, from one that can be killed."""

from __future__ import annotations

import math
import sys
import time

import numpy as np
import rclpy
from geometry_msgs.msg import Twist as TwistMsg
from nav_msgs.msg import Odometry as OdometryMsg
from sensor_msgs.msg import LaserScan

from edge_worldmodel import msg
from edge_worldmodel.core.geometry import compose
from edge_worldmodel.core.safety.inputs.intake import OdometrySample
from edge_worldmodel.core.types import Plan, Trajectory
from edge_worldmodel.nodes.ros.convert import plan_to_msg, stamp_to_msg
from edge_worldmodel.nodes.ros.convert_sensors import odometry_to_msg
from edge_worldmodel.nodes.ros.qos import LATEST, SENSOR


def scan_msg(stamp_ns, ranges=None):
    message = LaserScan(angle_min=-math.pi, angle_max=math.pi, angle_increment=2 * math.pi / 360)
    message.header.stamp, message.header.frame_id = stamp_to_msg(stamp_ns), "laser"
    message.range_min, message.range_max = 0.1, 10.0
    message.ranges = [5.0] * 360 if ranges is None else ranges
    return message


def plan_msg(stamp_ns, speed_mps=0.4, heading_rad=0.0):
    twists = np.tile([speed_mps, 0.0, 0.0], (9, 1))
    poses = np.zeros((9, 3))
    poses[1:, 0] = 0.4 * speed_mps * np.arange(1, 9)
    if heading_rad:
        poses = compose(np.array([0.0, 0.0, heading_rad]), poses)
    plan = Plan(stamp_ns, "odom", Trajectory(0.4, poses, twists), stamp_ns + 600_000_000, 0.1, "test", "", "model", 1)
    return plan_to_msg(plan)


def odom_msg(stamp_ns, heading_rad=0.0):
    return odometry_to_msg(
        OdometrySample(stamp_ns, "odom", "base_link", np.array([0.0, 0.0, heading_rad]), np.zeros(3))
    )


class Source:
    """Sends good plans (25 Hz), scans (20 Hz) and odometry (50 Hz); a test may spoil or withhold each.

    The robot does what the supervisor commands, or what ``speed_mps`` returns: its odometry reports that, and its plans
    begin where it is.
    """

    def __init__(self, node, now_ns=time.time_ns):
        self.send = {"plan": plan_msg, "scan": scan_msg, "odom": odom_msg}
        self.last_s, self.scans = {}, 0
        self.way_m, self.heading_rad, self.commanded = 0.0, 0.0, TwistMsg()
        self.speed_mps = lambda: self.commanded.linear.x
        node.create_subscription(msg.Verdict, "supervisor/verdict", self._obey, LATEST)
        publishers = {
            "plan": (node.create_publisher(msg.Plan, "planner/plan", LATEST), 0.04),
            "scan": (node.create_publisher(LaserScan, "scan", SENSOR), 0.05),
            "odom": (node.create_publisher(OdometryMsg, "odom", SENSOR), 0.02),
        }
        for name, (publisher, period_s) in publishers.items():
            node.create_timer(period_s, lambda n=name, p=publisher: self._send(n, p, now_ns))

    def _send(self, name, publisher, now_ns):
        if name == "odom":
            self.way_m += 0.02 * self.speed_mps()
        make = self.send[name]
        if make is not None:
            message = make(now_ns())
            if isinstance(message, OdometryMsg):
                turn = message.pose.pose.orientation
                self.heading_rad = 2.0 * math.atan2(turn.z, turn.w)
                self._move(message.pose.pose.position)
                message.twist.twist.linear.x = self.speed_mps()
            elif isinstance(message, msg.Plan):
                for pose in message.poses:
                    self._move(pose.position)
            elif isinstance(message, LaserScan) and len(message.ranges):
                # As from a real sensor: a scan that repeats while the robot moves counts as silence.
                self.scans += 1
                message.ranges[0] += 1e-3 * (self.scans % 7)
            publisher.publish(message)
            self.last_s[name] = time.monotonic()

    def _move(self, position):
        position.x += self.way_m * math.cos(self.heading_rad)
        position.y += self.way_m * math.sin(self.heading_rad)

    def _obey(self, verdict):
        self.commanded = verdict.command


def main() -> None:
    """Be the other processes of the graph, or those of the inputs that are named."""
    rclpy.init()
    node = rclpy.create_node("source")
    source = Source(node)
    for name in set(source.send) - set(sys.argv[1:] or source.send):
        source.send[name] = None
    rclpy.spin(node)


if __name__ == "__main__":
    main()
