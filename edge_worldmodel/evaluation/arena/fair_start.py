"""Fair starts: nobody comes near the robot's place before it could have moved out of the way.

Perception needs a second of scans to see what moves. So the robot first stands and observes while the clock of the
episode does not run, and an episode is used only if nobody comes near this place until the clock has run for a while.
"""

from __future__ import annotations

import math

import numpy as np

from edge_worldmodel.evaluation.arena.clearance import FootprintClearance
from edge_worldmodel.sim.simulation import Simulation
from edge_worldmodel.sim.world import World

REACH_M = 0.3
"""Nearer to the footprint than this is too near."""
_LOOK_S = 0.05


def is_fair(world: World, seed: int, duration_s: float) -> bool:
    """Return whether a robot that stands at its start touches nothing and nobody comes within REACH_M of its place.

    Args:
        world: of the episode.
        seed: of its simulation; people who react to the robot walk as they will in the episode.
        duration_s: how long; observation included.
    """
    if duration_s <= 0.0:
        return True
    simulation, robot = Simulation(world, seed), world.robots[0]
    place, clearance = np.array(robot.start), FootprintClearance(world, robot.spec)
    for _ in range(round(duration_s / _LOOK_S)):
        if clearance.to_people(place, simulation.people().positions).min(initial=math.inf) < REACH_M:
            return False
        simulation.advance(_LOOK_S)
        if simulation.contact_events:
            return False
    return True
