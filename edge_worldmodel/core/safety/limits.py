"""Velocity, acceleration and jerk limits on every command that is passed on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.types import Floats

_NOTICEABLE = (0.05, 0.05, 0.1)
"""Shaping below this (m/s, m/s, rad/s) is not worth telling anyone."""


@dataclass(frozen=True)
class MotionLimits:
    """Bounds per axis (vx, vy, yaw rate), each (3,)."""

    lower: Floats
    upper: Floats
    acceleration: Floats
    jerk: Floats

    @classmethod
    def from_config(cls, config: SupervisorConfig) -> MotionLimits:
        """Take the bounds from the supervisor's parameters."""
        lateral, turn = config.max_lateral_mps, config.max_yaw_rate_radps
        return cls(
            lower=np.array([-config.max_reverse_mps, -lateral, -turn]),
            upper=np.array([config.max_forward_mps, lateral, turn]),
            acceleration=np.array([config.max_acceleration_mps2] * 2 + [config.max_yaw_acceleration_radps2]),
            jerk=np.array([config.max_jerk_mps3] * 2 + [config.max_yaw_jerk_radps3]),
        )


@dataclass(frozen=True)
class Motion:
    """What was commanded last: twist (3,) and its change per second (3,)."""

    twist: Floats
    acceleration: Floats


REST = Motion(np.zeros(3), np.zeros(3))


def limit_velocity(twist: Floats, limits: MotionLimits) -> Floats:
    """Bring a twist (3,) within the velocity bounds, keeping the curvature of its path.

    An axis whose bound is zero is dropped instead, or it would stop the others.
    """
    share, movable = 1.0, [0.0, 0.0, 0.0]
    for axis, (speed, low, high) in enumerate(zip(twist.tolist(), limits.lower, limits.upper, strict=True)):
        bound = float(high if speed > 0.0 else -low)
        if bound > 0.0:
            movable[axis] = speed
            share = max(share, abs(speed) / bound)
    return np.array(movable) / share


def limit_change(target: Floats, previous: Motion, limits: MotionLimits, dt_s: float) -> tuple[Motion, tuple[str, ...]]:
    """Move from the previous command towards a target as fast as acceleration and jerk allow.

    As long as every step goes through here, starting from rest, the command stays within all three bounds
    for any sequence of targets and time steps: a step is only as large as leaves room for the acceleration
    to return to zero at the jerk limit before the target, v + a dt + a^2 / 2j <= target, is reached.

    Args:
        target: wanted twist (3,).
        previous: the command before this one.
        limits: bounds per axis.
        dt_s: time since the command before.

    Returns:
        The new command, and the names of the limits that noticeably changed it.
    """
    target = np.clip(target, limits.lower, limits.upper)
    twist, acceleration, names = np.empty(3), np.empty(3), set()
    for axis in range(3):
        jerk, most = float(limits.jerk[axis]), float(limits.acceleration[axis])
        before = float(previous.twist[axis])
        wish = _towards(float(target[axis]) - before, jerk, dt_s)
        change = float(previous.acceleration[axis])
        reachable = min(max(wish, change - jerk * dt_s), change + jerk * dt_s)
        now = min(max(reachable, -most), most)
        reached = before + now * dt_s
        twist[axis] = min(max(reached, float(limits.lower[axis])), float(limits.upper[axis]))
        acceleration[axis] = now
        if abs(twist[axis] - target[axis]) > _NOTICEABLE[axis]:
            names.add("acceleration" if abs(now) >= most else "jerk")
    return Motion(twist, acceleration), tuple(sorted(names))


def _towards(gap: float, jerk: float, dt_s: float) -> float:
    """Return the largest acceleration a with |a| dt + a^2 / 2j <= |gap|, with the sign of the gap."""
    return math.copysign(jerk * (math.sqrt(dt_s * dt_s + 2.0 * abs(gap) / jerk) - dt_s), gap)
