"""Depth images to sweeps: pixels become points, and the points are treated as a cloud."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_worldmodel.core.perception.camera import Intrinsics, pixel_rays
from edge_worldmodel.core.perception.cloud import sweep_from_cloud
from edge_worldmodel.core.perception.config import PerceptionConfig
from edge_worldmodel.core.rejection import RejectedInputError, RejectionKind
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.types import Floats


def sweep_from_depth(
    stamp_ns: int,
    depth: NDArray[np.generic],
    fx: float,
    fy: float,
    cx: float,
    cy: float,
    camera_pose: ArrayLike,
    config: PerceptionConfig,
    distortion: tuple[float, ...] = (),
) -> Sweep:
    """Turn a depth image into a sweep.

    Args:
        stamp_ns: time of the image.
        depth: (rows, columns) along the optical axis: floats in metres, or integers of ``config.depth_unit_m``.
            Pixels that are zero, negative, NaN or infinite have no measurement (REP-118).
        fx: focal length in columns, pixels.
        fy: focal length in rows, pixels.
        cx: principal point, column.
        cy: principal point, row.
        camera_pose: (4, 4) of the optical frame (x right, y down, z forward) in the base frame.
        config: heights of obstacles, floor tolerance, largest range, and ``depth_stride`` between the pixels used.
        distortion: coefficients of the plumb_bob or rational_polynomial model; empty for a rectified image.

    Raises:
        RejectedInputError: EMPTY, TOO_LARGE, MALFORMED or POSE_NOT_FINITE.
    """
    pose = np.asarray(camera_pose, dtype=np.float64)
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise RejectedInputError(
            RejectionKind.POSE_NOT_FINITE, f"camera pose of shape {pose.shape}: expected a finite 4 x 4 matrix"
        )
    if not (np.isfinite([fx, fy, cx, cy]).all() and fx > 0.0 and fy > 0.0):
        raise RejectedInputError(
            RejectionKind.MALFORMED,
            f"intrinsics fx={fx} fy={fy} cx={cx} cy={cy} must be finite, fx and fy positive: calibrate the camera",
        )
    if depth.ndim != 2:
        raise RejectedInputError(
            RejectionKind.MALFORMED, f"depth image of shape {depth.shape}: expected (rows, columns)"
        )
    if depth.size == 0:
        raise RejectedInputError(RejectionKind.EMPTY, f"depth image of shape {depth.shape} has no pixels")
    points = _points(depth, Intrinsics(fx, fy, cx, cy, distortion), config)
    if len(points) == 0:
        raise RejectedInputError(
            RejectionKind.EMPTY, f"depth image of shape {depth.shape} without a measurement: is the camera covered?"
        )
    return sweep_from_cloud(stamp_ns, points @ pose[:3, :3].T + pose[:3, 3], pose[:3, 3], config)


def _points(depth: NDArray[np.generic], intrinsics: Intrinsics, config: PerceptionConfig) -> Floats:
    """Return the measured points (n, 3) of the used pixels in the optical frame."""
    unit_m = config.depth_unit_m if np.issubdtype(depth.dtype, np.integer) else 1.0
    with np.errstate(invalid="ignore"):  # damaged data may have a signalling NaN
        z = depth[:: config.depth_stride, :: config.depth_stride].astype(np.float64) * unit_m
    right, down = pixel_rays(intrinsics, (depth.shape[1], depth.shape[0]), config.depth_stride)
    measured = np.isfinite(z) & (z > 0.0)
    z_m = z[measured]
    x_m = np.broadcast_to(right, z.shape)[measured] * z_m
    y_m = np.broadcast_to(down, z.shape)[measured] * z_m
    return np.stack((x_m, y_m, z_m), axis=-1)
