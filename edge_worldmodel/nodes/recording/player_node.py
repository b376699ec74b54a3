"""Player node: plays a recording on our topics with /clock and its original stamps, then ends.

Scans are published on ``scan``, ``scan_1``, ...; ego motion on ``odom`` and tf; sensor poses on static tf; a goal ahead
of the robot on ``goal_pose``, so that the planner has one.
"""

from __future__ import annotations

import array
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped, TransformStamped
from nav_msgs.msg import Odometry
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import LaserScan, PointCloud2, PointField
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.errors import ConfigError, EdgeWorldModelError
from edge_worldmodel.core.geometry import quaternion_from_yaw
from edge_worldmodel.core.safety.inputs.intake import OdometrySample
from edge_worldmodel.core.time_units import NS_PER_S
from edge_worldmodel.core.types import Pose, Twist
from edge_worldmodel.nodes.ros.convert import goal_to_msg, stamp_to_msg, transform_to_msg
from edge_worldmodel.nodes.ros.convert_sensors import odometry_to_msg, scan_to_msg
from edge_worldmodel.nodes.ros.parameters import declare
from edge_worldmodel.nodes.ros.qos import LATCHED, SENSOR
from edge_worldmodel.nodes.ros.rclpy_internals import RCLError
from edge_worldmodel.recordings import open_recording
from edge_worldmodel.recordings.clocks import Retimer
from edge_worldmodel.recordings.description import describe
from edge_worldmodel.recordings.options import parse_goal, parse_sensor_poses, parse_topics
from edge_worldmodel.recordings.playback import (
    EgoMotion,
    GoalAhead,
    MovingMounts,
    Playback,
    begin_ns,
    played_records,
    prepare,
    scheduled,
)
from edge_worldmodel.recordings.records import Cloud, Pose3D, Record, Scan

_TICK_S = 0.01
_ODOM_PERIOD_NS = NS_PER_S // 60
_FIXED_BASE_PERIOD_NS = NS_PER_S // 20
_LAST_TICKS_S = 1.0
EXIT_DAMAGED = 3


@dataclass(frozen=True)
class PlayerConfig(Config):
    """Which recording to play and how."""

    file: str = param("", "Recording: ROS 1 bag, ROS 2 bag or CARMEN log.", read_only=True)
    rate: float = param(1.0, "Recorded seconds per second.", minimum=0.01, maximum=100.0, read_only=True)
    start_s: float = param(0.0, "Recorded seconds to skip at the beginning.", minimum=0.0, read_only=True)
    duration_s: float = param(0.0, "Recorded seconds to play; 0: until the end.", minimum=0.0, read_only=True)
    ego: str = param("auto", "Ego motion: auto, fixed, odometry:TOPIC, tf:CHILD_FRAME or pose:TOPIC.", read_only=True)
    sensor_poses: str = param(
        "", "Sensor poses in the base frame: 'FRAME=x,y,yaw;...' or 'FRAME=x,y,z,roll,pitch,yaw;...'.", read_only=True
    )
    topics: str = param(
        "", "Sensor topics to play, names or patterns ('scan* points'); empty: all sensible ones.", read_only=True
    )
    ignore: str = param("", "Topics of the recording not to use, names or patterns.", read_only=True)
    goal: str = param("", "Goal 'x y' in the odom frame; empty: ahead of the robot.", read_only=True)
    goal_ahead_m: float = param(5.0, "Distance of the goal ahead.", minimum=1.0, maximum=50.0, read_only=True)
    wait_for_subscribers: int = param(
        2,
        "Number of subscribers of the sensor topic to wait for before playing.",
        minimum=0,
        maximum=100,
        read_only=True,
    )
    wait_s: float = param(30.0, "Longest time to wait for subscribers.", minimum=0.0, maximum=600.0, read_only=True)
    base_frame: str = param("base_link", "Robot base frame (REP-105).", read_only=True)
    odom_frame: str = param("odom", "Fixed frame of ego motion (REP-105).", read_only=True)


