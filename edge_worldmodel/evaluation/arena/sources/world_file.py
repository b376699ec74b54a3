"""A world file of the simulator as a scenario: the same world in every episode, with other seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from edge_worldmodel.evaluation.arena.source import (
    DrawnWorld,
    ScenarioError,
    Skipped,
    SourceInputs,
    straight_distance_m,
)
from edge_worldmodel.sim.fields import Fields
from edge_worldmodel.sim.world import load_world


class WorldFileSource:
    """One world; the seed of the episode changes noise and routes of people."""

    skipped: tuple[Skipped, ...] = ()

    def __init__(self, fields: Fields, inputs: SourceInputs) -> None:
        """Read the world file that ``file`` names; the scenario's robot replaces the first robot of the world."""
        path = Path(fields.text("file"))
        self._world = load_world(path)
        self.digest = path.read_text(encoding="utf-8")
        robots = self._world.robots
        if not robots or robots[0].goal is None:
            raise ScenarioError(f"{path}: the first robot needs a goal")
        self._world = replace(self._world, robots=(replace(robots[0], spec=inputs.robot), *robots[1:]))

    def draw(self, index: int, rng: np.random.Generator) -> DrawnWorld:
        """Return the world of an episode."""
        robot = self._world.robots[0]
        assert robot.goal is not None
        return DrawnWorld(self._world, self._world.name, straight_distance_m(robot.start, robot.goal))
