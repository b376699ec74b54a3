"""Sudden step-outs: a person hidden behind a screen steps into the robot's way when it comes near."""

from __future__ import annotations

import numpy as np

from edge_worldmodel.evaluation.arena.source import (
    STEP_S,
    DrawnWorld,
    Skipped,
    SourceInputs,
    span,
    straight_distance_m,
    whole_range,
)
from edge_worldmodel.sim.fields import Fields
from edge_worldmodel.sim.shapes import Box, Solid, enclosure
from edge_worldmodel.sim.world import CrowdSpec, Person, RobotPlacement, World

_HALF_LENGTH_M, _HALF_WIDTH_M = 8.0, 2.6
_HEIGHT_M = 2.0
_SPOTS_M = (-3.5, -0.5, 2.5, 5.0)
_RADIUS_M = 0.25


class StepoutSource:
    """A passage with screens along its sides and people waiting behind some of them."""

    skipped: tuple[Skipped, ...] = ()

    def __init__(self, fields: Fields, inputs: SourceInputs) -> None:
        """Read the number of screens, how many people step out, how fast, and at which distance of the robot."""
        screens = int(fields.number("screens", len(_SPOTS_M), minimum=1, maximum=8))
        self._spots_m = _SPOTS_M if screens == len(_SPOTS_M) else np.linspace(-4.5, 5.0, screens).tolist()
        self._count = inputs.people or whole_range(fields, "people", (1, 3), screens)
        self._speeds_mps = span(fields, "speeds", (1.0, 1.8))
        self._trigger_m = span(fields, "trigger", (1.8, 3.0))
        self._inputs = inputs

    def draw(self, index: int, rng: np.random.Generator) -> DrawnWorld:
        """Return the world of an episode."""
        bounds = (-_HALF_LENGTH_M, -_HALF_WIDTH_M, _HALF_LENGTH_M, _HALF_WIDTH_M)
        solids: list[Solid] = list(enclosure(bounds, 0.2, _HEIGHT_M))
        count = min(int(rng.integers(self._count[0], self._count[1] + 1)), len(self._spots_m))
        hiding = rng.permutation(len(self._spots_m))[:count]
        people = []
        for i, spot_m in enumerate(self._spots_m):
            side = float(rng.choice([-1.0, 1.0]))
            x = spot_m + rng.uniform(-0.5, 0.5)
            # The screen hides the person behind it from an approaching robot.
            solids.append(Box(x - 0.45, side * (_HALF_WIDTH_M - 0.6), 0.15, 1.2, height_m=_HEIGHT_M))
            if i in hiding:
                people.append(self._person(x, side, rng))
        start = (-_HALF_LENGTH_M + 1.0, rng.uniform(-0.5, 0.5), 0.0)
        goal = (_HALF_LENGTH_M - 1.0, rng.uniform(-0.5, 0.5), 0.0)
        robot = RobotPlacement(self._inputs.robot, start, goal)
        crowd = CrowdSpec("waypoints", reacts_to_robot=False)
        world = World(f"stepout{index}", 0, bounds, tuple(solids), tuple(people), crowd, (robot,), STEP_S)
        return DrawnWorld(world, f"{count} step out", straight_distance_m(start, goal))

    def _person(self, x: float, side: float, rng: np.random.Generator) -> Person:
        begin = (x, side * (_HALF_WIDTH_M - 0.4))
        end = (x + rng.uniform(-0.3, 0.3), -side * (_HALF_WIDTH_M - 0.4))
        return Person(
            begin, (end,), None, float(rng.uniform(*self._speeds_mps)), _RADIUS_M, float(rng.uniform(*self._trigger_m))
        )
