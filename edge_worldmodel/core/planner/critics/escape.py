"""Escape: prefers the maneuver that leads a boxed-in robot out to all other candidates."""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core.planner.critics.scene import Scene
from edge_worldmodel.core.types import Floats


def score(scene: Scene) -> Floats:
    """Return -1 for the escape and 0 for all other candidates, as (M,)."""
    escape = None if scene.escape is None else scene.escape.name
    return -np.array([float(name == escape) for name in scene.candidates.names])
