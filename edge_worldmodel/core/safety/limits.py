"""Velocity, curvature, acceleration and jerk limits of every command that is passed on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.types import Floats, Twist

_NOTICEABLE = (0.05, 0.05, 0.1)
"""Changes below this (m/s, m/s, rad/s) are not reported."""


@dataclass(frozen=True)
class MotionLimits:
    """Limits of each axis (vx, vy, yaw rate); every array is (3,). Curvature 0: the robot can turn on the spot."""

    lower: Twist
    upper: Twist
    acceleration: Floats
    jerk: Floats
    curvature_radpm: float = 0.0

    @classmethod
    def from_config(cls, config: SupervisorConfig) -> MotionLimits:
        """Take the limits from the supervisor's parameters."""
        lateral_mps, yaw_rate_radps = config.max_lateral_mps, config.max_yaw_rate_radps
        return cls(
            lower=np.array([-config.max_reverse_mps, -lateral_mps, -yaw_rate_radps]),
            upper=np.array([config.max_forward_mps, lateral_mps, yaw_rate_radps]),
            acceleration=np.array([config.max_acceleration_mps2] * 2 + [config.max_yaw_acceleration_radps2]),
            jerk=np.array([config.max_jerk_mps3] * 2 + [config.max_yaw_jerk_radps3]),
            curvature_radpm=config.max_curvature_radpm,
        )


@dataclass(frozen=True)
class Motion:
    """A command: its twist (3,) and the acceleration (3,) that led to it."""

    twist: Twist
    acceleration: Floats


REST = Motion(np.zeros(3), np.zeros(3))


def limit_curvature(twist: Twist, max_curvature_radpm: float) -> Twist:
    """Reduce the yaw rate of a twist (3,) to what the steering allows at its speed; 0: the robot turns on the spot."""
    if max_curvature_radpm == 0.0:
        return twist
    most_radps = max_curvature_radpm * math.hypot(twist[0], twist[1])
    return np.array([twist[0], twist[1], min(max(float(twist[2]), -most_radps), most_radps)])


def limit_velocity(twist: Twist, limits: MotionLimits) -> Twist:
    """Scale a twist (3,) into the velocity limits, so that the curvature of its path stays the same.

    The curvature changes only where it exceeds its limit. An axis with a limit of zero is set to zero instead; scaling
    for it would stop the other axes.
    """
    divisor, movable = 1.0, [0.0, 0.0, 0.0]
    for axis, (speed, low, high) in enumerate(zip(twist.tolist(), limits.lower, limits.upper, strict=True)):
        limit = float(high if speed > 0.0 else -low)
        if limit > 0.0:
            movable[axis] = speed
            divisor = max(divisor, abs(speed) / limit)
    return limit_curvature(np.array(movable) / divisor, limits.curvature_radpm)


def tip_speed_mps(twist: Twist, reach_m: float) -> float:
    """Return a speed that no point within ``reach_m`` of the base's centre exceeds under a twist (3,)."""
    return math.hypot(twist[0], twist[1]) + abs(float(twist[2])) * reach_m


def limit_change(target: Twist, previous: Motion, limits: MotionLimits, dt_s: float) -> tuple[Motion, tuple[str, ...]]:
    """Approach a target twist as fast as the acceleration and jerk limits allow.

    If every command comes from this function, beginning at rest, all commands keep all three limits for any targets
    and time steps; the curvature limit goes before those of yaw acceleration and yaw jerk, because wheels cannot turn
    faster than they steer. Each step leaves enough velocity for the acceleration to return to zero at the jerk limit
    before the target is passed: v + a dt + a^2 / 2j <= target.

    Args:
        target: wanted twist (3,).
        previous: previous command.
        limits: limits of each axis.
        dt_s: time since the previous command.

    Returns:
        The new command, and the names of the limits that changed it noticeably.
    """
    target = limit_curvature(np.clip(target, limits.lower, limits.upper), limits.curvature_radpm)
    twist, acceleration, names = np.empty(3), np.empty(3), set()
    for axis in range(3):
        max_jerk, max_acceleration = float(limits.jerk[axis]), float(limits.acceleration[axis])
        previous_speed, previous_acceleration = float(previous.twist[axis]), float(previous.acceleration[axis])
        wanted = _approach(float(target[axis]) - previous_speed, max_jerk, dt_s)
        step = max_jerk * dt_s
        reachable = min(max(wanted, previous_acceleration - step), previous_acceleration + step)
        allowed = min(max(reachable, -max_acceleration), max_acceleration)
        speed = previous_speed + allowed * dt_s
        twist[axis] = min(max(speed, float(limits.lower[axis])), float(limits.upper[axis]))
        acceleration[axis] = allowed
        if abs(twist[axis] - target[axis]) > _NOTICEABLE[axis]:
            names.add("acceleration" if abs(allowed) >= max_acceleration else "jerk")
    steered = limit_curvature(twist, limits.curvature_radpm)
    if steered[2] != twist[2]:
        most = float(limits.acceleration[2])
        acceleration[2] = min(max((float(steered[2]) - float(previous.twist[2])) / dt_s, -most), most)
        names |= {"curvature"} if abs(steered[2] - target[2]) > _NOTICEABLE[2] else set()
    return Motion(steered, acceleration), tuple(sorted(names))


def limit_tip_speed(motion: Motion, previous: Twist, tip_mps: float, reach_m: float, dt_s: float) -> Motion:
    """Let the axes of a command that grow wait for those that shrink, so that no point is faster than a limit.

    Acceleration and jerk are limited for each axis by itself, so from driving to turning the yaw rate would grow before
    the robot is slower. This limit goes before that of jerk.

    Args:
        motion: new command.
        previous: twist (3,) of the previous command.
        tip_mps: limit of the tip speed; above it no axis grows.
        reach_m: distance of the footprint's farthest point from the base.
        dt_s: time since the previous command.
    """
    fastest_mps = tip_speed_mps(motion.twist, reach_m)
    if fastest_mps <= tip_mps:
        return motion
    slower = motion.twist.copy()
    if math.hypot(slower[0], slower[1]) > math.hypot(previous[0], previous[1]):
        slower[:2] = previous[:2]
    if abs(slower[2]) > abs(previous[2]):
        slower[2] = previous[2]
    slower_mps = tip_speed_mps(slower, reach_m)
    if slower_mps >= fastest_mps:
        return motion
    # The tip speed is convex, so between the two it is at most what this share gives.
    share = max(tip_mps - slower_mps, 0.0) / (fastest_mps - slower_mps)
    twist = slower + share * (motion.twist - slower)
    return Motion(twist, (twist - previous) / dt_s)


def _approach(gap: float, max_jerk: float, dt_s: float) -> float:
    """Return the largest acceleration a with |a| dt + a^2 / 2j <= |gap|, with the sign of the gap."""
    return math.copysign(max_jerk * (math.sqrt(dt_s * dt_s + 2.0 * abs(gap) / max_jerk) - dt_s), gap)
