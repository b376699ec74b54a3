"""Distances to polygons against a second library's geometry."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.geometry import signed_distance

CASES = int(os.environ.get("EDGE_WORLDMODEL_CASES", "200"))
L_SHAPE = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [1.0, 1.0], [1.0, 2.0], [0.0, 2.0]])


@pytest.mark.parametrize(
    ("point", "distance"),
    [((0.5, 0.5), -0.5), ((1.5, 1.5), 0.5), ((3.0, 0.5), 1.0), ((-3.0, -4.0), 5.0), ((0.5, 1.9), -0.1)],
)
def test_known_distances(point, distance):
    assert signed_distance(L_SHAPE, np.array([point]))[0] == pytest.approx(distance)
    assert signed_distance(L_SHAPE[::-1], np.array(point)) == pytest.approx(distance)


@settings(max_examples=CASES, deadline=None)
@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=20))
def test_agrees_with_opencv(points):
    cv2 = pytest.importorskip("cv2")
    ours = signed_distance(L_SHAPE, np.array(points))
    theirs = [-cv2.pointPolygonTest(L_SHAPE.astype(np.float32), (float(x), float(y)), True) for x, y in points]
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-5)
    clear = np.abs(ours) > 1e-4
    np.testing.assert_array_equal(np.sign(ours)[clear], np.sign(theirs)[clear])


TRIANGLE = np.array([[0.0, 0.0], [4.0, 3.0], [1.0, 7.0]])


@pytest.mark.parametrize(
    ("point", "distance"),
    [((2, 4), -1.0), ((2, 1), 0.4), ((4, 0.5), 2.0), ((4, 6.5), 2.1), ((-1, 3), np.sqrt(2.0)), ((5, 3), 1.0)],
)
def test_slanted_edges_of_another_length(point, distance):
    assert signed_distance(TRIANGLE, np.array(point, dtype=float)) == pytest.approx(distance)


def test_a_corner_on_the_level_of_a_point_is_crossed_once():
    diamond = np.array([[0.0, -1.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    for outline in (diamond, diamond[::-1]):
        assert signed_distance(outline, np.array([0.0, 0.0])) == pytest.approx(-np.sqrt(0.5))
        assert signed_distance(outline, np.array([-2.0, 0.0])) == pytest.approx(1.0)
        assert (
            signed_distance(outline, np.array([-0.5, 1.0])) > 0.0
            and signed_distance(outline, np.array([-0.5, -1.0])) > 0.0
        )


def test_a_corner_given_twice_changes_nothing():
    twice = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]])
    assert signed_distance(twice, np.array([1.0, 0.5])) == pytest.approx(-0.5)
    assert signed_distance(twice, np.array([3.0, 1.0])) == pytest.approx(1.0)


def test_a_fence_of_many_teeth_is_inside_and_outside_in_turn():
    comb = np.array([[0, 0], [7, 0], [7, 4], [6, 4], [5, 1], [4, 4], [3, 4], [2, 1], [1, 4], [0, 4]], dtype=float)
    row = np.stack((np.array([-0.5, 0.4, 2.0, 3.5, 5.0, 6.6, 7.5]), np.full(7, 3.0)), axis=-1)
    assert (signed_distance(comb, row) < 0.0).tolist() == [False, True, False, True, False, True, False]
