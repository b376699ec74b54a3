"""Messages of this package to types of core/types.py and back; sensor messages: convert_sensors."""

from __future__ import annotations

import array
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose, PoseStamped, TransformStamped, Twist
from numpy.typing import ArrayLike, NDArray

import edge_worldmodel.msg as msg
from edge_worldmodel.core import types
from edge_worldmodel.core.errors import InputError
from edge_worldmodel.core.geometry import quaternion_from_yaw
from edge_worldmodel.core.time_units import NS_PER_S

_MAX_DIMENSIONS = 8
_MAX_TENSOR_BYTES = 16 * 1024 * 1024
_MAX_COORDINATES = 1 << 18
MAX_COORDINATE = 1e8
"""In metres, or per second; far above any map, even in UTM coordinates, and far below what a square overflows."""
_BYTES_PER_NUMBER = {"<f2": 2, "<f4": 4}
"""Bytes per number of each dtype that is accepted."""
_SENT_DTYPE = "<f2"
"""Half precision, so that a context fits into one UDP datagram: writing fragments was seen to block for 0.3 s when a
reader had died."""


def stamp_to_msg(stamp_ns: int) -> Time:
    """Split nanoseconds into a Time message."""
    return Time(sec=stamp_ns // NS_PER_S, nanosec=stamp_ns % NS_PER_S)


def stamp_from_msg(stamp: Time) -> int:
    """Return a Time message as nanoseconds."""
    return int(stamp.sec) * NS_PER_S + int(stamp.nanosec)


def pose_to_msg(pose: types.Pose) -> Pose:
    """Planar pose (x_m, y_m, yaw_rad) to Pose."""
    message, (x, y, yaw) = Pose(), np.asarray(pose, np.float64).tolist()
    message.position.x, message.position.y = x, y
    _, _, message.orientation.z, message.orientation.w = quaternion_from_yaw(yaw)
    return message


def pose_from_msg(message: Pose) -> types.Pose:
    """Pose to (x_m, y_m, yaw_rad); roll, pitch and height are dropped.

    Raises:
        InputError: a component is not finite or too large, or the quaternion is far from unit length.
    """
    return np.array(_pose_values(message))


def _pose_values(message: Pose) -> tuple[float, float, float]:
    q = message.orientation
    length = math.sqrt(q.x * q.x + q.y * q.y + q.z * q.z + q.w * q.w)
    if not (math.isfinite(length) and 0.5 < length < 2.0):
        raise InputError(f"orientation ({q.x}, {q.y}, {q.z}, {q.w}) is no unit quaternion: its norm must be near 1")
    yaw = math.atan2(2.0 * (q.w * q.z + q.x * q.y), q.w * q.w + q.x * q.x - q.y * q.y - q.z * q.z)
    return _bounded("pose", message.position.x, message.position.y, yaw)


def goal_to_msg(stamp_ns: int, frame_id: str, goal: types.Pose) -> PoseStamped:
    """Planar goal pose to PoseStamped."""
    message = PoseStamped(pose=pose_to_msg(goal))
    message.header.stamp = stamp_to_msg(stamp_ns)
    message.header.frame_id = frame_id
    return message


def transform_to_msg(
    stamp_ns: int, frame_id: str, child_frame_id: str, translation: Sequence[float], rotation: Sequence[float]
) -> TransformStamped:
    """Translation (x, y, z) in metres and quaternion (x, y, z, w) of a child frame to a transform."""
    message = TransformStamped(child_frame_id=child_frame_id)
    message.header.stamp = stamp_to_msg(stamp_ns)
    message.header.frame_id = frame_id
    t, q = message.transform.translation, message.transform.rotation
    t.x, t.y, t.z = translation
    q.x, q.y, q.z, q.w = rotation
    return message


def twist_to_msg(twist: types.Twist) -> Twist:
    """Base twist (vx_mps, vy_mps, yaw_rate_radps) to Twist."""
    message = Twist()
    message.linear.x, message.linear.y, message.angular.z = np.asarray(twist, np.float64).tolist()
    return message


def twist_from_msg(message: Twist) -> types.Twist:
    """Twist to (vx_mps, vy_mps, yaw_rate_radps).

    Raises:
        InputError: a component is not finite or too large.
    """
    return np.array(_twist_values(message))


def _twist_values(message: Twist) -> tuple[float, float, float]:
    return _bounded("twist", message.linear.x, message.linear.y, message.angular.z)


def as_floats(values: ArrayLike, dtype: type[np.floating] = np.float64) -> NDArray[Any]:
    """Return numbers as floats; without a warning for a signalling NaN, which damaged data may have."""
    with np.errstate(invalid="ignore"):
        return np.asarray(values).astype(dtype, copy=False)


def tensor_to_msg(message: Any, tensor: types.Tensor) -> None:
    """Write shape, dtype and bytes of ``tensor`` into a LatentFrame or WarmStart message."""
    message.shape = array.array("I", tensor.shape)
    message.dtype = _SENT_DTYPE
    # frombytes fills the field without the per-element check, 0.1 ms instead of 15 ms
    data = array.array("B")
    with np.errstate(over="ignore"):  # too large numbers become infinite, which the receiver rejects
        data.frombytes(np.ascontiguousarray(tensor, dtype=_SENT_DTYPE).tobytes())
    message.data = data


def tensor_from_msg(message: Any) -> types.Tensor:
    """Return the tensor of a LatentFrame or WarmStart message.

    Raises:
        InputError: unknown dtype, sizes that do not match or are too large, or values that are not finite.
    """
    shape = tuple(int(size) for size in message.shape)
    count = math.prod(shape)
    size = _BYTES_PER_NUMBER.get(message.dtype, 0)
    is_sized = len(message.data) == size * count <= _MAX_TENSOR_BYTES and 0 < len(shape) <= _MAX_DIMENSIONS
    if not size or not is_sized:
        raise InputError(f"tensor of dtype '{message.dtype}', shape {shape} in {len(message.data)} bytes is malformed")
    tensor = as_floats(np.frombuffer(message.data, dtype=message.dtype), np.float32).reshape(shape)
    if not np.isfinite(tensor).all():
        raise InputError(f"tensor of shape {shape} has values that are not finite")
    return tensor


def latent_frame_to_msg(frame: types.LatentFrame) -> msg.LatentFrame:
    """LatentFrame to its message."""
    message = msg.LatentFrame()
    message.header.stamp = stamp_to_msg(frame.stamp_ns)
    message.header.frame_id = frame.frame_id
    message.child_frame_id = frame.child_frame_id
    message.pose = pose_to_msg(frame.pose)
    message.twist = twist_to_msg(frame.twist)
    tensor_to_msg(message, frame.tensor)
    message.obstacles = array.array("f", np.ascontiguousarray(frame.obstacles, np.float32).tobytes())
    message.entropy_bits = float(frame.entropy_bits)
    message.surprise = float(frame.surprise)
    message.model_id = frame.model_id
    message.sequence = frame.sequence
    return message


def latent_frame_from_msg(message: msg.LatentFrame) -> types.LatentFrame:
    """Message to LatentFrame; raises InputError when it is malformed."""
    return types.LatentFrame(
        stamp_ns=stamp_from_msg(message.header.stamp),
        frame_id=message.header.frame_id,
        child_frame_id=message.child_frame_id,
        pose=pose_from_msg(message.pose),
        twist=twist_from_msg(message.twist),
        tensor=tensor_from_msg(message),
        entropy_bits=float(message.entropy_bits),
        surprise=float(message.surprise),
        model_id=message.model_id,
        sequence=int(message.sequence),
        obstacles=_points(message.obstacles),
    )


def _points(coordinates: Any) -> types.Tensor:
    values = as_floats(coordinates, np.float32)
    if values.size % 2 or values.size > _MAX_COORDINATES or not np.isfinite(values).all():
        raise InputError(f"{values.size} coordinates of obstacles: expected finite pairs, at most {_MAX_COORDINATES}")
    return values.reshape(-1, 2)


def warm_start_to_msg(warm_start: types.WarmStart, frame_id: str) -> msg.WarmStart:
    """WarmStart to its message."""
    message = msg.WarmStart()
    message.header.stamp = stamp_to_msg(warm_start.stamp_ns)
    message.header.frame_id = frame_id
    message.sequence = warm_start.sequence
    message.valid = warm_start.valid
    message.reason = warm_start.reason
    message.model_id = warm_start.model_id
    message.age_s = float(warm_start.age_s)
    message.similarity = float(warm_start.similarity)
    message.noise_level = float(warm_start.noise_level)
    tensor_to_msg(message, warm_start.latents)
    return message


def warm_start_from_msg(message: msg.WarmStart) -> types.WarmStart:
    """Message to WarmStart; raises InputError when it is malformed."""
    if message.valid and not 0.0 <= message.noise_level <= 1.0:
        raise InputError(f"warm start with noise level {message.noise_level}: must lie in [0, 1]")
    return types.WarmStart(
        stamp_ns=stamp_from_msg(message.header.stamp),
        sequence=int(message.sequence),
        valid=bool(message.valid),
        reason=message.reason,
        model_id=message.model_id,
        age_s=float(message.age_s),
        similarity=float(message.similarity),
        noise_level=float(message.noise_level),
        latents=tensor_from_msg(message),
    )


def rollout_set_to_msg(rollouts: types.RolloutSet) -> msg.RolloutSet:
    """RolloutSet to its message."""
    message = msg.RolloutSet()
    message.header.stamp = stamp_to_msg(rollouts.stamp_ns)
    message.header.frame_id = rollouts.frame_id
    message.rollouts = [_rollout_to_msg(rollout) for rollout in rollouts.rollouts]
    message.selected = rollouts.selected
    message.reason = rollouts.reason
    for part in ("load", "preprocess", "compute", "postprocess", "communication"):
        setattr(message.latency, part, float(getattr(rollouts.latency, f"{part}_s")))
    message.futures_per_maneuver = rollouts.futures_per_maneuver
    message.steps = rollouts.steps
    message.warm_started = rollouts.warm_started
    message.noise_level = float(rollouts.noise_level)
    message.model_id = rollouts.model_id
    message.sequence = rollouts.sequence
    message.effort = rollouts.effort
    return message


def _rollout_to_msg(rollout: types.Rollout) -> msg.Rollout:
    message = msg.Rollout(name=rollout.name, dt_s=rollout.trajectory.dt_s, acceptable=rollout.acceptable)
    message.poses = [pose_to_msg(pose) for pose in rollout.trajectory.poses]
    for term in types.ROLLOUT_TERMS:
        setattr(message, term, float(getattr(rollout, term)))
    return message


def plan_to_msg(plan: types.Plan) -> msg.Plan:
    """Plan to its message."""
    message = msg.Plan()
    message.header.stamp = stamp_to_msg(plan.stamp_ns)
    message.header.frame_id = plan.frame_id
    message.dt_s = float(plan.trajectory.dt_s)
    message.poses = [pose_to_msg(pose) for pose in plan.trajectory.poses]
    message.twists = [twist_to_msg(twist) for twist in plan.trajectory.twists]
    message.valid_until = stamp_to_msg(plan.valid_until_ns)
    message.risk = float(plan.risk)
    message.maneuver = plan.maneuver
    message.reason = plan.reason
    message.model_id = plan.model_id
    message.sequence = plan.sequence
    return message


def withdrawal_to_msg(plan: types.Plan) -> msg.Plan:
    """Return the message that withdraws a plan: the same plan, valid only until its own stamp."""
    return plan_to_msg(dataclasses.replace(plan, valid_until_ns=plan.stamp_ns))


def plan_from_msg(message: msg.Plan) -> types.Plan:
    """Message to Plan.

    Raises:
        InputError: no poses, lengths that differ, a time step that is not positive, or values that are
            not finite.
    """
    if not message.poses or len(message.poses) != len(message.twists):
        raise InputError(f"plan with {len(message.poses)} poses and {len(message.twists)} twists is malformed")
    if not (math.isfinite(message.dt_s) and message.dt_s > 0.0 and math.isfinite(message.risk)):
        raise InputError(f"plan with dt_s {message.dt_s} and risk {message.risk} is malformed")
    twists = np.array([_twist_values(twist) for twist in message.twists])
    return types.Plan(
        stamp_ns=stamp_from_msg(message.header.stamp),
        frame_id=message.header.frame_id,
        trajectory=types.Trajectory(float(message.dt_s), _poses(message.poses), twists),
        valid_until_ns=stamp_from_msg(message.valid_until),
        risk=float(message.risk),
        maneuver=message.maneuver,
        reason=message.reason,
        model_id=message.model_id,
        sequence=int(message.sequence),
    )


def verdict_to_msg(verdict: types.Verdict, message: msg.Verdict | None = None) -> msg.Verdict:
    """Verdict to its message; filling a given message again costs half as much as making one."""
    message = msg.Verdict() if message is None else message
    message.state, message.reason, message.limits = verdict.state, verdict.reason, list(verdict.limits)
    stamp, command = message.header.stamp, message.command
    stamp.sec, stamp.nanosec = divmod(verdict.stamp_ns, NS_PER_S)
    message.header.frame_id = verdict.frame_id
    command.linear.x, command.linear.y, command.angular.z = verdict.command.tolist()
    command.linear.z, message.silent = verdict.climb_mps, verdict.silent
    for name in ("clearance_margin_m", "plan_age_s", "sensor_age_s", "risk"):
        setattr(message, name, float(getattr(verdict, name)))
    return message


def _poses(messages: Sequence[Pose]) -> types.Pose:
    return np.array([_pose_values(message) for message in messages]).reshape(-1, 3)


def _bounded(name: str, x: float, y: float, turn: float) -> tuple[float, float, float]:
    if not (abs(x) <= MAX_COORDINATE and abs(y) <= MAX_COORDINATE and abs(turn) <= MAX_COORDINATE):
        raise InputError(f"{name} {[x, y, turn]} has values that are not finite or over {MAX_COORDINATE:g}")
    return x, y, turn
