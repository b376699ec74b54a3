from __future__ import annotations

import math

import numpy as np
import pytest

from edge_worldmodel.evaluation.arena.clearance import FootprintClearance
from edge_worldmodel.sim.robots import robot_spec
from edge_worldmodel.sim.shapes import Box, Cylinder
from edge_worldmodel.sim.world import Person, World

_BOUNDS = (-10.0, -10.0, 10.0, 10.0)


def measured(robot, solids=(), people=()):
    return FootprintClearance(World("w", 0, _BOUNDS, tuple(solids), tuple(people)), robot_spec(robot))


def test_gaps_of_a_rectangle():
    jackal = measured("jackal", [Cylinder(2.0, 0.0, 0.5), Box(0.0, 3.0, 2.0, 1.0)])
    assert jackal.to_solids(np.zeros(3)) == pytest.approx(1.5 - 0.254)
    assert jackal.to_solids(np.array([0.0, 0.0, math.pi / 2])) == pytest.approx(1.5 - 0.215)
    assert jackal.to_solids(np.array([0.0, 1.5, math.pi / 2])) == pytest.approx(1.0 - 0.254)


def test_gaps_of_a_circle_to_a_corner():
    generic = measured("generic", [Box(2.0, 2.0, 2.0, 2.0)])
    assert generic.to_solids(np.zeros(3)) == pytest.approx(math.sqrt(2) - 0.25)
    assert measured("generic").to_solids(np.zeros(3)) == math.inf


def test_absent_people_are_no_obstacle():
    crowd = measured("generic", people=[Person((3.0, 0.0), radius_m=0.3), Person((5.0, 0.0), radius_m=0.2)])
    positions = np.array([[np.nan, np.nan], [2.0, 0.0]])
    np.testing.assert_allclose(crowd.to_people(np.zeros(3), positions), [np.inf, 2.0 - 0.2 - 0.25])
    assert np.isinf(crowd.to_people(np.zeros(3), np.full((2, 2), np.nan))).all()
