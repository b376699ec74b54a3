"""Topics of the simulator: sensors, odometry, and the ground truth that only a simulator knows."""

from __future__ import annotations

import math

import numpy as np
from geometry_msgs.msg import PoseStamped, TransformStamped
from nav_msgs.msg import Odometry
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.node import Node
from sensor_msgs.msg import LaserScan
from std_msgs.msg import Bool
from tf2_msgs.msg import TFMessage
from tf2_ros import StaticTransformBroadcaster
from visualization_msgs.msg import Marker, MarkerArray

from edge_worldmodel.core.geometry import compose, inverse, quaternion_from_yaw, relative
from edge_worldmodel.core.types import Pose
from edge_worldmodel.nodes.ros import convert
from edge_worldmodel.nodes.ros.convert_sensors import scan_to_msg
from edge_worldmodel.nodes.ros.qos import LATCHED, SENSOR
from edge_worldmodel.sim.mjcf import PERSON_HEIGHT_M
from edge_worldmodel.sim.sensors.scanner import SimulatedScan
from edge_worldmodel.sim.simulation import OdometryReading, Simulation

# touches that are less than this apart count as one contact
_CONTACT_HOLD_NS = 500_000_000
_GOAL_REPEAT_NS = 60_000_000_000

# rclpy's default handlers of publisher events lengthen every wait of an executor: a tenth of a core at 100 Hz
QUIET = PublisherEventCallbacks(use_default_callbacks=False)


class SensorTopics:
    """Publishes scan, odom and tf of one robot; re-using the messages halves the cost."""

    def __init__(self, node: Node, simulation: Simulation, base_frame: str, odom_frame: str) -> None:
        """Create the publishers and publish the scanner poses."""
        mounts = simulation.world.robots[0].spec.scanners
        self._frames = ["laser" if i == 0 else f"laser_{i}" for i in range(len(mounts))]
        topics = ["scan" if i == 0 else f"scan_{i}" for i in range(len(mounts))]
        self._scans = [node.create_publisher(LaserScan, t, SENSOR, event_callbacks=QUIET) for t in topics]
        self._odom = node.create_publisher(Odometry, "odom", 10, event_callbacks=QUIET)
        self._tf = node.create_publisher(TFMessage, "/tf", 10, event_callbacks=QUIET)
        self._odom_message = Odometry(child_frame_id=base_frame)
        self._odom_message.header.frame_id = odom_frame
        transform = TransformStamped(child_frame_id=base_frame)
        self._tf_message = TFMessage(transforms=[transform])
        self._static = StaticTransformBroadcaster(node)
        self._publish_mounts(simulation, base_frame)

    def publish_scan(self, index: int, scan: SimulatedScan) -> None:
        """Publish a scan of one scanner."""
        angles_rad, limits_m = (scan.angle_min_rad, scan.angle_increment_rad), (scan.range_min_m, scan.range_max_m)
        message = scan_to_msg(scan.stamp_ns, self._frames[index], scan.ranges, angles_rad, limits_m)
        self._scans[index].publish(message)

    def publish_odom(self, reading: OdometryReading) -> None:
        """Publish the odometry, also as a transform."""
        stamp = convert.stamp_to_msg(reading.stamp_ns)
        message = self._odom_message
        message.header.stamp = stamp
        message.pose.pose = convert.pose_to_msg(reading.pose)
        message.twist.twist = convert.twist_to_msg(reading.twist)
        self._odom.publish(message)
        transform = self._tf_message.transforms[0]
        transform.header = message.header
        transform.transform.translation.x = message.pose.pose.position.x
        transform.transform.translation.y = message.pose.pose.position.y
        transform.transform.rotation = message.pose.pose.orientation
        self._tf.publish(self._tf_message)

    def _publish_mounts(self, simulation: Simulation, base_frame: str) -> None:
        mounts = zip(self._frames, simulation.world.robots[0].spec.scanners, strict=True)
        self._static.sendTransform(
            [
                convert.transform_to_msg(
                    simulation.stamp_ns, base_frame, frame,
                    (mount.mount_x_m, mount.mount_y_m, mount.mount_height_m), quaternion_from_yaw(mount.mount_yaw_rad),
                )
                for frame, mount in mounts
            ]
        )  # fmt: skip


