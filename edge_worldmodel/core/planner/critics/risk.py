"""Risk: contacts that the robot's own motion may cause."""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core.planner.critics.cvar import cvar_of_worst_moment
from edge_worldmodel.core.planner.critics.scene import Scene
from edge_worldmodel.core.types import Floats


def score(scene: Scene) -> Floats:
    """Return the CVaR of the probability of collisions that the robot's own motion causes, (M,) in 0..1.

    A robot at rest causes no contact (passive motion safety: Macek et al., 2009), so below ``harmless_mps`` a collision
    counts in proportion to the robot's own speed.
    """
    speed_mps = np.hypot(scene.candidates.twists[..., 0], scene.candidates.twists[..., 1])
    own_part = np.clip(speed_mps / scene.harmless_mps, 0.0, 1.0)[:, None, None].astype(np.float32)
    return cvar_of_worst_moment(scene.collision_probability * own_part, scene.tail)
