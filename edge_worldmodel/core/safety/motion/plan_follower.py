"""Turns a plan into a twist: the plan's twist, plus a bounded correction towards the plan's pose."""

from __future__ import annotations

import math

import numpy as np

from edge_worldmodel.core.geometry import pose_along, relative, twist_along
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.types import Pose, Trajectory, Twist

_GAIN_ALONG_HZ = 1.0
_GAIN_ACROSS_RADPM2 = 2.0
_GAIN_HEADING_HZ = 1.5
_AT_REST = 1e-3
"""A planned twist below this, in m/s and rad/s, is zero."""


def follow(trajectory: Trajectory, t_s: float, pose: Pose | None, config: SupervisorConfig) -> tuple[Twist, float]:
    """Return the twist to command for a trajectory.

    The correction follows Kanayama et al. (1990) for robots that cannot move sideways, and is proportional for
    others. There is none where the plan is at rest, and none without a pose.

    Args:
        trajectory: poses in the odom frame and base twists.
        t_s: time since the start of the trajectory.
        pose: (3,) of the robot in the odom frame, None if unknown.
        config: bounds of the correction and the actuation delay.

    Returns:
        Twist (3,), and the distance in metres between robot and plan.
    """
    planned = twist_along(trajectory, t_s + config.actuation_delay_s)
    if pose is None:
        return planned, 0.0
    error = relative(pose, pose_along(trajectory, t_s))
    distance_m = math.hypot(error[0], error[1])
    if np.abs(planned).max() < _AT_REST:
        return np.zeros(3), distance_m
    is_holonomic = config.max_lateral_mps > 0.0
    correction = _holonomic_correction(error) if is_holonomic else _wheeled_correction(error, float(planned[0]))
    speed_mps = math.hypot(correction[0], correction[1])
    correction[:2] *= min(1.0, config.max_correction_mps / max(speed_mps, 1e-9))
    correction[2] = np.clip(correction[2], -config.max_correction_radps, config.max_correction_radps)
    return planned + correction, distance_m


def _wheeled_correction(error: Pose, speed_mps: float) -> Twist:
    turn = speed_mps * _GAIN_ACROSS_RADPM2 * error[1] + _GAIN_HEADING_HZ * math.sin(error[2])
    return np.array([_GAIN_ALONG_HZ * error[0], 0.0, turn])


def _holonomic_correction(error: Pose) -> Twist:
    return np.array([_GAIN_ALONG_HZ * error[0], _GAIN_ALONG_HZ * error[1], _GAIN_HEADING_HZ * math.sin(error[2])])
