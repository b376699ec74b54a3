"""Continuity: a small preference for the plan that is followed already, so that choices do not flicker."""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core.planner.candidates.maneuvers import PREVIOUS
from edge_worldmodel.core.planner.critics.scene import Scene
from edge_worldmodel.core.types import Floats


def score(scene: Scene) -> Floats:
    """Return -1 for the maneuver that continues the previous plan and 0 for the others, as (M,)."""
    return -np.array([float(name == PREVIOUS) for name in scene.candidates.names])
