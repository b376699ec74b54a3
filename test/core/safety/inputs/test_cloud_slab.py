"""The supervisor's look at a cloud: nearest obstacle per direction, floor and ceiling are no obstacles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.safety.inputs.cloud_slab import sweep_from_points

SENSOR = np.array([0.2, 0.0, 0.5])
COORDINATE = st.floats(-5.0, 5.0)


def look(points):
    return sweep_from_points(7, np.array(points, dtype=float).reshape(-1, 3), SENSOR, 0.1, 1.5)


def test_nearest_obstacle_in_each_direction_counts():
    sweep = look([[3.2, 0.0, 0.5], [1.2, 0.0, 0.2], [2.2, 0.0, 1.0], [0.2, 2.0, 0.3]])
    assert sweep.stamp_ns == 7
    np.testing.assert_allclose(sorted(map(tuple, sweep.endpoints[sweep.hit])), [(0.2, 2.0), (1.2, 0.0)])
    np.testing.assert_allclose(sweep.origin, SENSOR[:2])


def test_floor_and_ceiling_are_free_to_the_farthest():
    sweep = look([[1.2, 0.0, 0.0], [2.2, 0.0, 0.02], [1.7, 0.0, 2.5]])
    assert not sweep.hit.any()
    np.testing.assert_allclose(sweep.endpoints, [[2.2, 0.0]])


def test_an_obstacle_hides_the_floor_of_its_direction():
    sweep = look([[1.2, 0.0, 0.0], [2.2, 0.0, 0.5]])
    np.testing.assert_allclose(sweep.endpoints, [[2.2, 0.0]])
    assert sweep.hit.all()


def test_nothing_seen_is_an_empty_sweep():
    assert look([]).endpoints.shape == (0, 2)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(COORDINATE, COORDINATE, st.floats(0.1, 1.5)), min_size=1, max_size=30))
def test_the_nearest_of_all_obstacles_is_never_lost(points):
    sweep = look(points)
    distance = np.hypot(*(np.array(points)[:, :2] - SENSOR[:2]).T)
    kept = np.hypot(*(sweep.endpoints[sweep.hit] - SENSOR[:2]).T)
    assert kept.min() == pytest.approx(distance.min())
