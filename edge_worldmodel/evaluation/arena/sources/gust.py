"""A quadrotor between pillars in gusty wind."""

from __future__ import annotations

import numpy as np

from edge_worldmodel.evaluation.arena.source import (
    STEP_S,
    DrawnWorld,
    ScenarioError,
    Skipped,
    SourceInputs,
    scatter,
    span,
    straight_distance_m,
    whole_range,
)
from edge_worldmodel.sim.fields import Fields
from edge_worldmodel.sim.shapes import Cylinder
from edge_worldmodel.sim.wind import WindSpec
from edge_worldmodel.sim.world import RobotPlacement, World

_HALF_LENGTH_M, _HALF_WIDTH_M = 9.0, 6.0
_FIELD_M = 5.5
_HEIGHT_M = 3.0


class GustSource:
    """Pillars at random places; a mean wind, turbulence and single gusts from any side."""

    skipped: tuple[Skipped, ...] = ()

    def __init__(self, fields: Fields, inputs: SourceInputs) -> None:
        """Read number and distance of the pillars and the strength of the wind."""
        if inputs.robot.kind != "quadrotor":
            raise ScenarioError(f"robot {inputs.robot.name}: scenario kind gust needs a robot of kind quadrotor")
        self._robot = inputs.robot
        self._pillars = whole_range(fields, "pillars", (8, 14), 40)
        self._radii_m = span(fields, "radius", (0.15, 0.35))
        self._apart_m = fields.number("apart", 2.2, minimum=1.0, maximum=10.0)
        self._mean_mps = span(fields, "wind", (1.0, 4.0))
        self._turbulence_mps = span(fields, "turbulence", (3.0, 10.0))
        self._gust_mps = span(fields, "gust", (2.0, 6.0))

    def draw(self, index: int, rng: np.random.Generator) -> DrawnWorld:
        """Return the world of an episode."""
        count = int(rng.integers(self._pillars[0], self._pillars[1] + 1))
        area = (-_FIELD_M, -_HALF_WIDTH_M + 1.0, _FIELD_M, _HALF_WIDTH_M - 1.0)
        spots = scatter(rng, count, area, self._apart_m, lambda points: np.ones(len(points), bool))
        solids = tuple(Cylinder(x, y, float(rng.uniform(*self._radii_m)), _HEIGHT_M) for x, y in spots.tolist())
        wind = WindSpec(
            mean_mps=float(rng.uniform(*self._mean_mps)),
            direction_rad=float(rng.uniform(-np.pi, np.pi)),
            turbulence_mps=float(rng.uniform(*self._turbulence_mps)),
            gust_mps=float(rng.uniform(*self._gust_mps)),
        )
        start, goal = (-_HALF_LENGTH_M + 1.5, rng.uniform(-2, 2), 0.0), (_HALF_LENGTH_M - 1.5, rng.uniform(-2, 2), 0.0)
        bounds = (-_HALF_LENGTH_M, -_HALF_WIDTH_M, _HALF_LENGTH_M, _HALF_WIDTH_M)
        robot = RobotPlacement(self._robot, start, goal)
        world = World(f"gust{index}", 0, bounds, solids, robots=(robot,), step_s=STEP_S, wind=wind)
        label = f"{count} pillars, wind {wind.mean_mps:.1f} m/s, gusts of {wind.gust_mps:.1f} m/s"
        return DrawnWorld(world, label, straight_distance_m(start, goal))
