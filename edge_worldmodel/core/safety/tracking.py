"""From a plan to a twist: the plan's own twist, plus a bounded correction towards where it should be."""

from __future__ import annotations

import math

import numpy as np

from edge_worldmodel.core.geometry import pose_along, relative, twist_along
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.types import Floats, Trajectory

_GAIN_ALONG_HZ = 1.0
_GAIN_ACROSS_RADPM2 = 2.0
_GAIN_HEADING_HZ = 1.5
_RESTING = 1e-3


def follow(trajectory: Trajectory, t_s: float, pose: Floats | None, config: SupervisorConfig) -> tuple[Floats, float]:
    """Return the twist (3,) to command and the distance in metres between robot and plan.

    The correction is Kanayama's (1990) for wheels that cannot move sideways, proportional otherwise. It never
    makes a motion out of a plan that rests, and without a pose there is none.

    Args:
        trajectory: poses in the fixed frame and base twists.
        t_s: time since its first pose.
        pose: where the robot is now, (3,) in the fixed frame, or None.
        config: bounds of the correction and the actuation delay.
    """
    wanted = twist_along(trajectory, t_s + config.actuation_delay_s)
    if pose is None:
        return wanted, 0.0
    error = relative(pose, pose_along(trajectory, t_s))
    distance_m = math.hypot(error[0], error[1])
    if np.abs(wanted).max() < _RESTING:
        return np.zeros(3), distance_m
    correction = _holonomic(error) if config.max_lateral_mps > 0.0 else _wheeled(error, float(wanted[0]))
    speed = math.hypot(correction[0], correction[1])
    correction[:2] *= min(1.0, config.max_correction_mps / max(speed, 1e-9))
    correction[2] = np.clip(correction[2], -config.max_correction_radps, config.max_correction_radps)
    return wanted + correction, distance_m


def _wheeled(error: Floats, speed_mps: float) -> Floats:
    turn = speed_mps * _GAIN_ACROSS_RADPM2 * error[1] + _GAIN_HEADING_HZ * math.sin(error[2])
    return np.array([_GAIN_ALONG_HZ * error[0], 0.0, turn])


def _holonomic(error: Floats) -> Floats:
    return np.array([_GAIN_ALONG_HZ * error[0], _GAIN_ALONG_HZ * error[1], _GAIN_HEADING_HZ * math.sin(error[2])])
