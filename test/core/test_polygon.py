"""Distances to polygons against a second library's geometry."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.geometry import signed_distance
from edge_worldmodel.core.polygon import (
    corners_of,
    footprint_problem,
    is_inside,
    is_within,
    polygon_problem,
    read_polygon,
    self_filters,
    self_filters_problem,
)

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


BOX = (0.3, 0.2, -0.3, 0.2, -0.3, -0.2, 0.3, -0.2)


def test_navs_text_is_read_and_anything_else_is_left():
    assert read_polygon("[ [0.3, 0.2], [-0.3, 0.2], [-0.3, -0.2], [0.3, -0.2] ]") == BOX
    assert read_polygon("") == () and read_polygon(BOX) is BOX
    for text in ("a box", "[[1, 2", "[[1, 2, 3]]", "[1, 2]", "7", "[[1, 'a']]", "__import__('os')"):
        assert read_polygon(text) == text


@pytest.mark.parametrize(
    ("numbers", "problem"),
    [
        (BOX, ""),
        (BOX + BOX[:2], ""),
        (BOX[::-1], ""),
        ((0.3, 0.2, 0.0, 0.2, -0.3, 0.2, -0.3, -0.2, 0.3, -0.2), ""),
        ((0.0, 0.2, -0.5, 0.2, -0.5, -0.2, 0.0, -0.2), ""),
        (BOX[:4], "three points"),
        (BOX[:7], "three points"),
        (("a", "b", 0.3, 0.2, 0.1, 0.1), "three points"),
        ((0.3, 0.2, -0.3, -0.2, 0.3, -0.2, -0.3, 0.2), "crosses"),
        ((0.3, 0.2, -0.3, 0.2, 0.3, 0.2, 0.3, -0.2), "crosses"),
        ((0.3, 0.3, -0.3, 0.3, -0.3, -0.3, 0.0, 0.3, 0.3, -0.3), "crosses"),
        ((0.3, 0.0, 0.1, 0.0, -0.3, 0.0), "crosses"),
        ((0.005, 0.005, -0.005, 0.005, 0.0, -0.005), "no area"),
        ((30.0, 20.0, -30.0, 20.0, -30.0, -20.0, 30.0, -20.0), "metres"),
        ((0.9, 0.2, 0.3, 0.2, 0.3, -0.2, 0.9, -0.2), "outside the outline"),
    ],
)
def test_a_footprint_that_cannot_be_meant_is_refused_in_words(numbers, problem):
    assert bool(footprint_problem(numbers)) is bool(problem)
    assert problem in footprint_problem(numbers)
    if problem not in ("metres", "outside the outline"):
        assert footprint_problem(numbers) == polygon_problem(numbers)


@settings(max_examples=CASES, deadline=None)
@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=3, max_size=7))
def test_crossings_agree_with_shapely(points):
    shapely = pytest.importorskip("shapely")
    numbers = tuple(number for point in points for number in point)
    ring = shapely.LinearRing(points)
    if polygon_problem(numbers) == "":
        assert ring.is_simple and shapely.Polygon(points).is_valid


@settings(max_examples=CASES, deadline=None)
@given(st.floats(-1, 3), st.floats(-1, 3), st.floats(-4, 4))
def test_a_polygon_inside_another_keeps_all_its_points_there(x, y, yaw):
    cos, sin = np.cos(yaw), np.sin(yaw)
    inner = corners_of(BOX) @ np.array([[cos, sin], [-sin, cos]]) + (x, y)
    share = np.linspace(0.0, 1.0, 60)[:, None, None]
    outline = (inner + share * (np.roll(inner, 1, axis=0) - inner)).reshape(-1, 2)
    farthest_m = signed_distance(L_SHAPE, outline).max()
    if abs(farthest_m) > 0.02:
        assert bool(is_inside(inner, L_SHAPE)) is bool(farthest_m < 0.0)


def test_a_thin_notch_through_a_polygon_is_not_inside():
    notched = np.array([[-1, -1], [1, -1], [1, 1], [0.05, 1], [0.05, -0.5], [-0.05, -0.5], [-0.05, 1], [-1, 1.0]])
    poses = np.array([[0.0, 0.0], [0.5, 0.0]])
    assert is_inside(corners_of(BOX) + poses[:, None], notched).tolist() == [False, True]


def test_self_filters_are_one_for_each_sensor():
    text = "[[0.3, 0.2], [-0.3, 0.2], [-0.3, -0.2], [0.3, -0.2]]"
    assert self_filters_problem((), 2) == self_filters_problem((text, ""), 2) == ""
    assert "2 topics" in self_filters_problem((text,), 2)
    assert "three points" in self_filters_problem(("", "[[0, 0]]"), 2) and self_filters_problem(("a box",), 1)
    outlines = self_filters((text, ""), ("scan", "points"))
    assert len(outlines["scan"]) == 4 and not len(outlines["points"])
    assert not len(self_filters((), ("scan",))["scan"])


def test_points_within_an_outline_agree_with_the_distance():
    points = np.random.default_rng(1).uniform(-1.0, 3.0, (500, 2))
    np.testing.assert_array_equal(is_within(L_SHAPE, points), signed_distance(L_SHAPE, points) <= 0.0)
    assert not is_within(np.empty((0, 2)), points).any()
