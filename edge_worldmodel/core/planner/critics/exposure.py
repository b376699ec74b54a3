"""Exposure: all contacts, also those in which something runs into the robot."""

from __future__ import annotations

from edge_worldmodel.core.planner.critics.cvar import cvar_of_worst_moment
from edge_worldmodel.core.planner.critics.scene import Scene
from edge_worldmodel.core.types import Floats


def score(scene: Scene) -> Floats:
    """Return the CVaR of the collision probability, (M,) in 0..1."""
    return cvar_of_worst_moment(scene.collision_probability, scene.tail)
