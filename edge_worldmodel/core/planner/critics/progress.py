"""Progress: how much nearer the maneuver brings the robot."""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core.planner.critics.scene import Scene
from edge_worldmodel.core.types import Floats


def score(scene: Scene) -> Floats:
    """Return (M,) minus the metres gained towards the goal by the end of the horizon."""
    lost: Floats = scene.field.at(scene.candidates.poses[:, -1, :2]) - scene.field.at(np.zeros(2))
    return lost
