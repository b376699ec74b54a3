"""The circle crossing of CrowdNav (Chen et al., ICRA 2019): people avoid each other and walk to the opposite side.

CrowdNav tests with a robot that nobody sees; its authors also train with one that all see. ``attentive`` is the share
of the people who see it.
"""

from __future__ import annotations

import numpy as np

from edge_worldmodel.evaluation.arena.source import (
    STEP_S,
    DrawnWorld,
    ScenarioError,
    Skipped,
    SourceInputs,
    attentive,
    whole_range,
    with_attention,
)
from edge_worldmodel.sim.fields import Fields
from edge_worldmodel.sim.world import CrowdSpec, Person, RobotPlacement, World

_RADIUS_M = 0.3
_SPEED_MPS = 1.0
_APART_M = 0.2
_TRIES = 1000


class CircleSource:
    """People at random angles on a circle with up to 0.5 m of noise in x and y, as CrowdNav's circle_crossing."""

    skipped: tuple[Skipped, ...] = ()

    def __init__(self, fields: Fields, inputs: SourceInputs) -> None:
        """Read the radius, the number of people and how many of them see the robot."""
        self._circle_m = fields.number("radius", 4.0, minimum=2.0, maximum=20.0)
        self._people = inputs.people or whole_range(fields, "people", (5, 5), 40)
        self._visible = fields.flag("robot_visible", False)
        self._attentive = attentive(fields)
        self._robot = inputs.robot

    def draw(self, index: int, rng: np.random.Generator) -> DrawnWorld:
        """Return the world of an episode."""
        r, half_m = self._circle_m, self._circle_m + 4.0
        start, goal = (0.0, -r, np.pi / 2), (0.0, r, np.pi / 2)
        taken = [(np.array(start[:2]), np.array(goal[:2]))]
        people = []
        for _ in range(int(rng.integers(self._people[0], self._people[1] + 1))):
            person_start = self._start(rng, taken)
            taken.append((person_start, -person_start))
            x, y = person_start
            people.append(Person((x, y), ((-x, -y),), speed_mps=_SPEED_MPS, radius_m=_RADIUS_M))
        world = World(
            name=f"circle{index}",
            seed=0,
            bounds=(-half_m, -half_m, half_m, half_m),
            people=tuple(people) if self._attentive is None else with_attention(tuple(people), self._attentive, rng),
            crowd=CrowdSpec("orca", self._visible or self._attentive is not None, robot_margin_m=0.01),
            robots=(RobotPlacement(self._robot, start, goal),),
            step_s=STEP_S,
        )
        return DrawnWorld(world, f"{len(people)} people", 2 * r)

    def _start(self, rng: np.random.Generator, taken: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        for _ in range(_TRIES):
            angle, noise = rng.uniform(0, 2 * np.pi), (rng.uniform(size=2) - 0.5) * _SPEED_MPS
            point = self._circle_m * np.array([np.cos(angle), np.sin(angle)]) + noise
            least_m = 2 * _RADIUS_M + _APART_M
            gaps = [min(np.hypot(*(point - a)), np.hypot(*(-point - b))) for a, b in taken]
            if min(gaps) >= least_m:
                return np.asarray(point)
        raise ScenarioError(f"so many people do not fit on a circle of {self._circle_m} m; choose fewer")