class TruthTopics:
    """Publishes the ground truth: goal, contacts, arrival and the positions of people."""

    def __init__(self, node: Node, simulation: Simulation, odom_frame: str, goal_tolerance_m: float) -> None:
        """Create the publishers and publish that there is no contact and no arrival yet."""
        self._simulation = simulation
        self._odom_frame = odom_frame
        self._goal_tolerance_m = goal_tolerance_m
        self._goal = node.create_publisher(PoseStamped, "goal_pose", LATCHED, event_callbacks=QUIET)
        self._goal_listeners = 0
        self._contact = node.create_publisher(Bool, "sim/contact", LATCHED, event_callbacks=QUIET)
        self._reached = node.create_publisher(Bool, "sim/goal_reached", LATCHED, event_callbacks=QUIET)
        self._people = node.create_publisher(MarkerArray, "sim/people", 1, event_callbacks=QUIET)
        self._markers = MarkerArray(markers=[_person_marker(i) for i in range(len(simulation.world.people))])
        self.contacts = 0
        self.arrived = False
        self._touching = False
        self._last_touch_ns = -_CONTACT_HOLD_NS
        self._contact.publish(Bool(data=False))
        self._reached.publish(Bool(data=False))

    def publish_goal_to_new_listeners(self) -> None:
        """Publish the goal again for late subscribers that are not transient local.

        This ends after a minute, as the robot may then have been given another goal.
        """
        listeners = self._goal.get_subscription_count()
        if listeners > self._goal_listeners and self._simulation.stamp_ns < _GOAL_REPEAT_NS and not self.arrived:
            self.publish_goal()
        self._goal_listeners = listeners

    def publish_goal(self) -> None:
        """Publish the goal of the world in the odom frame, whose origin is the start pose."""
        placement = self._simulation.world.robots[0]
        if placement.goal is None:
            return
        goal = relative(np.array(placement.start), np.array(placement.goal))
        self._goal.publish(convert.goal_to_msg(self._simulation.stamp_ns, self._odom_frame, goal))

    def note_step(self) -> None:
        """Publish begin and end of contacts and the arrival at the goal; called after each step of the simulation."""
        now_ns = self._simulation.stamp_ns
        if self._simulation.in_contact():
            self._last_touch_ns = now_ns
        touching = now_ns - self._last_touch_ns < _CONTACT_HOLD_NS
        if touching != self._touching:
            self._touching = touching
            self.contacts += touching
            self._contact.publish(Bool(data=touching))
        if not self.arrived and self._simulation.goal_distance() <= self._goal_tolerance_m:
            self.arrived = True
            self._reached.publish(Bool(data=True))

    def publish_people(self) -> None:
        """Publish a cylinder for each person, placed in the odom frame by the present odometry."""
        if not self._people.get_subscription_count():
            return
        stamp = convert.stamp_to_msg(self._simulation.stamp_ns)
        for marker, pose, radius_m in zip(self._markers.markers, self._people_in_odom(), self._radii_m(), strict=True):
            absent = math.isnan(pose[0])
            marker.header.stamp, marker.header.frame_id = stamp, self._odom_frame
            marker.action = Marker.DELETE if absent else Marker.ADD
            marker.pose.position.x, marker.pose.position.y = (0.0, 0.0) if absent else (float(pose[0]), float(pose[1]))
            marker.scale.x = marker.scale.y = 2 * radius_m
        self._people.publish(self._markers)

    def _people_in_odom(self) -> Pose:
        world_in_odom = compose(self._simulation.odom().pose, inverse(self._simulation.pose()))
        positions = self._simulation.people().positions
        poses = np.concatenate([positions, np.zeros((len(positions), 1))], axis=1)
        return compose(world_in_odom, poses)

    def _radii_m(self) -> list[float]:
        return [person.radius_m for person in self._simulation.world.people]


def _person_marker(index: int) -> Marker:
    marker = Marker(ns="people", id=index, type=Marker.CYLINDER)
    marker.pose.position.z = PERSON_HEIGHT_M / 2
    marker.scale.z = PERSON_HEIGHT_M
    marker.color.r, marker.color.g, marker.color.b, marker.color.a = 0.2, 0.5, 0.9, 0.8
    return marker
