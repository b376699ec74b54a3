"""Geometry of the braking path: arcs, swept footprints, and how much speed a free path allows."""

import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.geometry import compose, inverse, points_in_frame, transform_points
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.motion.axis_braking import beside_arc, leaves_arc
from edge_worldmodel.core.safety.motion.braking import (
    Brakes,
    RobotFootprint,
    allowed_share,
    arc_pose,
    arc_poses,
    check_path,
    seen_s,
)

CASES = int(os.environ.get("EDGE_WORLDMODEL_CASES", "500"))
DISC = RobotFootprint(np.empty((0, 2)), 0.25)
BOX = RobotFootprint(np.array([[0.4, 0.2], [-0.2, 0.2], [-0.2, -0.2], [0.4, -0.2]]), 0.25)
MARGIN_M = 0.05
FORWARD = np.array([1.0, 0.0, 0.0])


def test_arcs_are_circles_and_lines():
    np.testing.assert_allclose(arc_poses(FORWARD, np.array([2.0])), [[2.0, 0.0, 0.0]])
    quarter = arc_poses(np.array([1.0, 0.0, 1.0]), np.array([math.pi / 2]))
    np.testing.assert_allclose(quarter, [[1.0, 1.0, math.pi / 2]], atol=1e-12)
    sideways = arc_poses(np.array([0.0, 1.0, 1.0]), np.array([math.pi / 2]))
    np.testing.assert_allclose(sideways, [[-1.0, 1.0, math.pi / 2]], atol=1e-12)


