"""A landing ends on the ground and nowhere else."""

import numpy as np

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.inputs.intake import Instant, OdometrySample
from edge_worldmodel.core.safety.landing import Landing

SECOND_NS = 1_000_000_000
DRONE = SupervisorConfig(vehicle="drone", landing_speed_mps=0.5)


def at(second, climb_mps=0.0):
    clock = Instant(second * SECOND_NS, second * SECOND_NS)
    return OdometrySample(clock.ros_ns, "odom", "base_link", np.zeros(3), np.zeros(3), 0.0, climb_mps), clock


def test_who_does_not_land_does_not_descend():
    assert Landing(DRONE).climb_mps(False, *at(1)) == 0.0


def test_it_descends_until_it_has_sunk_and_stood_still():
    landing = Landing(DRONE)
    climbs = [-0.1, -0.5, -0.5, -0.12, 0.0, 0.0, 0.0, 0.0]
    commanded = [landing.climb_mps(True, *at(second, climb)) for second, climb in enumerate(climbs)]
    assert commanded == [-0.5] * 6 + [0.0, 0.0]
    assert landing.landed
    assert landing.climb_mps(False, *at(9)) == 0.0 and not landing.landed
    assert landing.climb_mps(True, *at(10)) == -0.5


def test_without_a_measured_descent_it_goes_on():
    landing = Landing(DRONE)
    assert {landing.climb_mps(True, *at(second)) for second in range(60)} == {-0.5}
    assert {landing.climb_mps(True, None, at(second)[1]) for second in range(60, 120)} == {-0.5}


def test_odometry_lost_in_the_middle_is_no_ground():
    landing = Landing(DRONE)
    landing.climb_mps(True, *at(1, -0.5))
    assert {landing.climb_mps(True, None, at(second)[1]) for second in range(2, 30)} == {-0.5}


def test_it_counts_as_sinking_from_half_the_speed_and_as_still_below_a_fifth():
    for sinking_mps, still_mps, down in ((0.26, 0.09, True), (0.24, 0.09, False), (0.26, 0.11, False)):
        landing = Landing(DRONE)
        landing.climb_mps(True, *at(1, -sinking_mps))
        commanded = [landing.climb_mps(True, *at(second, -still_mps)) for second in (2, 3, 4)]
        assert landing.landed is down and commanded == [-0.5, -0.5, 0.0 if down else -0.5]


def test_one_that_bounces_up_again_is_not_down():
    landing = Landing(DRONE)
    landing.climb_mps(True, *at(1, -0.5))
    assert [landing.climb_mps(True, *at(second, 0.3)) for second in range(2, 9)] == [-0.5] * 7


def test_one_that_lost_its_odometry_before_it_sank_is_not_down_when_it_stands():
    landing = Landing(DRONE)
    landing.climb_mps(True, None, at(1)[1])
    assert [landing.climb_mps(True, *at(second)) for second in range(2, 9)] == [-0.5] * 7
    assert landing.landed is False
