"""Perception node: sensor data and ego motion in, LatentFrame out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import OccupancyGrid, Odometry
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan, PointCloud2

import edge_worldmodel.msg as msg
from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.errors import ConfigError, InputError
from edge_worldmodel.core.geometry import pose_matrix
from edge_worldmodel.core.perception.camera import (
    Calibration,
    check_calibration,
    intrinsics_of_image,
    optical_pose_problem,
)
from edge_worldmodel.core.perception.cloud import sweep_from_cloud
from edge_worldmodel.core.perception.config import PerceptionConfig
from edge_worldmodel.core.perception.depth import sweep_from_depth
from edge_worldmodel.core.perception.perception import Observation, Perception
from edge_worldmodel.core.polygon import self_filters, self_filters_problem
from edge_worldmodel.core.rejection import RejectionKind
from edge_worldmodel.core.stamps import ClockOffset
from edge_worldmodel.core.sweep import Sweep, without_self
from edge_worldmodel.core.time_units import NS_PER_S
from edge_worldmodel.core.types import Floats, Points, Pose, Tensor, Twist
from edge_worldmodel.nodes.ros import convert
from edge_worldmodel.nodes.ros import convert_sensors as sensors
from edge_worldmodel.nodes.ros.convert_depth import calibration_from_msg, depth_from_msg
from edge_worldmodel.nodes.ros.frames import Frames, sensor_pose_problem
from edge_worldmodel.nodes.ros.health import guarded
from edge_worldmodel.nodes.ros.managed_node import ManagedNode, clock_name, run
from edge_worldmodel.nodes.ros.model import ModelConfig, open_world_model
from edge_worldmodel.nodes.ros.parameters import declare
from edge_worldmodel.nodes.ros.qos import LATCHED, LATEST, SENSOR
from edge_worldmodel.nodes.ros.spans import mark

_NO_POSE = (
    "a sweep of the last second was left out, as no pose of the robot is known for its stamp; check the source of"
    " ego_motion and its clock"
)
_COMPRESSED = ("compressedDepth", "compressed")


@dataclass(frozen=True)
class PerceptionTopics(Config):
    """Topics and sensor poses of perception."""

    scan_topics: tuple[str, ...] = param(("scan",), "LaserScan topics.", read_only=True)
    cloud_topics: tuple[str, ...] = param((), "PointCloud2 topics.", read_only=True)
    depth_topics: tuple[str, ...] = param(
        (), "Depth image topics, each with its camera_info in the same namespace.", read_only=True
    )
    pose_topic: str = param("pose", "PoseStamped topic, used when ego_motion is 'pose'.", read_only=True)
    sensor_pose: tuple[float, ...] = param(
        (),
        "x, y, yaw or x, y, z, roll, pitch, yaw of every sensor in the base frame [m, rad], for a depth camera of its"
        " optical frame; empty: from tf.",
        read_only=True,
    )

    self_filters_m: tuple[str, ...] = param(
        (),
        "Outline, as Nav2's text, in which points are the robot itself: one per topic, scans, clouds, depth images;"
        " '' for none.",
        read_only=True,
    )

    def __post_init__(self) -> None:
        """Check the fields and that there is a sensor."""
        super().__post_init__()
        if problem := self_filters_problem(self.self_filters_m, len(self.sources)):
            raise ConfigError(f"self_filters_m = {self.self_filters_m!r}: {problem}")
        if problem := sensor_pose_problem(self.sensor_pose):
            raise ConfigError(problem)
        if not any((*self.scan_topics, *self.cloud_topics, *self.depth_topics)):
            raise ConfigError("perception has no sensor: name a topic in scan_topics, cloud_topics or depth_topics")
        if self.sensor_pose and any(self.depth_topics) and (problem := self._depth_pose_problem()):
            raise ConfigError(
                f"sensor_pose = {self.sensor_pose!r} with depth_topics = {self.depth_topics!r}: {problem}"
            )

    def _depth_pose_problem(self) -> str:
        """Return what is wrong with the pose of a depth camera; empty if nothing is."""
        if len(self.sources) > 1:
            return "one pose is not that of several sensors; leave it empty and publish the poses on tf"
        if len(self.sensor_pose) != 6:
            return "a camera needs x, y, z, roll, pitch, yaw of its optical frame"
        return optical_pose_problem(pose_matrix(self.sensor_pose))

    @property
    def sources(self) -> tuple[str, ...]:
        """Topics of all sensors."""
        return tuple(filter(None, (*self.scan_topics, *self.cloud_topics, *self.depth_topics)))

    @cached_property
    def self_filters(self) -> dict[str, Points]:
        """Outline (n, 2) of the robot as each sensor sees it, by topic; empty for none."""
        return self_filters(self.self_filters_m, self.sources)

    @property
    def camera_infos(self) -> dict[str, str]:
        """The camera_info topic of each depth image topic."""
        return {topic: _camera_info(topic) for topic in self.depth_topics if topic}


class OtherClockError(InputError):
    """The stamps of a topic are those of another clock."""

    kind = "other_clock"


class PerceptionNode(ManagedNode):
    """Turns sensor data into sweeps, renders the last second of them and publishes its encoding."""

    def __init__(self) -> None:
        super().__init__("perception")
        self._topics = declare(self, PerceptionTopics)
        self._model_config = declare(self, ModelConfig)
        self._perception = Perception(declare(self, PerceptionConfig, on_change=self._reconfigure))

    def setup(self) -> None:
        """Load the encoder and open the topics."""
        self._model = open_world_model(self, self._model_config, self.health)
        self._perception.reset()
        self._frames = Frames(self, self.common.base_frame, self._topics.sensor_pose, self.health)
        self.on_teardown(self._frames.close)
        self._calibrations: dict[str, Calibration] = {}
        self._sequence = 0
        self._clock_offsets: dict[str, ClockOffset] = {}
        self._static_pose: Pose | None = None
        self._waiting_ns: int | None = None
        """Stamp of the frame that waits for a pose."""
        self._latents = self.open_publisher(msg.LatentFrame, "perception/latent", LATEST)
        self._grids = self.open_publisher(OccupancyGrid, "perception/grid", LATCHED)
        self._subscribe_to_sensors()
        self._subscribe_to_motion()
        self.open_subscription(OccupancyGrid, "planner/imagined_occupancy", self._on_imagined, LATCHED)

    def _reconfigure(self, config: PerceptionConfig) -> None:
        self._perception.configure(config)

    def _subscribe_to_sensors(self) -> None:
        """Subscribe; each callback also gets its topic, which is the name of the sensor."""
        topics = self._topics
        kinds: tuple[tuple[Any, tuple[str, ...], Callable[..., None]], ...] = (
            (LaserScan, topics.scan_topics, self._on_scan),
            (PointCloud2, topics.cloud_topics, self._on_cloud),
        )
        # Before the images, because a depth image cannot be used without its camera_info.
        for source, info_topic in topics.camera_infos.items():
            self.open_subscription(CameraInfo, info_topic, partial(self._on_camera_info, source), SENSOR)
        for topic in filter(None, topics.depth_topics):
            image = CompressedImage if topic.rsplit("/", 1)[-1] in _COMPRESSED else Image
            self.open_subscription(image, topic, partial(self._on_depth, topic), SENSOR)
        for kind, names, callback in kinds:
            for topic in filter(None, names):
                self.open_subscription(kind, topic, partial(callback, topic), SENSOR)

    def _subscribe_to_motion(self) -> None:
        ego_motion = self._perception.config.ego_motion
        if ego_motion == "odom":
            self.open_subscription(Odometry, "odom", self._on_odometry, SENSOR)
        elif ego_motion == "tf":
            self._frames.watch_base(self.common.odom_frame, self._on_tf_pose)
        elif ego_motion == "pose":
            self.open_subscription(PoseStamped, self._topics.pose_topic, self._on_pose, SENSOR)

    @guarded
    def _on_scan(self, source: str, message: LaserScan) -> None:
        config = self._perception.config
        slab_m = config.obstacle_height_min_m, config.obstacle_height_max_m

        def to_sweep(mount: Floats) -> Sweep:
            sweep = sensors.sweep_from_scan_msg(message, mount, slab_m, config.below_range_min == "hit")
            self._note_times(message, sweep)
            return without_self(sweep, self._topics.self_filters[source])

        self._take(source, message, to_sweep)

    @guarded
    def _on_cloud(self, source: str, message: PointCloud2) -> None:
        def to_sweep(mount: Floats) -> Sweep:
            points, delays_s = sensors.points_from_cloud_msg(message, mount, self._topics.self_filters[source])
            stamp_ns = convert.stamp_from_msg(message.header.stamp)
            sweep = sweep_from_cloud(stamp_ns, points, mount[:3, 3], self._perception.config, delays_s)
            self._note_times(message, sweep)
            return sweep

        self._take(source, message, to_sweep)

    def _note_times(self, message: LaserScan | PointCloud2, sweep: Sweep) -> None:
        if sensors.ignored_times(message, sweep):
            self.health.note("ignored_beam_times", sensors.IGNORED_TIMES)

    @guarded
    def _on_depth(self, source: str, message: Image | CompressedImage) -> None:
        if source not in self._calibrations:
            raise InputError(f"depth image on '{source}' before its camera_info: publish both topics")

        def to_sweep(mount: Floats) -> Sweep:
            if problem := optical_pose_problem(mount):
                raise InputError(f"depth image in frame '{message.header.frame_id}': {problem}")
            stamp_ns, depth = convert.stamp_from_msg(message.header.stamp), depth_from_msg(message)
            rows, columns = depth.shape
            camera = intrinsics_of_image(
                self._calibrations[source], message.header.frame_id, (columns, rows), rectified=_is_rectified(source)
            )
            pinhole = camera.fx, camera.fy, camera.cx, camera.cy
            sweep = sweep_from_depth(stamp_ns, depth, *pinhole, mount, self._perception.config, camera.distortion)
            return without_self(sweep, self._topics.self_filters[source])

        self._take(source, message, to_sweep)

    @guarded
    def _on_camera_info(self, source: str, message: CameraInfo) -> None:
        # A bad one is kept too, so that the errors of the images say what does not fit to them.
        self._calibrations[source] = calibration_from_msg(message)
        check_calibration(self._calibrations[source], rectified=_is_rectified(source))

    @guarded
    def _on_odometry(self, message: Odometry) -> None:
        if message.header.frame_id != self.common.odom_frame:
            raise InputError(
                f"odometry in frame '{message.header.frame_id}': expected odom_frame, '{self.common.odom_frame}'"
            )
        self._check_clock("odom", convert.stamp_from_msg(message.header.stamp))
        odometry = self._frames.odometry_of_base(sensors.odometry_from_msg(message))
        self._add_pose(odometry.stamp_ns, odometry.pose, odometry.twist)

    @guarded
    def _on_pose(self, message: PoseStamped) -> None:
        stamp_ns = convert.stamp_from_msg(message.header.stamp)
        self._check_clock(self._topics.pose_topic, stamp_ns)
        self._add_pose(stamp_ns, convert.pose_from_msg(message.pose))

    @guarded
    def _on_tf_pose(self, stamp_ns: int, pose: Pose) -> None:
        # A stamp of 0 means that all transforms up to the base are static: the robot stands still.
        self._static_pose = None if stamp_ns else pose
        if stamp_ns:
            self._add_pose(stamp_ns, pose)

    def _add_pose(self, stamp_ns: int, pose: Pose, twist: Twist | None = None) -> None:
        self._note(self._perception.add_pose(stamp_ns, pose, twist))
        waiting_ns = self._waiting_ns
        if self.active and waiting_ns is not None and self._perception.poses.reaches(waiting_ns):
            self._waiting_ns = None
            self._publish_frame(waiting_ns)

    def _check_clock(self, topic: str, stamp_ns: int) -> None:
        """Show how far the stamps of a topic are behind our clock, and refuse those of another clock."""
        now_ns = self.get_clock().now().nanoseconds
        if now_ns == 0:
            return  # simulated time that has not begun
        offset = self._clock_offsets.setdefault(topic, ClockOffset())
        offset.note(stamp_ns, now_ns)
        self.health.figures[f"clock_offset_s {topic}"] = offset.offset_s
        if abs(offset.offset_s) > self._perception.config.clock_offset_max_s:
            raise OtherClockError(
                f"the stamps of '{topic}' are {offset.offset_s:.2f} s behind {clock_name(self)}; clock_offset_max_s ="
                f" {self._perception.config.clock_offset_max_s:g}: synchronise the clocks (chrony, PTP), or for a"
                " recording set use_sim_time and play it with its clock"
            )

    @guarded
    def _on_imagined(self, message: OccupancyGrid) -> None:
        probability, pose, stamp_ns = sensors.occupancy_from_msg(message)
        self._perception.add_imagined(stamp_ns, pose, probability)

    def _take(self, source: str, message: Any, to_sweep: Callable[[Floats], Sweep]) -> None:
        """Convert a message with the pose of its sensor at its stamp, and add the sweep."""
        if self.listens():
            self._check_clock(source, convert.stamp_from_msg(message.header.stamp))
            receive = partial(self._receive, source, to_sweep)
            self._frames.with_mount(source, message.header, receive, self.health.reject)

    @guarded
    def _receive(self, source: str, to_sweep: Callable[[Floats], Sweep], mount: Floats) -> None:
        # The transform may have arrived after the node was deactivated.
        if self.listens():
            self._add_sweep(source, to_sweep(mount))

    def _add_sweep(self, source: str, sweep: Sweep) -> None:
        """Add a sweep and, when a frame is due, publish it."""
        self._note(self._perception.add_sweep(source, sweep, self._static_pose))
        if not self._perception.due(sweep.stamp_ns):
            return
        stamp_ns, waiting_ns = sweep.stamp_ns, self._waiting_ns
        if waiting_ns is not None and 0 <= stamp_ns - waiting_ns <= self._perception.config.pose_wait_s * NS_PER_S:
            return
        self._waiting_ns = None
        if waiting_ns is not None:
            self._refuse_late_pose(waiting_ns)
        if self._perception.config.ego_motion == "fixed" or self._perception.poses.reaches(stamp_ns):
            self._publish_frame(stamp_ns)
        else:
            self._waiting_ns = stamp_ns

    def _refuse_late_pose(self, stamp_ns: int) -> None:
        """Count a frame for which no pose has come, and say why."""
        try:
            if self._perception.config.ego_motion == "tf":
                self._frames.newest_base_pose(self.common.odom_frame)
            self._perception.poses.at(stamp_ns)
        except InputError as error:
            self.health.reject(error)

    def _publish_frame(self, stamp_ns: int) -> None:
        """Observe, encode and publish the frame of a time."""
        begin_s = time.perf_counter()
        observation = self._perception.observe(stamp_ns)
        observed_s = time.perf_counter()
        if observation.without_pose:
            self.health.note("sweep_without_pose", _NO_POSE, observation.without_pose)
        context = self._model.encode(observation.history)
        self._publish(observation, context)
        self.health.figures.update(
            frames=self._sequence,
            observe_s=observed_s - begin_s,
            encode_s=time.perf_counter() - observed_s,
            entropy_bits=observation.entropy_bits,
            surprise=observation.surprise_bits,
            stale_sensors=", ".join(self._perception.stale_sources(stamp_ns)) or "none",
        )

    def _publish(self, observation: Observation, context: Tensor) -> None:
        self._sequence += 1
        frames = self.common.odom_frame, self.common.base_frame
        frame = observation.latent_frame(context, self._model.model_id, self._sequence, frames)
        message = convert.latent_frame_to_msg(frame)
        mark("latent", frame.stamp_ns)
        self._latents.publish(message)
        occupied, free = observation.grid
        self._grids.publish(
            sensors.occupancy_to_msg(occupied, (occupied + free) > 0, frame.pose, frame.stamp_ns, frame.frame_id)
        )

    def _note(self, kinds: tuple[RejectionKind, ...]) -> None:
        for kind in kinds:
            if kind is RejectionKind.BEAMS_CHANGED:
                self.health.note(kind.name, f"{kind.value}: the driver was set up anew, or two drivers share the topic")
                continue
            reason = f"{kind.value}: a driver or clock was restarted, or the robot was moved"
            self.health.note(kind.name, reason)
            self._waiting_ns = None
            self.get_logger().warning(reason, throttle_duration_sec=5.0)


def _camera_info(topic: str) -> str:
    """Return the camera_info topic beside an image topic; a compressed image lies one level below its image."""
    image, _, transport = topic.rpartition("/")
    image = image if transport in _COMPRESSED else topic
    return f"{image.rpartition('/')[0]}/camera_info" if "/" in image else "camera_info"


def _is_rectified(topic: str) -> bool:
    """Return whether images are rectified, by the convention of image_proc: "image_rect", "image_rect_raw"."""
    return any("rect" in part.split("_") for part in topic.split("/"))


def main() -> None:
    """Run the node."""
    run(PerceptionNode)