class PlayerNode(Node):
    """Publishes the records of a recording at their times."""

    def __init__(self) -> None:
        super().__init__("player")
        self._config = declare(self, PlayerConfig)
        if not self._config.file:
            raise ConfigError("parameter 'file' is empty: give the recording to play")
        self._recording = open_recording(self._config.file)
        description = describe(self._recording)
        self._playback = prepare(
            description,
            self._config.ego,
            parse_sensor_poses(self._config.sensor_poses),
            parse_topics(self._config.topics),
            parse_topics(self._config.ignore),
        )
        self._retimer = Retimer(self._playback.clocks)
        self._ego = EgoMotion(self._playback.ego)
        self._moving_mounts = MovingMounts(description, self._playback)
        self._pose: Pose = np.zeros(3)
        self._goal = GoalAhead(self._config.goal_ahead_m, parse_goal(self._config.goal))
        self._goal_listeners = 0
        self._odom_ns = 0
        self._now_ns = begin_ns(description, self._playback)
        self._played = 0
        self._connect(self._playback)
        self._log_playback(self._playback)

    def _connect(self, playback: Playback) -> None:
        self._clock_publisher = self.create_publisher(Clock, "/clock", QoSProfile(depth=10))
        self._odometry = self.create_publisher(Odometry, "odom", SENSOR)
        self._goals = self.create_publisher(PoseStamped, "goal_pose", LATCHED)
        self._sensors = {
            recorded: self.create_publisher(LaserScan if topic.startswith("scan") else PointCloud2, topic, SENSOR)
            for recorded, topic in playback.outputs.items()
        }
        self._tf = TransformBroadcaster(self)
        self._static_tf = StaticTransformBroadcaster(self)

    def _log_playback(self, playback: Playback) -> None:
        log = self.get_logger()
        for recorded, topic in playback.outputs.items():
            log.info(f"recorded '{recorded}' is played on '{topic}'")
        log.info(f"ego motion from {playback.ego.reason}")
        for line in playback.lines():
            log.warning(line)

    def play(self) -> None:
        """Play until the end of the recording or until ROS is shut down; blocks.

        Raises:
            RecordingError: the recording is damaged.
        """
        self._publish_mounts()
        self._wait()
        config = self._config
        self._begin_s, self._begin_ns = time.monotonic(), 0
        records = scheduled(
            played_records(self._recording, self._playback, self._retimer),
            self._playback.clock_shift_ns,
            config.start_s,
            config.duration_s,
        )
        for now_ns, record in records:
            if not self._begin_ns:
                self._now_ns = self._begin_ns = now_ns
                self._begin_s = time.monotonic()
            if not rclpy.ok():
                return
            self._play(now_ns, record)
        self._advance(self._now_ns + int(_LAST_TICKS_S * NS_PER_S))
        for topic, count in self._retimer.jumps.items():
            self.get_logger().warning(
                f"stamps of '{topic}' jumped {count} times: they go on from the time of recording"
            )
        self.get_logger().info(f"end of the recording: {self._played} sensor messages played")

    def _publish_mounts(self) -> None:
        moving = self._playback.moving_mounts
        self._static_tf.sendTransform(
            self._mount_messages(self._now_ns, {f: m for f, m in self._playback.mounts.items() if f not in moving})
        )

    def _mount_messages(self, stamp_ns: int, mounts: Mapping[str, Pose3D]) -> list[TransformStamped]:
        base = self._config.base_frame
        return [
            transform_to_msg(stamp_ns, base, frame, mount.translation, mount.rotation)
            for frame, mount in mounts.items()
            if frame != base
        ]

    def _wait(self) -> None:
        """Publish a constant /clock until the graph has subscribed, so that it misses no message."""
        end_s = time.monotonic() + self._config.wait_s
        while rclpy.ok() and not self._graph_is_ready():
            if time.monotonic() > end_s:
                wanted = self._config.wait_for_subscribers
                self.get_logger().warning(f"fewer than {wanted} subscribers after {self._config.wait_s:g} s, playing")
                return
            self._publish_clock()
            rclpy.spin_once(self, timeout_sec=0.1)

    def _graph_is_ready(self) -> bool:
        wanted = self._config.wait_for_subscribers
        listeners = next(iter(self._sensors.values())).get_subscription_count()
        # the planner creates the publisher of its plans once its model is loaded
        return listeners >= wanted and (not wanted or self.count_publishers("planner/plan") > 0)

    def _play(self, now_ns: int, record: Record) -> None:
        motion = self._ego.update(record.topic, record.stamp_ns, record.value)
        if motion is not None and record.stamp_ns - self._odom_ns >= _ODOM_PERIOD_NS:
            self._advance(now_ns)
            self._publish_motion(record.stamp_ns, *motion)
        if moved := self._moving_mounts.update(record.value):
            self._advance(now_ns)
            self._tf.sendTransform(self._mount_messages(record.stamp_ns, moved))
        publisher = self._sensors.get(record.topic)
        if publisher is None:
            return
        self._advance(now_ns)
        if isinstance(record.value, Scan):
            scan = record.value
            angles_rad, limits_m = (scan.angle_min_rad, scan.angle_increment_rad), (scan.range_min_m, scan.range_max_m)
            publisher.publish(
                scan_to_msg(record.stamp_ns, scan.frame_id, scan.ranges_m, angles_rad, limits_m, scan.time_increment_s)
            )
        elif isinstance(record.value, Cloud):
            publisher.publish(cloud_to_msg(record.stamp_ns, record.value))
        self._played += 1
        self._publish_goal()

    def _advance(self, to_ns: int) -> None:
        """Advance time at the wanted rate and publish it on /clock."""
        tick_ns = int(_TICK_S * self._config.rate * NS_PER_S)
        while self._now_ns < to_ns and rclpy.ok():
            self._now_ns = min(to_ns, self._now_ns + tick_ns)
            due_s = self._begin_s + (self._now_ns - self._begin_ns) / NS_PER_S / self._config.rate
            time.sleep(max(0.0, due_s - time.monotonic()))
            self._publish_clock()
            if self._playback.ego.kind == "fixed" and self._now_ns - self._odom_ns >= _FIXED_BASE_PERIOD_NS:
                self._publish_motion(self._now_ns, self._pose, np.zeros(3))

    def _publish_clock(self) -> None:
        self._clock_publisher.publish(Clock(clock=stamp_to_msg(self._now_ns)))

    def _publish_motion(self, stamp_ns: int, pose: Pose, twist: Twist) -> None:
        odom, base = self._config.odom_frame, self._config.base_frame
        self._pose, self._odom_ns = pose, stamp_ns
        self._odometry.publish(odometry_to_msg(OdometrySample(stamp_ns, odom, base, pose, twist)))
        place = float(pose[0]), float(pose[1]), 0.0
        self._tf.sendTransform(transform_to_msg(stamp_ns, odom, base, place, quaternion_from_yaw(float(pose[2]))))

    def _publish_goal(self) -> None:
        """Publish a new goal, or the present one again for late subscribers."""
        listeners = self._goals.get_subscription_count()
        is_new = self._goal.update(self._pose)
        if is_new or listeners > self._goal_listeners:
            self._goals.publish(goal_to_msg(self._now_ns, self._config.odom_frame, self._goal.goal))
        self._goal_listeners = listeners


