"""Escape: where the robot is boxed in, the way out comes before everything else."""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core.planner.critics.scene import Scene
from edge_worldmodel.core.types import Floats


def score(scene: Scene) -> Floats:
    """Return (M,) -1 for the escape, 0 for the others."""
    escape = None if scene.escape is None else scene.escape.name
    return -np.array([float(name == escape) for name in scene.candidates.names])
