"""Progress: the way gained towards the goal."""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core.planner.critics.scene import Scene
from edge_worldmodel.core.types import Floats


def score(scene: Scene) -> Floats:
    """Return the metres gained towards the goal by the end of the horizon, as negative numbers (M,)."""
    cost_to_go = scene.outlook.cost_to_go
    lost_m: Floats = cost_to_go.at(scene.candidates.poses[:, -1, :2]) - cost_to_go.at(np.zeros(2))
    return lost_m
