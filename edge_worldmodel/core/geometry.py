"""Rigid motion in the plane (SE(2)), poses in space as matrices, and distances to polygons.

Poses are (..., 3) arrays of x_m, y_m, yaw_rad (REP-103). Functions broadcast over the leading axes and return yaw
angles in [-pi, pi]. A single pose is computed without arrays, because that is much faster and happens often.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from transforms3d.euler import euler2mat

from edge_worldmodel.core.types import Floats, Mask, Points, Pose, Trajectory, Twist


def wrap_angle(angle_rad: ArrayLike) -> Floats:
    """Return an angle in [-pi, pi] with the same direction."""
    wrapped: Floats = np.remainder(np.asarray(angle_rad, dtype=np.float64) + np.pi, 2.0 * np.pi) - np.pi
    return wrapped


def _rotate(yaw_rad: Floats, xy: Floats) -> tuple[Floats, Floats]:
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    return cos * xy[..., 0] - sin * xy[..., 1], sin * xy[..., 0] + cos * xy[..., 1]


def compose(a: ArrayLike, b: ArrayLike) -> Pose:
    """Return pose ``b``, given in frame A, in the parent frame of A.

    Args:
        a: pose (..., 3) of frame A in the parent frame.
        b: pose (..., 3) in frame A.

    Returns:
        (..., 3) in the parent frame.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.ndim == b.ndim == 1:
        return _compose_one(a, b)
    x, y = _rotate(a[..., 2], b)
    return np.stack(np.broadcast_arrays(a[..., 0] + x, a[..., 1] + y, wrap_angle(a[..., 2] + b[..., 2])), axis=-1)


def _compose_one(a: Pose, b: Pose) -> Pose:
    (ax, ay, a_yaw), (bx, by, b_yaw) = a.tolist(), b.tolist()
    # The cosine of numpy, so that one pose gives the same bits as an array of poses.
    cos, sin = float(np.cos(a_yaw)), float(np.sin(a_yaw))
    return np.array((ax + cos * bx - sin * by, ay + sin * bx + cos * by, _wrap_one(a_yaw + b_yaw)))


def _wrap_one(angle_rad: float) -> float:
    return (angle_rad + math.pi) % (2.0 * math.pi) - math.pi


def inverse(pose: ArrayLike) -> Pose:
    """Return the pose (..., 3) of the parent frame in the frame of ``pose`` (..., 3)."""
    pose = np.asarray(pose, dtype=np.float64)
    if pose.ndim == 1:
        px, py, yaw = pose.tolist()
        cos, sin = float(np.cos(yaw)), float(np.sin(yaw))
        return np.array((-cos * px - sin * py, sin * px - cos * py, _wrap_one(-yaw)))
    x, y = _rotate(-pose[..., 2], pose)
    return np.stack((-x, -y, wrap_angle(-pose[..., 2])), axis=-1)


def relative(reference: ArrayLike, pose: ArrayLike) -> Pose:
    """Return ``pose`` in the frame of ``reference``, both (..., 3) in the same parent frame."""
    return compose(inverse(reference), pose)


def twist_at(twist: Twist, offset: Pose) -> Twist:
    """Return the twist (3,) of another frame of the same body.

    Args:
        twist: (3,) of a frame, in that frame.
        offset: pose (3,) of the other frame in it.
    """
    (vx, vy, rate), (x, y, yaw) = twist.tolist(), offset.tolist()
    along, across = _rotate(np.asarray(-yaw), np.array((vx - rate * y, vy + rate * x)))
    return np.array((along, across, rate))


def transform_points(pose: ArrayLike, points: ArrayLike) -> Points:
    """Transform points from a frame to its parent frame.

    Args:
        pose: (..., 3) of the frame in its parent frame.
        points: (..., n, 2) in metres in the frame, or a single point (2,) for a single pose.

    Returns:
        The points in the parent frame, in metres.
    """
    pose, points = np.asarray(pose, dtype=np.float64), np.asarray(points, dtype=np.float64)
    if points.ndim > 1:
        pose = pose[..., None, :]
    x, y = _rotate(pose[..., 2], points)
    return np.stack((pose[..., 0] + x, pose[..., 1] + y), axis=-1)


def points_in_frame(pose: Pose, points: Points) -> Points:
    """Transform points from a frame to a frame with a pose in it: the inverse of ``transform_points``.

    Args:
        pose: (3,) of the new frame.
        points: (n, 2) in metres.

    Returns:
        (n, 2) in the new frame, in metres.
    """
    x, y, yaw = pose.tolist()
    cos, sin = math.cos(yaw), math.sin(yaw)
    dx, dy = points[:, 0] - x, points[:, 1] - y
    seen = np.empty_like(points)
    seen[:, 0], seen[:, 1] = cos * dx + sin * dy, cos * dy - sin * dx
    return seen


def signed_distance(polygon: Points, points: Points) -> Floats:
    """Return the distance of points to the outline of a simple polygon, negative inside.

    Args:
        polygon: corners (n, 2) in either direction, the first not repeated at the end.
        points: (..., 2) in the same frame.

    Returns:
        (...) in metres.
    """
    start, edge = polygon, np.roll(polygon, -1, axis=0) - polygon
    offset = points[..., None, :] - start
    # Two corners at the same place make an edge of no length.
    length2 = np.maximum((edge * edge).sum(axis=-1), 1e-18)
    along = np.clip((offset * edge).sum(axis=-1) / length2, 0.0, 1.0)
    gap = offset - along[..., None] * edge
    distance = np.sqrt((gap * gap).sum(axis=-1).min(axis=-1))
    return np.where(_inside(start, edge, points), -distance, distance)


