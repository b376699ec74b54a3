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
    """People that are moved on by a simulation."""

    @property
    def state(self) -> CrowdState:
        """Where everybody is now."""
        ...

    def step(self, dt_s: float, robots: Floats) -> CrowdState:
        """Move on by dt_s, given the robots' positions and velocities (r, 4: x, y, vx, vy) in the world frame."""
        ...


def route(world: World, person: Person, rng: np.random.Generator) -> list[Point]:
    """Return the points a person visits in turn: the start and the waypoints, or free random points of the area."""
    if person.area is None:
        return [person.start, *person.waypoints]
    x0, y0, x1, y1 = person.area
    candidates = rng.uniform((x0, y0), (x1, y1), size=(40 * _AREA_POINTS, 2))
    free = candidates[world.clearance(candidates) > person.radius_m + _ARRIVED_M]
    if len(free) < _AREA_POINTS:
        raise WorldError(f"{world.name}: people area {list(person.area)}: hardly any room to walk in it")
    return [person.start, *((float(x), float(y)) for x, y in free[:_AREA_POINTS])]
