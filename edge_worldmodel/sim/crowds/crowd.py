"""The interface of simulated crowds, and the routes that people walk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.sim.fields import WorldError
from edge_worldmodel.sim.world import Person, Point, World

_AREA_POINTS = 64
_ARRIVED_M = 0.05


@dataclass(frozen=True)
class CrowdState:
    """Positions (n, 2) in metres and velocities (n, 2) in m/s, world frame; NaN positions where absent."""

    positions: Floats
    velocities: Floats


class Crowd(Protocol):
    """People whose motion a simulation advances."""

    @property
    def state(self) -> CrowdState:
        """The present state of all people."""
        ...

    def step(self, dt_s: float, robots: Floats) -> CrowdState:
        """Advance by ``dt_s``.

        Args:
            dt_s: duration of the step.
            robots: positions and velocities (r, 4: x, y, vx, vy) of the robots in the world frame.
        """
        ...


def route(world: World, person: Person, rng: np.random.Generator) -> list[Point]:
    """Return the points of a route: start and waypoints, or start and random free points of the area."""
    if person.area is None:
        return [person.start, *person.waypoints]
    x0, y0, x1, y1 = person.area
    candidates = rng.uniform((x0, y0), (x1, y1), size=(40 * _AREA_POINTS, 2))
    free = candidates[world.clearance(candidates) > person.radius_m + _ARRIVED_M]
    if len(free) < _AREA_POINTS:
        raise WorldError(f"{world.name}: people area {list(person.area)}: it has too few free points")
    return [person.start, *((float(x), float(y)) for x, y in free[:_AREA_POINTS])]
