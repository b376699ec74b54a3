"""Turns a plan into a twist: the plan's twist, plus a bounded correction towards the plan's pose."""

from __future__ import annotations

import math

import numpy as np

from edge_worldmodel.core.geometry import pose_along, relative, twist_along
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.limits import limit_curvature
from edge_worldmodel.core.safety.motion.braking import Brakes, allowed_share
from edge_worldmodel.core.types import Pose, Trajectory, Twist

_GAIN_ALONG_HZ = 1.0
_GAIN_ACROSS_RADPM2 = 2.0
_GAIN_HEADING_HZ = 1.5
_AT_REST = 1e-3
"""A planned twist below this, in m/s and rad/s, is zero."""


def follow(
    trajectory: Trajectory, t_s: float, pose: Pose | None, config: SupervisorConfig, validity_s: float = 0.0
) -> tuple[Twist, float]:
    """Return the twist to command for a trajectory.

    The correction follows Kanayama et al. (1990) for robots that cannot move sideways, and is proportional for
    others. There is none where the plan is at rest, and none without a pose. A trajectory that ends before the plan
    expires is followed to its last pose, where the robot rests.

    Args:
        trajectory: poses in the odom frame and base twists.
        t_s: time since the start of the trajectory.
        pose: (3,) of the robot in the odom frame, None if unknown.
        config: bounds of the correction, actuation delay, brakes and highest curvature.
        validity_s: time after the start of the trajectory at which the plan expires.

    Returns:
        Twist (3,), and the distance in metres between robot and plan.
    """
    planned = twist_along(trajectory, t_s + config.actuation_delay_s)
    left_s = max((len(trajectory.poses) - 1) * trajectory.dt_s - t_s, 0.0)
    error = np.zeros(3) if pose is None else relative(pose, pose_along(trajectory, t_s))
    distance_m = math.hypot(error[0], error[1])
    if np.abs(planned).max() < _AT_REST:
        return np.zeros(3), distance_m
    is_holonomic = config.max_lateral_mps > 0.0
    correction = _holonomic_correction(error) if is_holonomic else _wheeled_correction(error, float(planned[0]))
    speed_mps = math.hypot(correction[0], correction[1])
    correction[:2] *= min(1.0, config.max_correction_mps / max(speed_mps, 1e-9))
    correction[2] = np.clip(correction[2], -config.max_correction_radps, config.max_correction_radps)
    twist = planned + correction
    if t_s + left_s < validity_s:
        twist = twist * _share_at_end(planned, planned * left_s + error, config)
    return limit_curvature(twist, config.max_curvature_radpm), distance_m


def _share_at_end(planned: Twist, left: Pose, config: SupervisorConfig) -> float:
    """Return the share of a twist (3,) at which the robot comes to rest at the end of the motion (3,) that is left."""
    brakes, axes = Brakes.from_config(config), slice(0, 2) if planned[:2].any() else slice(2, 3)
    free_s = float(left[axes] @ planned[axes]) / float(planned[axes] @ planned[axes])
    return allowed_share(max(free_s, 0.0), brakes.reaction_s, brakes.braking_s(planned))


def _wheeled_correction(error: Pose, speed_mps: float) -> Twist:
    turn = speed_mps * _GAIN_ACROSS_RADPM2 * error[1] + _GAIN_HEADING_HZ * math.sin(error[2])
    return np.array([_GAIN_ALONG_HZ * error[0], 0.0, turn])


def _holonomic_correction(error: Pose) -> Twist:
    return np.array([_GAIN_ALONG_HZ * error[0], _GAIN_ALONG_HZ * error[1], _GAIN_HEADING_HZ * math.sin(error[2])])
