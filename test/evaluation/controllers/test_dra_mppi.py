"""DRA-MPPI: the probability of a disc is that of samples, people multiply, and rollouts into people are riskier."""

import numpy as np
import pytest

from edge_worldmodel.evaluation.controllers.costmap.clusters import ClusterTracks
from edge_worldmodel.evaluation.controllers.dra_mppi import DraMppiConfig, disc_probability, joint_risk
from test.evaluation.controllers.test_mppi import straight

CONFIG = DraMppiConfig()


def walkers(*states):
    rows = np.array(states, float)
    count = len(rows)
    return ClusterTracks(rows[:, :2], rows[:, 2:], np.full(count, 0.25), np.ones(count, bool), np.arange(count))


@pytest.mark.parametrize("radius, distance", [(1.0, 0.0), (2.0, 1.5), (3.0, 5.0), (0.5, 2.0)])
def test_probability_of_a_disc_is_the_share_of_samples_in_it(radius, distance):
    points = np.random.default_rng(0).normal(size=(200_000, 2)) + (distance, 0.0)
    share = (np.hypot(*points.T) < radius).mean()
    assert disc_probability(radius)[round(distance / 0.05)] == pytest.approx(share, abs=0.005)


def test_people_multiply():
    way = straight(0.5)
    one = joint_risk(way, walkers((1.0, 0.6, 0.0, 0.0)), 0.3, CONFIG)
    two = joint_risk(way, walkers((1.0, 0.6, 0.0, 0.0), (1.0, 0.6, 0.0, 0.0)), 0.3, CONFIG)
    assert 0.05 < one.max() < 0.95
    np.testing.assert_allclose(two, 1.0 - (1.0 - one) ** 2, atol=1e-5)


def test_driving_into_a_walker_is_riskier_than_waiting():
    crossing = walkers((1.2, -1.2, 0.0, 1.0))
    risk = joint_risk(straight(0.0, 1.0), crossing, 0.3, CONFIG).max(axis=0)
    assert risk[0] < 0.05 and risk[1] > 0.5
    assert joint_risk(straight(1.0), walkers((1.2, 3.0, 0.0, 1.0)), 0.3, CONFIG).max() < 0.01
