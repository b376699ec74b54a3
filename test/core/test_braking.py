"""Geometry of the braking path: arcs, swept footprints, and how much speed a free path allows."""

import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.braking import Brakes, Footprint, allowed_share, arc, check_path, is_seen, moved
from edge_worldmodel.core.geometry import compose, inverse, transform_points
from edge_worldmodel.core.supervisor_config import SupervisorConfig

CASES = int(os.environ.get("EDGE_WORLDMODEL_CASES", "500"))
DISC = Footprint(np.empty((0, 2)), 0.25)
BOX = Footprint(np.array([[0.4, 0.2], [-0.2, 0.2], [-0.2, -0.2], [0.4, -0.2]]), 0.25)
MARGIN_M = 0.05
FORWARD = np.array([1.0, 0.0, 0.0])


def test_arcs_are_circles_and_lines():
    np.testing.assert_allclose(arc(FORWARD, np.array([2.0])), [[2.0, 0.0, 0.0]])
    quarter = arc(np.array([1.0, 0.0, 1.0]), np.array([math.pi / 2]))
    np.testing.assert_allclose(quarter, [[1.0, 1.0, math.pi / 2]], atol=1e-12)
    sideways = arc(np.array([0.0, 1.0, 1.0]), np.array([math.pi / 2]))
    np.testing.assert_allclose(sideways, [[-1.0, 1.0, math.pi / 2]], atol=1e-12)


@settings(max_examples=CASES, deadline=None)
@given(*[st.floats(-2.0, 2.0)] * 3, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_arcs_compose(vx, vy, rate, first_s, second_s):
    twist = np.array([vx, vy, rate])
    a, b, both = arc(twist, np.array([first_s, second_s, first_s + second_s]))
    np.testing.assert_allclose(compose(a, b)[:2], both[:2], atol=1e-9)
    np.testing.assert_allclose(moved(twist, first_s), a, atol=1e-9)


@pytest.mark.parametrize("footprint", [DISC, BOX])
def test_path_is_free_up_to_the_obstacle_ahead(footprint):
    front_m = 0.25 if footprint is DISC else 0.4
    check = check_path(FORWARD, 2.0, np.array([[1.5, 0.0]]), footprint, MARGIN_M)
    reached_m = 1.5 - front_m - MARGIN_M
    assert reached_m - 0.08 < check.free_s <= reached_m
    assert check_path(FORWARD, 1.0, np.array([[1.5, 0.0]]), footprint, MARGIN_M).free_s == math.inf


@pytest.mark.parametrize("y_m", [0.35, -0.35, 3.0])
def test_what_stands_beside_the_path_does_not_count(y_m):
    check = check_path(FORWARD, 2.0, np.array([[1.0, y_m]]), DISC, MARGIN_M)
    assert check.free_s == math.inf
    if abs(y_m) < 1.0:
        assert check.clearance_m == pytest.approx(abs(y_m) - 0.25, abs=0.005)
    else:
        assert 0.0 < check.clearance_m <= abs(y_m) - 0.25


def test_turning_a_box_sweeps_its_corners_but_turning_a_disc_does_not():
    beside = np.array([[0.1, 0.35]])
    turn = np.array([0.0, 0.0, 1.0])
    assert check_path(turn, 1.5, beside, DISC, MARGIN_M).free_s == math.inf
    assert check_path(turn, 1.5, beside, BOX, MARGIN_M).free_s < 1.5


def test_a_robot_in_touch_may_move_away_but_not_closer():
    touching = np.array([[0.26, 0.0]])
    assert check_path(FORWARD, 1.0, touching, DISC, MARGIN_M).free_s == 0.0
    assert check_path(-FORWARD, 1.0, touching, DISC, MARGIN_M).free_s == math.inf
    assert check_path(np.zeros(3), 1.0, touching, DISC, MARGIN_M).free_s == math.inf


def test_a_point_of_the_robot_itself_hides_no_obstacle():
    points = np.array([[-0.1, 0.0], [0.6, 0.0]])
    assert check_path(FORWARD, 1.0, points, DISC, MARGIN_M).free_s < 0.35


def test_fewer_points_than_asked_for_are_no_obstacle():
    points = np.array([[1.0, 0.0], [1.0, 0.05]])
    assert check_path(FORWARD, 2.0, points, DISC, MARGIN_M, min_hits=3).free_s == math.inf
    assert check_path(FORWARD, 2.0, points, DISC, MARGIN_M, min_hits=2).free_s < 2.0


def test_nothing_seen_is_infinitely_far():
    check = check_path(FORWARD, 2.0, np.empty((0, 2)), DISC, MARGIN_M)
    assert (check.free_s, check.clearance_m) == (math.inf, math.inf)


@settings(max_examples=CASES, deadline=None)
@given(
    st.floats(-2.0, 2.0),
    st.floats(-2.0, 2.0),
    st.floats(-3.0, 3.0),
    st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=8),
    st.sampled_from([DISC, BOX]),
)
def test_no_point_is_touched_before_free_time_is_over(vx, vy, rate, points, footprint):
    """A fine simulation of the sweep never finds contact where the check said free."""
    twist, points = np.array([vx, vy, rate]), np.array(points)
    points = points[footprint.clearance(points) > MARGIN_M]
    check = check_path(twist, 1.2, points, footprint, MARGIN_M)
    for pose in arc(twist, np.linspace(0.0, min(check.free_s, 1.2), 200)):
        seen = transform_points(inverse(pose), points)
        assert len(seen) == 0 or footprint.clearance(seen).min() > 0.0


@settings(max_examples=CASES, deadline=None)
@given(st.floats(0.0, 5.0), st.floats(0.01, 1.0), st.floats(0.0, 5.0))
def test_allowed_share_stops_within_the_free_path(free_s, reaction_s, braking_s):
    share = allowed_share(free_s, reaction_s, braking_s)
    assert 0.0 <= share <= 1.0
    assert share * reaction_s + share**2 * braking_s <= free_s + 1e-9
    if share < 1.0:
        assert share * reaction_s + share**2 * braking_s == pytest.approx(free_s, abs=1e-9)


def test_brakes_are_weaker_by_the_slip():
    brakes = Brakes.from_config(SupervisorConfig(braking_deceleration_mps2=1.0, slip=0.5))
    assert brakes.braking_s(FORWARD) == pytest.approx(1.0)  # 1 m/s with 0.5 m/s^2: 1 m
    assert brakes.braking_s(np.array([0.0, 0.0, 3.0])) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("twist", "seen"),
    [((1.0, 0.0, 0.0), True), ((-1.0, 0.0, 0.0), False), ((0.0, 0.0, 1.0), True), ((1.0, 0.3, 0.0), False)],
)
def test_a_direction_is_seen_where_a_ray_looks(twist, seen):
    assert is_seen(np.array(twist), np.array([[2.0, 0.0], [2.0, 0.1]])) is seen


def test_without_rays_nothing_is_seen():
    assert not is_seen(FORWARD, np.empty((0, 2)))
