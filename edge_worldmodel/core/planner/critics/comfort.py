"""Comfort: the effort of accelerating, braking and turning."""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core.planner.critics.scene import Scene
from edge_worldmodel.core.planner.robot_limits import DT_S
from edge_worldmodel.core.types import Floats


def score(scene: Scene) -> Floats:
    """Return the mean square of acceleration, yaw acceleration and yaw rate, each relative to its limit, as (M,)."""
    twists, limits = scene.candidates.twists, scene.limits
    change = np.diff(twists, axis=1) / DT_S
    accel = (change[..., 0] / limits.max_accel_mps2) ** 2
    yaw_accel = (change[..., 2] / limits.max_yaw_accel_radps2) ** 2
    yaw_rate = (twists[:, 1:, 2] / limits.max_yaw_rate_radps) ** 2
    if change[..., 1].any():
        accel = accel + (change[..., 1] / limits.max_accel_mps2) ** 2
    effort: Floats = (accel + yaw_accel + yaw_rate).mean(axis=1)
    return effort
