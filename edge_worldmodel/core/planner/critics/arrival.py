"""Arrival: how far the goal still is at the end of the horizon."""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core import tensors
from edge_worldmodel.core.geometry import wrap_angle
from edge_worldmodel.core.planner.critics.scene import Scene
from edge_worldmodel.core.types import Floats

_TURN_SHARE = 0.3
"""Share of the horizon's reach that facing straight away from the way costs; without it a robot that faces
away would gain nothing by turning."""


def score(scene: Scene) -> Floats:
    """Return (M,) the metres still to go at the end of the horizon, facing the wrong way included."""
    end = scene.candidates.poses[:, -1]
    to_go = scene.field.at(end[:, :2])
    if scene.field.goal is None:
        return to_go
    away = np.abs(wrap_angle(scene.field.heading(end[:, :2]) - end[:, 2])) / np.pi
    reach_m = scene.limits.max_speed_mps * tensors.HORIZON_S
    cost: Floats = to_go + _TURN_SHARE * away * np.minimum(to_go, reach_m)
    return cost
