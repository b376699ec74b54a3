"""A depth camera by MuJoCo ray casting: one ray per pixel, the floor included, with noise and missing pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from edge_worldmodel.core.types import Floats, Tensor
from edge_worldmodel.sim.robots import DepthCameraSpec
from edge_worldmodel.sim.sensors.rays import RayCaster

_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Axes of an optical frame (x right, y down, z ahead) as columns in a body frame (x ahead, y left, z up); REP-103."""


@dataclass(frozen=True)
class DepthImage:
    """One image: ``depth_m`` (rows, columns) along the optical axis, NaN without a measurement (REP-118)."""

    stamp_ns: int
    depth_m: Tensor


class DepthCamera:
    """A camera on a robot; the body of the robot is not visible to it."""

    def __init__(self, spec: DepthCameraSpec, body_id: int, rng: np.random.Generator) -> None:
        """Prepare one ray per pixel."""
        self.spec = spec
        self._rng = rng
        rows, columns = np.mgrid[: spec.rows, : spec.columns].reshape(2, -1)
        ahead = np.ones(spec.rows * spec.columns)
        optical = np.stack([(columns - spec.cx_px) / spec.focal_px, (rows - spec.cy_px) / spec.focal_px, ahead])
        length = np.linalg.norm(optical, axis=0)
        self._rays = (mount_rotation(spec) @ (optical / length)).T
        self._along_axis = 1.0 / length
        self._caster = RayCaster(len(length), body_id)

    def image(self, model: mujoco.MjModel, data: mujoco.MjData, pose: Floats, stamp_ns: int) -> DepthImage:
        """Measure from a base pose (3,) in the world frame; ``data`` must hold the current body positions."""
        spec = self.spec
        depth = self.true_distances(model, data, pose) * self._along_axis
        depth[~((depth >= spec.range_min_m) & (depth <= spec.range_max_m))] = np.nan
        depth += self._rng.normal(0.0, 1.0, depth.shape) * spec.noise_per_m2 * depth**2
        depth[self._rng.random(depth.shape) < spec.dropout] = np.nan
        return DepthImage(stamp_ns, depth.reshape(spec.rows, spec.columns).astype(np.float32))

    def true_distances(self, model: mujoco.MjModel, data: mujoco.MjData, pose: Floats) -> Floats:
        """Return the exact distances (rows * columns,) along the rays to a solid or the floor, inf for none."""
        spec = self.spec
        c, s = math.cos(pose[2]), math.sin(pose[2])
        turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        rays = np.ascontiguousarray(self._rays @ turn.T)
        eye = turn @ [spec.mount_x_m, spec.mount_y_m, spec.mount_height_m] + [pose[0], pose[1], 0.0]
        reach_m = 2.0 * spec.range_max_m  # rays are oblique, the range is along the optical axis
        found = self._caster.cast(model, data, eye, rays, reach_m)
        down = np.minimum(rays[:, 2], -1e-9)
        return np.minimum(found, np.where(rays[:, 2] < 0, eye[2] / -down, np.inf))


def mount_rotation(spec: DepthCameraSpec) -> Floats:
    """Return the axes (3, 3) of the optical frame, as columns, in the base frame."""
    c, s = math.cos(spec.mount_yaw_rad), math.sin(spec.mount_yaw_rad)
    yaw = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    c, s = math.cos(spec.mount_pitch_rad), math.sin(spec.mount_pitch_rad)
    pitch = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    return yaw @ pitch @ _OPTICAL


def mount_quaternion(spec: DepthCameraSpec) -> tuple[float, float, float, float]:
    """Return the same as a quaternion (x, y, z, w)."""
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, mount_rotation(spec).reshape(-1))
    w, x, y, z = quaternion.tolist()
    return x, y, z, w
