"""Poses of sensors in the base frame, from tf or from parameters, and the base pose in a fixed frame from tf."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from geometry_msgs.msg import Transform, TransformStamped
from rclpy.node import Node
from rclpy.time import Time
from std_msgs.msg import Header
from tf2_ros import Buffer, ExtrapolationException, TransformException
from transforms3d.quaternions import quat2mat

from edge_worldmodel.core.errors import ConfigError, InputError
from edge_worldmodel.core.geometry import compose, pose_matrix, twist_at, yaw_from_quaternion
from edge_worldmodel.core.safety.inputs.intake import OdometrySample
from edge_worldmodel.core.time_units import to_seconds
from edge_worldmodel.core.twist_frame import TwistFrame
from edge_worldmodel.core.types import Floats, Pose
from edge_worldmodel.nodes.ros.convert import stamp_from_msg
from edge_worldmodel.nodes.ros.health import Health
from edge_worldmodel.nodes.ros.tf_input import TfInput

_LONGEST_CHAIN = 50
"""Longest way from a sensor to the base frame; also ends the search when the frames form a loop."""
_WAIT_NS = 100_000_000
"""A reading waits for the transform of a moving mount until a reading with a stamp this much later arrives."""
_FRAME_KEPT_NS = 2_000_000_000
"""A topic may change its frame after this time without a reading of the old one, as after a restart of the driver."""
_PARENT = re.compile(r"^(\S[^\n]*): *\n +parent: '(.*)'", re.MULTILINE)


class MissingTransformError(InputError):
    """tf does not know a needed transform, or does not know it yet."""

    kind = "missing_tf"


class LateTransformError(MissingTransformError):
    """tf knows the transform, but not yet at the time that is asked for."""


class NotOnRobotError(InputError):
    """A sensor frame that does not belong to the robot."""

    kind = "frame_not_on_robot"


class TwoSensorsError(InputError):
    """Readings of two sensors on one topic."""

    kind = "two_sensors_on_topic"


class Frames:
    """Sensor poses in the base frame, and the base pose in a fixed frame.

    The pose of a static mount is looked up once. A moving one, a pan head for example, is looked up at the time of
    each reading.

    Args:
        node: the node that subscribes to tf.
        base_frame: the base frame.
        sensor_pose: pose of every sensor as x, y, yaw or x, y, z, roll, pitch, yaw; empty or None: tf is asked.
        health: counts transforms and readings that are not used; None: one of its own.

    Raises:
        ConfigError: another number of values in ``sensor_pose``.
    """

    def __init__(
        self,
        node: Node,
        base_frame: str,
        sensor_pose: tuple[float, ...] | None = None,
        health: Health | None = None,
    ) -> None:
        self._base_frame = base_frame
        if sensor_pose and (problem := sensor_pose_problem(sensor_pose)):
            raise ConfigError(problem)
        self._fixed = pose_matrix(sensor_pose) if sensor_pose else None
        self._mounts: dict[str, Floats] = {}
        self._moving: set[str] = set()
        self._last_used: dict[str, tuple[str, int]] = {}
        self._waiting: dict[str, tuple[int, Callable[[], None]]] = {}
        self._offsets: dict[str, Pose] = {}
        self._twist_frame, self._logger = TwistFrame(), node.get_logger()
        self._watch: Callable[[], None] = lambda: None
        self._buffer = Buffer(node=node)
        self._health = health or Health(node)
        self._tf: TfInput | None = TfInput(node, self._buffer, self._health, self._on_tf)

    def mount(self, sensor_frame: str, stamp_ns: int) -> Floats:
        """Return the 4 x 4 pose of a sensor in the base frame at a time.

        Raises:
            MissingTransformError: tf has no path between the two frames.
            LateTransformError: the mount moves, and tf does not reach this time.
            InputError: the mount moves, and the time is negative.
            NotOnRobotError: the frame is neither a child of the base frame nor of a frame that is fixed to it.
        """
        if self._fixed is not None:
            return self._fixed
        if sensor_frame == self._base_frame:
            return np.eye(4)
        if sensor_frame in self._mounts:
            return self._mounts[sensor_frame]
        newest = self._lookup(self._base_frame, sensor_frame, Time())
        self._check_on_robot(sensor_frame)
        # A chain of static transforms has the stamp 0 in tf.
        if not (newest.header.stamp.sec or newest.header.stamp.nanosec):
            self._mounts[sensor_frame] = _matrix(newest.transform)
            return self._mounts[sensor_frame]
        self._moving.add(sensor_frame)
        if stamp_ns < 0:
            raise InputError(f"stamp {stamp_ns} ns of a reading in '{sensor_frame}' is negative; look at its driver")
        return _matrix(self._lookup(self._base_frame, sensor_frame, Time(nanoseconds=stamp_ns)).transform)

    def with_mount(
        self,
        sensor: str,
        header: Header,
        receive: Callable[[Floats], None],
        refuse: Callable[[InputError], None],
    ) -> None:
        """Call ``receive`` with the mount of a reading, at once or when tf has reached its stamp.

        Only one reading of a sensor waits; readings that arrive up to 0.1 s after it are left out. Of a topic on which
        the readings of two sensors alternate, one is used and the other refused: they would replace each other.

        Args:
            sensor: name of the sensor.
            header: header of the reading.
            receive: takes the mount.
            refuse: takes the error if there is no mount.
        """
        stamp_ns, waiting = stamp_from_msg(header.stamp), self._waiting.get(sensor)
        if waiting is not None and 0 <= stamp_ns - waiting[0] < _WAIT_NS:
            self._health.note(
                "left_out_while_waiting_for_tf", f"another reading of '{sensor}' waits for the transform of its frame"
            )
            return
        try:
            mount = self.mount(header.frame_id, stamp_ns)
            self._check_same_sensor(sensor, header.frame_id, stamp_ns)
        except LateTransformError as error:
            self._waiting[sensor] = stamp_ns, lambda: self.with_mount(sensor, header, receive, refuse)
            if waiting is not None:
                refuse(error)
        except InputError as error:
            refuse(error)
        else:
            self._waiting.pop(sensor, None)
            receive(mount)

    def _check_same_sensor(self, sensor: str, frame: str, stamp_ns: int) -> None:
        """Check that a topic has readings of one sensor only, by their frame."""
        used_frame, used_ns = self._last_used.get(sensor, (frame, stamp_ns))
        if frame != used_frame and abs(stamp_ns - used_ns) < _FRAME_KEPT_NS:
            raise TwoSensorsError(
                f"'{sensor}' carries readings of two sensors, '{used_frame}' and '{frame}'; only those of"
                f" '{used_frame}' are used: give each sensor a topic of its own and name both topics"
            )
        self._last_used[sensor] = frame, stamp_ns

    def _on_tf(self) -> None:
        self._watch()
        self._resume()

    def _resume(self) -> None:
        """Try again all readings that wait for a transform."""
        # Emptied first, because a reading may have to wait again.
        waiting, self._waiting = self._waiting, {}
        for _, again in waiting.values():
            again()

    def release(self, mounts: int) -> None:
        """Stop listening to tf once this many static mounts are known, to save the cost of a busy tf."""
        if len(self._mounts) >= mounts > 0 and not self._moving:
            self.close()

    def close(self) -> None:
        """Stop listening to tf."""
        if self._tf is not None:
            self._tf.close()
            self._tf = None

    def newest_base_pose(self, fixed_frame: str) -> tuple[int, Pose]:
        """Return stamp and base pose (x_m, y_m, yaw_rad) in ``fixed_frame``, the newest that tf knows.

        The stamp is 0 if all transforms between the two are static.

        Raises:
            MissingTransformError: tf has no path between the two frames.
        """
        newest = self._lookup(fixed_frame, self._base_frame, Time())
        return stamp_from_msg(newest.header.stamp), _planar(newest.transform)

    def watch_base(self, fixed_frame: str, on_pose: Callable[[int, Pose], None]) -> None:
        """Call ``on_pose`` with stamp and pose of the base in ``fixed_frame`` whenever tf has a newer one."""
        last_ns = -1

        def watch() -> None:
            nonlocal last_ns
            try:
                stamp_ns, pose = self.newest_base_pose(fixed_frame)
            except MissingTransformError:
                return  # said when a pose is needed
            if stamp_ns != last_ns:
                last_ns = stamp_ns
                on_pose(stamp_ns, pose)

        self._watch = watch

    def odometry_of_base(self, odometry: OdometrySample) -> OdometrySample:
        """Return odometry of the base from that of another frame that is fixed to it, as "base_footprint" is.

        Odometry without a child frame is that of the base. A twist in the fixed frame is turned into the base frame.

        Raises:
            MissingTransformError: tf has no path between the two frames.
            NotOnRobotError: the frame moves against the base.
        """
        child = odometry.child_frame_id.lstrip("/")
        was_fixed = self._twist_frame.is_fixed
        twist = self._twist_frame.in_base(odometry.stamp_ns, odometry.pose, odometry.twist)
        if self._twist_frame.is_fixed != was_fixed:
            frame = odometry.frame_id if self._twist_frame.is_fixed else "the base"
            self._logger.warning(f"odometry gives its twist in the frame '{frame}': it is turned into the base frame")
        if twist is not odometry.twist:
            odometry = replace(odometry, twist=twist)
        if child == self._base_frame:
            return odometry
        offset = self._base_in(child)
        return replace(
            odometry,
            child_frame_id=self._base_frame,
            pose=compose(odometry.pose, offset),
            twist=twist_at(odometry.twist, offset),
        )

    def _base_in(self, frame: str) -> Pose:
        """Return the pose (3,) of the base in a frame that is fixed to it."""
        if not frame:
            return np.zeros(3)
        if frame not in self._offsets:
            try:
                found = self._lookup(frame, self._base_frame, Time())
            except MissingTransformError as error:
                raise MissingTransformError(
                    f"odometry is of '{frame}', base_frame is '{self._base_frame}', and tf has no transform between"
                    f" them: set base_frame to '{frame}', or publish the static transforms of the robot"
                ) from error
            if stamp_from_msg(found.header.stamp):
                raise NotOnRobotError(
                    f"odometry is of '{frame}', which is not fixed to base_frame, '{self._base_frame}': choose the"
                    " topic with the odometry of the robot's base"
                )
            self._offsets[frame] = _planar(found.transform)
        return self._offsets[frame]

    def planar_transform(self, target_frame: str, source_frame: str) -> Pose:
        """Return the newest pose of ``source_frame`` in ``target_frame``, planar; raises like ``mount``."""
        if target_frame == source_frame:
            return np.zeros(3)
        return _planar(self._lookup(target_frame, source_frame, Time()).transform)

    def _check_on_robot(self, sensor_frame: str) -> None:
        """Check that the way up from a sensor frame leads to the base frame, not past it as from "odom" or "map".

        A frame that is fixed to the base counts as the base: "base_footprint" is often the parent of "base_link".
        """
        if sensor_frame in self._moving:
            return
        parents = dict(_PARENT.findall(self._buffer.all_frames_as_yaml()))
        frame = sensor_frame
        for _ in range(_LONGEST_CHAIN):
            if frame == self._base_frame or (frame and self._is_fixed_to_base(frame)):
                return
            frame = parents.get(frame, "")
        raise NotOnRobotError(
            f"sensor frame '{sensor_frame}' is no child of '{self._base_frame}': "
            "set the driver's frame_id to the frame of the sensor on the robot"
        )

    def _is_fixed_to_base(self, frame: str) -> bool:
        try:
            return stamp_from_msg(self._lookup(self._base_frame, frame, Time()).header.stamp) == 0
        except MissingTransformError:
            return False

    def _lookup(self, target: str, source: str, time: Time) -> TransformStamped:
        try:
            return self._buffer.lookup_transform(target, source, time)
        except ExtrapolationException as error:
            gap = self._gap(target, source, time)
            raise LateTransformError(f"no transform from '{source}' to '{target}' at this time: {gap}") from error
        except TransformException as error:
            problem = self._missing(target, source)
            raise MissingTransformError(f"no transform from '{source}' to '{target}': {problem}") from error

    def _gap(self, target: str, source: str, time: Time) -> str:
        """Return how far a time is from the transforms that tf keeps."""
        try:
            newest = self._buffer.lookup_transform(target, source, Time())
        except TransformException:
            return "the transforms between them have no time in common; check the clocks of their publishers"
        ahead_s = to_seconds(time.nanoseconds - stamp_from_msg(newest.header.stamp))
        if ahead_s > 0.0:
            return f"the newest one is {ahead_s:.2f} s older; check the rate and the clock of its publisher"
        return f"the newest one is {-ahead_s:.2f} s newer, and older ones are not kept; check the clock of the reading"

    def _missing(self, target: str, source: str) -> str:
        """Return why tf has no transform between two frames, and what to do."""
        if any(not frame or frame.startswith("/") for frame in (target, source)):
            return "the id of a frame must not be empty or begin with '/'; set header.frame_id in its driver"
        pairs = _PARENT.findall(self._buffer.all_frames_as_yaml())
        known = {frame for pair in pairs for frame in pair}
        unknown = " and ".join(f"'{frame}'" for frame in (source, target) if frame not in known)
        if unknown:
            return f"tf has no frame {unknown}; check the frame ids, and that robot_state_publisher or the driver runs"
        return "no chain of transforms connects them; publish the one that is missing"


def sensor_pose_problem(numbers: tuple[float, ...]) -> str:
    """Return what is wrong with a parameter ``sensor_pose``; empty if nothing is."""
    if len(numbers) in (0, 3, 6):
        return ""
    return f"sensor_pose = {numbers!r}: give x, y, yaw, or x, y, z, roll, pitch, yaw, or nothing"


def _planar(transform: Transform) -> Pose:
    q = transform.rotation
    return np.array([transform.translation.x, transform.translation.y, yaw_from_quaternion(q.x, q.y, q.z, q.w)])


def _matrix(transform: Transform) -> Floats:
    q, t = transform.rotation, transform.translation
    matrix = np.eye(4)
    matrix[:3, :3] = quat2mat([q.w, q.x, q.y, q.z])
    matrix[:3, 3] = t.x, t.y, t.z
    return matrix
