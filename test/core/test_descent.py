"""A descent ends on the ground and nowhere else."""

import numpy as np

from edge_worldmodel.core.descent import Descent
from edge_worldmodel.core.intake import Clock, Odometry

SECOND_NS = 1_000_000_000


def at(second, climb_mps=0.0):
    clock = Clock(second * SECOND_NS, second * SECOND_NS)
    return Odometry(clock.ros_ns, "odom", "base_link", np.zeros(3), np.zeros(3), 0.0, climb_mps), clock


def test_who_does_not_land_does_not_descend():
    assert Descent(0.5).climb_mps(False, *at(1)) == 0.0


def test_it_descends_until_it_has_sunk_and_stood_still():
    descent = Descent(0.5)
    climbs = [-0.1, -0.5, -0.5, -0.12, 0.0, 0.0, 0.0, 0.0]
    commanded = [descent.climb_mps(True, *at(second, climb)) for second, climb in enumerate(climbs)]
    assert commanded == [-0.5] * 6 + [0.0, 0.0]
    assert descent.landed
    assert descent.climb_mps(False, *at(9)) == 0.0 and not descent.landed
    assert descent.climb_mps(True, *at(10)) == -0.5


def test_without_a_measured_descent_it_goes_on():
    descent = Descent(0.5)
    assert {descent.climb_mps(True, *at(second)) for second in range(60)} == {-0.5}
    assert {descent.climb_mps(True, None, at(second)[1]) for second in range(60, 120)} == {-0.5}


def test_odometry_lost_in_the_middle_is_no_ground():
    descent = Descent(0.5)
    descent.climb_mps(True, *at(1, -0.5))
    assert {descent.climb_mps(True, None, at(second)[1]) for second in range(2, 30)} == {-0.5}
