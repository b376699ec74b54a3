"""Small worlds for the tests of the simulator."""

from __future__ import annotations

import dataclasses

from edge_worldmodel.sim.robots import PRESETS, ScannerSpec
from edge_worldmodel.sim.shapes import Solid, enclosure
from edge_worldmodel.sim.world import CrowdSpec, Person, RobotPlacement, World

BOUNDS = (-5.0, -4.0, 5.0, 4.0)
NO_CROWD = CrowdSpec()
EXACT = ScannerSpec(noise_m=0.0, dropout=0.0)


def room(
    *solids: Solid,
    people: tuple[Person, ...] = (),
    start: tuple[float, float, float] = (0.0, 0.0, 0.0),
    preset: str = "generic",
    scanner: ScannerSpec = EXACT,
    crowd: CrowdSpec = NO_CROWD,
    enclosed: bool = True,
) -> World:
    """Return a room of 10 x 8 m around the origin with one robot in it."""
    walls = enclosure(BOUNDS, 0.2, 2.0) if enclosed else ()
    spec = dataclasses.replace(PRESETS[preset], scanners=(scanner,))
    return World("test_room", 1, BOUNDS, (*solids, *walls), people, crowd, (RobotPlacement(spec, start),))