@settings(max_examples=CASES, deadline=None)
@given(*[st.floats(-2.0, 2.0)] * 3, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_arcs_compose(vx, vy, rate, first_s, second_s):
    twist = np.array([vx, vy, rate])
    a, b, both = arc_poses(twist, np.array([first_s, second_s, first_s + second_s]))
    np.testing.assert_allclose(compose(a, b)[:2], both[:2], atol=1e-9)
    np.testing.assert_allclose(arc_pose(twist, first_s), a, atol=1e-9)


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
    for pose in arc_poses(twist, np.linspace(0.0, min(check.free_s, 1.2), 200)):
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


def test_the_samples_lie_on_the_outline_close_together():
    for footprint in (DISC, BOX, RobotFootprint(50.0 * BOX.outline, 0.25)):
        np.testing.assert_allclose(footprint.clearance(footprint.samples), 0.0, atol=1e-9)
        gap_m = np.hypot(*(np.roll(footprint.samples, -1, axis=0) - footprint.samples).T).max()
        assert gap_m <= max(0.1, 50.0 * 2.0 / 48) + 1e-9
    for corner in BOX.outline:
        assert (np.abs(BOX.samples - corner).max(axis=1) < 1e-12).any()


@pytest.mark.parametrize("twist", [(1.0, 0.0, 0.0), (-1.0, 0.0, 0.0)])
def test_the_swept_area_is_seen_as_far_as_somebody_looked(twist):
    seen = lambda places: np.abs(places[:, 0]) <= 0.75  # noqa: E731
    free_s = seen_s(np.array(twist), 1.0, DISC, seen)
    assert 0.5 - 0.11 <= free_s <= 0.5
    assert seen_s(np.array(twist), 0.5, DISC, seen) == math.inf


def test_a_disc_that_turns_on_the_spot_sweeps_nothing_and_a_box_does():
    nowhere = lambda places: np.zeros(len(places), bool)  # noqa: E731
    turn = np.array([0.0, 0.0, 1.0])
    assert seen_s(turn, 1.0, DISC, nowhere) == math.inf
    assert seen_s(turn, 1.0, BOX, nowhere) < 0.4


def test_the_free_time_is_the_last_step_before_the_obstacle_counts():
    wall = np.array([[1.5, 0.0]])  # counts from 1.5 - 0.25 - (0.05 + half a step of 0.04) on
    check = check_path(FORWARD, 2.0, wall, DISC, MARGIN_M)
    assert check.free_s == pytest.approx(1.16)
    assert check.clearance_m == pytest.approx(-0.23)  # on the grid of steps it passes the middle by 0.02 m
    assert check_path(0.5 * FORWARD, 4.0, wall, DISC, MARGIN_M).free_s == pytest.approx(2.32)


def test_a_long_path_is_checked_in_larger_steps_with_more_room():
    check = check_path(FORWARD, 10.0, np.array([[5.0, 0.0]]), DISC, MARGIN_M)
    step_m = 10.0 / 64
    blocked = math.ceil((5.0 - 0.25 - MARGIN_M - 0.5 * step_m) / step_m)
    assert check.free_s == pytest.approx((blocked - 1) * step_m)


def test_sideways_is_a_way_as_well():
    check = check_path(np.array([0.0, 1.0, 0.0]), 2.0, np.array([[0.0, 1.5]]), DISC, MARGIN_M)
    assert check.free_s == pytest.approx(1.16)


def test_what_is_out_of_reach_is_told_as_far_as_it_is_at_least():
    check = check_path(FORWARD, 1.0, np.array([[10.0, 0.0], [0.0, 9.0]]), DISC, MARGIN_M)
    assert (check.free_s, check.clearance_m) == (math.inf, pytest.approx(9.0 - 0.25 - 1.0))
    turning = check_path(np.array([0.0, 0.0, -2.0]), 1.0, np.array([[10.0, 0.0]]), BOX, MARGIN_M)
    assert turning.clearance_m == pytest.approx(10.0 - 3.0 * math.hypot(0.4, 0.2))


@pytest.mark.parametrize("far_m", [1.31, 1.29])
def test_the_nearer_of_two_far_things_is_looked_at(far_m):
    check = check_path(FORWARD, 1.0, np.array([[far_m, 0.0], [30.0, 0.0]]), DISC, MARGIN_M)
    assert check.clearance_m == pytest.approx(far_m - 0.25 - 1.0)
    assert (check.free_s < 1.0) is (far_m < 1.3 + 0.02)


def test_a_robot_that_stands_has_its_surroundings_measured():
    check = check_path(np.zeros(3), 1.0, np.array([[0.29, 0.0]]), DISC, MARGIN_M)
    assert (check.free_s, check.clearance_m) == (math.inf, pytest.approx(0.04))


def test_a_disc_that_turns_has_the_way_of_its_rim_to_look_ahead():
    assert RobotFootprint(np.empty((0, 2)), 0.25).reach_m == 0.25
    assert BOX.reach_m == pytest.approx(math.hypot(0.4, 0.2))
    corner = math.atan2(0.2, 0.4)
    ahead = 0.44 * np.array([[math.cos(corner + 0.8), math.sin(corner + 0.8)]])
    check = check_path(np.array([0.0, 0.0, 1.0]), 1.5, ahead, BOX, MARGIN_M)
    assert 0.4 < check.free_s < 0.8


def test_clearance_is_negative_inside_the_robot():
    points = np.array([[0.0, 0.0], [0.15, 0.2], [0.6, 0.8]])
    np.testing.assert_allclose(DISC.clearance(points), [-0.25, 0.0, 0.75])
    np.testing.assert_allclose(BOX.clearance(points), [-0.2, 0.0, math.hypot(0.2, 0.6)], atol=1e-12)


def test_a_point_only_counts_where_the_path_comes_closer():
    twist = np.array([0.0, 0.0, 1.0])
    assert check_path(twist, 1.5, np.array([[0.27, 0.0]]), DISC, MARGIN_M).free_s == math.inf
    assert check_path(FORWARD, 1.0, np.array([[0.27, 0.0]]), DISC, MARGIN_M, min_hits=2).free_s == math.inf


def test_points_are_seen_from_where_the_robot_is():
    points = np.array([[2.0, 0.0], [0.0, 3.0], [1.0, 2.0]])
    pose = np.array([0.5, -0.7, 2.1])
    np.testing.assert_allclose(points_in_frame(pose, points), transform_points(inverse(pose), points), atol=1e-12)


def test_a_small_turn_is_as_good_as_straight():
    straight, bent = arc_pose(FORWARD, 2.0), arc_pose(np.array([1.0, 0.0, 1e-10]), 2.0)
    np.testing.assert_allclose(straight, [2.0, 0.0, 0.0])
    np.testing.assert_allclose(bent, straight, atol=1e-9)
    np.testing.assert_allclose(arc_pose(np.array([0.3, 0.4, 0.0]), 2.0), [0.6, 0.8, 0.0])
    half_turn = arc_pose(np.array([1.0, 0.0, math.pi]), 1.0)
    np.testing.assert_allclose(half_turn, [0.0, 2.0 / math.pi, math.pi], atol=1e-12)


def test_share_of_a_known_path():
    assert allowed_share(0.5, 0.2, 0.3) == 1.0
    assert allowed_share(0.26, 0.5, 0.5) == pytest.approx(0.5 * (math.sqrt(1.0 + 4.0 * 0.52) - 1.0))
    assert allowed_share(0.0, 0.2, 0.3) == 0.0


def test_brakes_take_each_value_from_its_own_parameter():
    config = SupervisorConfig(
        reaction_time_s=0.3, braking_deceleration_mps2=2.0, braking_yaw_deceleration_radps2=5.0, slip=0.2
    )
    assert Brakes.from_config(config) == Brakes(0.3, pytest.approx(1.6), pytest.approx(4.0))


def test_braking_takes_as_long_as_the_slower_of_way_and_turn():
    brakes = Brakes(0.2, 2.0, 4.0)
    assert brakes.braking_s(np.array([3.0, 4.0, 1.0])) == pytest.approx(1.25)
    assert brakes.braking_s(np.array([0.0, 0.0, -8.0])) == pytest.approx(1.0)


@pytest.mark.parametrize("twist", [(1.0, 0.0, 1.0), (0.3, -0.7, 1.1), (-0.5, 0.2, -2.3), (0.4, 0.6, 0.02)])
def test_both_forms_of_the_arc_are_the_curve_that_a_thousand_small_steps_make(twist):
    pose = np.zeros(3)
    for _ in range(1000):
        heading = pose[2] + 0.5e-3 * twist[2]
        cos, sin = math.cos(heading), math.sin(heading)
        pose += 1e-3 * np.array([twist[0] * cos - twist[1] * sin, twist[0] * sin + twist[1] * cos, twist[2]])
    np.testing.assert_allclose(arc_poses(np.array(twist), np.array([1.0]))[0], pose, atol=1e-6)
    np.testing.assert_allclose(arc_pose(np.array(twist), 1.0), pose, atol=1e-6)


def test_gravity_takes_from_the_deceleration_downhill_and_gives_nothing_uphill():
    brakes = Brakes(0.2, 2.0, 4.0, downhill=(0.1, 0.05))
    assert brakes.deceleration(FORWARD) == pytest.approx(2.0 - 0.981)
    assert brakes.deceleration(-FORWARD) == 2.0 and brakes.deceleration(np.zeros(3)) == 2.0
    assert brakes.deceleration(np.array([0.0, 3.0, 0.0])) == pytest.approx(2.0 - 0.4905)
    assert brakes.braking_s(FORWARD) == pytest.approx(0.5 / (2.0 - 0.981))
    steep = Brakes(0.2, 2.0, 4.0, downhill=(0.17, 0.0))
    assert steep.deceleration(FORWARD) == pytest.approx(0.4), "bounded"
    assert "9.8 degrees take 1.67 of 2.00" in steep.slope_problem(FORWARD)
    assert not brakes.slope_problem(FORWARD) and not steep.slope_problem(-FORWARD)


@pytest.mark.parametrize(
    ("twist", "leaves"),
    [
        ((1.5, 0.0, 0.0), False),
        ((0.5, 0.0, 0.05), False),
        ((1.5, 0.0, 1.0), True),
        ((0.0, 0.0, 2.0), False),
        ((0.6, 0.6, 0.0), True),
    ],
)
def test_only_a_turn_that_leads_away_from_the_arc_has_neighbours(twist, leaves):
    brakes = Brakes.from_config(SupervisorConfig())
    assert leaves_arc(np.array(twist), brakes, DISC) is leaves
    assert leaves_arc(np.array((0.0, 0.0, 2.0)), brakes, BOX), "a box sweeps another place"


@pytest.mark.parametrize("footprint", [DISC, BOX])
@pytest.mark.parametrize("twist", [(1.5, 0.0, 1.0), (-0.5, 0.0, 1.5), (0.8, 0.5, -1.0)])
def test_axes_that_brake_by_themselves_end_where_small_steps_lead(twist, footprint):
    brakes = Brakes.from_config(SupervisorConfig())
    beside = beside_arc(np.array(twist), 0.2, brakes, footprint)
    end_s = 0.2 + brakes.braking_s(np.array(twist))
    assert len(beside.poses) == len(beside.times_s) and beside.times_s[-1] == pytest.approx(end_s)
    begin = arc_pose(np.array(twist), 0.2)
    ways = [(0.9, 0.9, 999.0), (0.9, 0.9, 2.7)] + [(999.0, 999.0, 2.7)] * bool(len(footprint.outline))
    if twist[1]:
        together = 0.9 * np.abs(twist[:2]) / math.hypot(*twist[:2])
        ways += [(*together, 999.0), (*together, 2.7)]
    begins = np.flatnonzero((np.abs(beside.poses - begin) < 1e-9).all(axis=1))
    assert len(begins) == len(ways) and beside.times_s[begins] == pytest.approx(0.2)
    ends = beside.poses[beside.times_s == beside.times_s[-1]]
    for decelerations in ways:
        end = braking_way(twist, np.array(decelerations))[-1]
        assert np.abs(ends - end).max(axis=1).min() < 5e-3


def braking_way(twist, decelerations):
    """Return the poses (n, 3) of a base whose axes brake evenly, each by itself, after a reaction time of 0.2 s."""
    now, poses = np.array(twist), [arc_pose(np.array(twist), 0.2)]
    while now.any():
        now = np.sign(now) * np.maximum(np.abs(now) - 0.001 * decelerations, 0.0)
        poses.append(compose(poses[-1], arc_pose(now, 0.001)))
    return np.array(poses)


@pytest.mark.parametrize(
    ("twist", "is_car"),
    [((2.0, 0.0, 1.2), True), ((-1.5, 0.0, 0.9), True), ((2.0, 0.0, -1.2), False), ((1.2, 0.6, -1.0), False)],
)
def test_the_fan_holds_each_way_whose_turn_ends_sooner_and_nothing_beside(twist, is_car):
    brakes = Brakes(reaction_s=0.2, deceleration_mps2=0.5, yaw_deceleration_radps2=0.8)
    slim = RobotFootprint(np.empty((0, 2)), 0.1)
    fan = beside_arc(np.array(twist), 0.2, brakes, slim, is_car=is_car).fans[0]
    speed_mps, rate_radps = math.hypot(*twist[:2]), abs(twist[2])
    longest_s = speed_mps / 0.5 if is_car else rate_radps / 0.8
    for share in (0.05, 0.2, 0.5, 0.9):
        way = braking_way(twist, np.array((0.5, 0.5, rate_radps / (share * longest_s))))
        places = way[len(way) // 20 :: len(way) // 20]
        assert np.isfinite(fan.distances_m(places[:, :2], 0.05)).all(), share
        turn = fan.side * np.array((-math.sin(fan.begin[2]), math.cos(fan.begin[2])))
        assert np.isinf(fan.distances_m(fan.begin[:2] - places[:, :1] ** 2 * turn - 1e-6 * turn, 0.05)).all()
    assert np.isinf(fan.distances_m(fan.begin[:2] + 1.2 * (way[-1:, :2] - fan.begin[:2]), 0.05)).all()
