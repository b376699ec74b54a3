"""Arrival: the way that is left at the end of the horizon."""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core import tensors
from edge_worldmodel.core.planner.critics.scene import Scene
from edge_worldmodel.core.planner.guidance.cost_to_go import FACING_AWAY_SHARE
from edge_worldmodel.core.types import Floats


def score(scene: Scene) -> Floats:
    """Return the metres still to go at the end of the horizon, plus a share of them for facing away, as (M,)."""
    end, cost_to_go = scene.candidates.poses[:, -1], scene.outlook.cost_to_go
    to_go_m = cost_to_go.at(end[:, :2])
    if cost_to_go.goal is None:
        return to_go_m
    reach_m = scene.limits.max_speed_mps * tensors.HORIZON_S
    cost: Floats = to_go_m + FACING_AWAY_SHARE * cost_to_go.facing_away(end) * np.minimum(to_go_m, reach_m)
    return cost