def _inside(start: Points, edge: Points, points: Points) -> Mask:
    """Return whether each point lies in the polygon: a ray along +x crosses an odd number of edges (Jordan)."""
    x, y = points[..., 0, None], points[..., 1, None]
    # The next corner itself: corner plus edge may be rounded to the other side of the ray, and the count be wrong.
    spans = (start[:, 1] > y) != (np.roll(start[:, 1], -1) > y)
    # Edges parallel to the ray are not in ``spans``; 1 only avoids a division by zero.
    rise = np.where(edge[:, 1] == 0.0, 1.0, edge[:, 1])
    crossing_x = start[:, 0] + (y - start[:, 1]) * edge[:, 0] / rise
    odd: Mask = (spans & (x < crossing_x)).sum(axis=-1) % 2 == 1
    return odd


def diamond_angle(offsets: Points) -> Floats:
    """Return the diamond angle (...) of offsets (..., 2), from 0 along +x up to 4.

    It grows with the angle, as atan2 does, but needs only one division, so compiled code computes exactly the same.
    """
    x, y = offsets[..., 0], offsets[..., 1]
    size = np.abs(x) + np.abs(y)
    part = y / np.where(size > 0.0, size, 1.0)
    angle: Floats = np.where(x < 0.0, 2.0 - part, np.where(y < 0.0, 4.0 + part, part))
    return angle


def pose_matrix(numbers: ArrayLike) -> Floats:
    """Return a pose as a (4, 4) matrix.

    Args:
        numbers: x, y, yaw, or x, y, z, roll, pitch, yaw (metres, radians, REP-103).
    """
    x, y, *spatial, yaw = np.asarray(numbers, dtype=np.float64).tolist()
    z, roll, pitch = spatial or (0.0, 0.0, 0.0)
    matrix = np.eye(4)
    matrix[:3, :3] = euler2mat(roll, pitch, yaw, "sxyz")
    matrix[:3, 3] = x, y, z
    return matrix


def yaw_from_quaternion(x: ArrayLike, y: ArrayLike, z: ArrayLike, w: ArrayLike) -> Floats:
    """Return the yaw in radians of a quaternion, which need not be normalised."""
    x, y, z, w = (np.asarray(part, dtype=np.float64) for part in (x, y, z, w))
    yaw: Floats = np.arctan2(2.0 * (w * z + x * y), w * w + x * x - y * y - z * z)
    return yaw


def quaternion_from_yaw(yaw_rad: float) -> tuple[float, float, float, float]:
    """Return the unit quaternion (x, y, z, w) of a yaw angle."""
    return 0.0, 0.0, math.sin(0.5 * yaw_rad), math.cos(0.5 * yaw_rad)


def interpolate_pose(a: ArrayLike, b: ArrayLike, fraction: ArrayLike) -> Pose:
    """Interpolate linearly in position, and in yaw along the shorter turn.

    Args:
        a: pose (..., 3) at fraction 0.
        b: pose (..., 3) at fraction 1.
        fraction: (...), may lie outside [0, 1] to extrapolate.

    Returns:
        (..., 3) in the frame of ``a`` and ``b``.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    step = b - a
    step[..., 2] = wrap_angle(step[..., 2])
    pose: Pose = a + np.asarray(fraction, dtype=np.float64)[..., None] * step
    pose[..., 2] = wrap_angle(pose[..., 2])
    return pose


def _bracket(trajectory: Trajectory, t_s: ArrayLike) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    last = len(trajectory.poses) - 1
    position = np.clip(np.asarray(t_s, dtype=np.float64) / trajectory.dt_s, 0.0, last)
    before = np.floor(position).astype(np.intp)
    return before, np.minimum(before + 1, last), position - before


def _bracket_one(trajectory: Trajectory, rows: Floats, t_s: float) -> tuple[list[float], list[float], float]:
    last = len(rows) - 1
    position = min(max(t_s / trajectory.dt_s, 0.0), float(last))
    before = int(position)
    return rows[before].tolist(), rows[min(before + 1, last)].tolist(), position - before


def pose_along(trajectory: Trajectory, t_s: ArrayLike) -> Pose:
    """Return the pose (..., 3) at times ``t_s`` (...) after the trajectory's start, clamped to its duration."""
    if isinstance(t_s, float):
        start, end, fraction_one = _bracket_one(trajectory, trajectory.poses, t_s)
        step_x, step_y, step_yaw = (b - a for a, b in zip(start, end, strict=True))
        yaw = _wrap_one(start[2] + fraction_one * _wrap_one(step_yaw))
        return np.array((start[0] + fraction_one * step_x, start[1] + fraction_one * step_y, yaw))
    before, after, fraction = _bracket(trajectory, t_s)
    return interpolate_pose(trajectory.poses[before], trajectory.poses[after], fraction)


def twist_along(trajectory: Trajectory, t_s: ArrayLike) -> Twist:
    """Return the base twist (..., 3) at times ``t_s`` (...) after the trajectory's start, clamped to its duration."""
    if isinstance(t_s, float):
        first, second, fraction_one = _bracket_one(trajectory, trajectory.twists, t_s)
        return np.array([a + fraction_one * (b - a) for a, b in zip(first, second, strict=True)])
    before, after, fraction = _bracket(trajectory, t_s)
    start, end = trajectory.twists[before], trajectory.twists[after]
    twist: Twist = start + fraction[..., None] * (end - start)
    return twist