def cloud_to_msg(stamp_ns: int, cloud: Cloud) -> PointCloud2:
    """Cloud to PointCloud2 with the bytes as recorded."""
    message = PointCloud2(height=cloud.height, width=cloud.width, is_bigendian=cloud.is_bigendian)
    message.header.stamp = stamp_to_msg(stamp_ns)
    message.header.frame_id = cloud.frame_id
    message.fields = [
        PointField(name=field.name, offset=field.offset, datatype=field.datatype, count=field.count)
        for field in cloud.fields
    ]
    message.point_step, message.row_step = cloud.point_step, cloud.row_step
    message.is_dense = cloud.is_dense
    data = array.array("B")
    data.frombytes(cloud.data)
    message.data = data
    return message


def main() -> None:
    """Run the node to the end of the recording; exit status 1: refused to start, 3: recording damaged."""
    signal.signal(signal.SIGINT, lambda *_: None)  # rclpy's own handler would end the context
    rclpy.init()
    node: PlayerNode | None = None
    status = 1
    try:
        node = PlayerNode()
        status = EXIT_DAMAGED
        node.play()
        status = 0
    except EdgeWorldModelError as error:
        print(f"player: {error}", file=sys.stderr)
    except (ExternalShutdownException, RCLError):
        if rclpy.ok():
            raise
        status = 0
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    sys.exit(status)
