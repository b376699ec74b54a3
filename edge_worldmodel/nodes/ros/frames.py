"""Poses of sensors in the base frame, from tf or from parameters, and the base pose in a fixed frame from tf."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Transform
from rclpy.node import Node
from rclpy.time import Time
from tf2_ros import Buffer, TransformException, TransformListener
from transforms3d.quaternions import quat2mat

from edge_worldmodel.core.errors import InputError
from edge_worldmodel.core.geometry import yaw_from_quaternion
from edge_worldmodel.core.types import Floats, Pose


class MissingTransformError(InputError):
    """tf does not know a needed transform, or does not know it yet."""

    kind = "missing_tf"


class Frames:
    """Sensor poses in the base frame, looked up once per sensor, and the base pose in a fixed frame.

    Args:
        node: the node that subscribes to tf.
        base_frame: the base frame.
        sensor_pose: (x_m, y_m, yaw_rad) of every sensor; empty or None: tf is asked.
    """

    def __init__(self, node: Node, base_frame: str, sensor_pose: tuple[float, ...] | None = None) -> None:
        self._base_frame = base_frame
        self._fixed = _planar_matrix(sensor_pose) if sensor_pose else None
        self._mounts: dict[str, Floats] = {}
        self._buffer = Buffer(node=node)
        self._listener: TransformListener | None = TransformListener(self._buffer, node, spin_thread=False)

    def mount(self, sensor_frame: str) -> Floats:
        """Return the 4 x 4 pose of a rigidly mounted sensor in the base frame.

        Raises:
            MissingTransformError: tf has no path between the two frames.
        """
        if self._fixed is not None:
            return self._fixed
        if sensor_frame not in self._mounts:
            self._mounts[sensor_frame] = _matrix(self._lookup(self._base_frame, sensor_frame, Time()))
        return self._mounts[sensor_frame]

    def release(self, mounts: int) -> None:
        """Stop listening to tf once this many mounts are known, to save the cost of a busy tf."""
        if len(self._mounts) >= mounts > 0:
            self.close()

    def close(self) -> None:
        """Stop listening to tf."""
        if self._listener is not None:
            self._listener.unregister()
            self._listener = None

    def planar_mount(self, sensor_frame: str) -> Pose:
        """Return (x_m, y_m, yaw_rad) of a sensor in the base frame; raises like ``mount``."""
        matrix = self.mount(sensor_frame)
        return np.array([matrix[0, 3], matrix[1, 3], np.arctan2(matrix[1, 0], matrix[0, 0])])

    def base_pose(self, fixed_frame: str, stamp_ns: int) -> Pose:
        """Return the base pose (x_m, y_m, yaw_rad) in ``fixed_frame`` at a time; raises like ``mount``."""
        return _planar(self._lookup(fixed_frame, self._base_frame, Time(nanoseconds=stamp_ns)))

    def planar_transform(self, target_frame: str, source_frame: str) -> Pose:
        """Return the newest pose of ``source_frame`` in ``target_frame``, planar; raises like ``mount``."""
        if target_frame == source_frame:
            return np.zeros(3)
        return _planar(self._lookup(target_frame, source_frame, Time()))

    def _lookup(self, target: str, source: str, time: Time) -> Transform:
        try:
            return self._buffer.lookup_transform(target, source, time).transform
        except TransformException as error:
            raise MissingTransformError(f"no transform from '{source}' to '{target}': {error}") from error


def _planar(transform: Transform) -> Pose:
    q = transform.rotation
    return np.array([transform.translation.x, transform.translation.y, yaw_from_quaternion(q.x, q.y, q.z, q.w)])


def _matrix(transform: Transform) -> Floats:
    q, t = transform.rotation, transform.translation
    matrix = np.eye(4)
    matrix[:3, :3] = quat2mat([q.w, q.x, q.y, q.z])
    matrix[:3, 3] = t.x, t.y, t.z
    return matrix


def _planar_matrix(pose: tuple[float, ...]) -> Floats:
    x_m, y_m, yaw_rad = pose
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(yaw_rad), -np.sin(yaw_rad)], [np.sin(yaw_rad), np.cos(yaw_rad)]]
    matrix[:2, 3] = x_m, y_m
    return matrix
