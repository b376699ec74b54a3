"""What the gate lets pass: speed for the way to stop, never more, and each hard check at its own bound."""

import math

import numpy as np
import pytest

from edge_worldmodel.core.geometry import compose
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import FaultKind
from edge_worldmodel.core.safety.limits import REST, Motion
from edge_worldmodel.core.safety.motion.braking import (
    Brakes,
    RobotFootprint,
    allowed_share,
    arc_pose,
    check_path,
    points_in_frames,
)
from edge_worldmodel.core.safety.motion.path_gate import ObstaclePoints, PathGate

NOTHING = np.empty((0, 2))
AGILE = {
    "max_acceleration_mps2": 20.0,
    "max_jerk_mps3": 500.0,
    "max_yaw_acceleration_radps2": 50.0,
    "max_yaw_jerk_radps3": 1000.0,
}
"""Limits that hide nothing: within a step of a second every twist is reached to 0.5 %."""
FENCE = (-9.0, -9.0, 2.0, -9.0, 2.0, 9.0, -9.0, 9.0)
STOP_M = 0.2 + 1.0 / (2.0 * 0.9)
"""Reaction and braking from 1 m/s, with the default slip."""


def decide(planned, *points, imagined=(), has_seen=None, measured=(0.0, 0.0, 0.0), motion=REST, pose=None, **config):
    gate = PathGate(SupervisorConfig(**{**AGILE, **config}))
    seen = np.array(points, dtype=float).reshape(-1, 2)
    look = ObstaclePoints(seen, np.array(imagined, dtype=float).reshape(-1, 2), has_seen)
    pose = None if pose is None else np.array(pose, dtype=float)
    return gate.decide(np.array(planned, dtype=float), np.array(measured, dtype=float), motion, look, pose, 1.0)


def test_an_open_path_lets_everything_pass():
    decision = decide((1.0, 0.0, 0.5))
    np.testing.assert_allclose(decision.motion.twist, [1.0, 0.0, 0.5], rtol=5e-3)
    assert decision.fault is None and not decision.slowed and decision.limits == ()
    assert decision.clearance_m == math.inf


@pytest.mark.parametrize("wall_m", [0.7, 0.9, 1.1, 1.3])
def test_speed_is_what_stops_gently_before_the_wall_and_no_less(wall_m):
    config, wall, twist = SupervisorConfig(), np.array([[wall_m, 0.0]]), np.array([1.0, 0.0, 0.0])
    brakes, robot = Brakes.from_config(config), RobotFootprint(NOTHING, 0.25)
    early_s = 0.2 + 0.3
    free_s = check_path(twist, early_s + brakes.braking_s(twist), wall, robot, 0.05 + 0.03).free_s
    decision = decide(twist, wall)
    assert decision.fault is None and decision.slowed and decision.limits == ("braking_path",)
    share = allowed_share(free_s, early_s, brakes.braking_s(twist))
    assert decision.motion.twist[0] == pytest.approx(share, rel=5e-3)
    assert decision.clearance_m > 0.05


def test_an_arc_is_kept_when_it_is_slowed():
    decision = decide((1.0, 0.0, 0.4), (1.0, 0.2))
    assert decision.limits == ("braking_path",)
    assert decision.motion.twist[2] / decision.motion.twist[0] == pytest.approx(0.4, rel=5e-3)
    assert decision.motion.twist[0] < 0.9


@pytest.mark.parametrize("speed_mps", [0.02, -0.3, 0.5])
def test_a_car_is_not_steered_tighter_than_its_wheels_allow(speed_mps):
    decision = decide((speed_mps, 0.0, 1.5), max_curvature_radpm=1.0)
    np.testing.assert_allclose(decision.motion.twist, [speed_mps, 0.0, abs(speed_mps)], rtol=5e-3)


def test_slower_than_a_twentieth_is_a_stop():
    decision = decide((1.0, 0.0, 0.0), (0.34, 0.0))
    assert decision.fault is not None and decision.fault.kind is FaultKind.OBSTACLE
    assert decision.fault.text == "an obstacle is in the braking path"
    assert not decision.motion.twist.any() and not decision.slowed and decision.limits == ()


@pytest.mark.parametrize(("y_m", "blocks"), [(0.325, True), (-0.325, True), (0.36, False), (-0.36, False)])
def test_margin_and_ranging_error_are_both_kept(y_m, blocks):
    assert ("braking_path" in decide((1.0, 0.0, 0.0), (0.9, y_m)).limits) is blocks


def test_an_outline_counts_instead_of_the_circle():
    box = (0.6, 0.2, -0.2, 0.2, -0.2, -0.2, 0.6, -0.2)
    assert decide((0.5, 0.0, 0.0), (1.0, 0.0)).limits == ()
    assert decide((0.5, 0.0, 0.0), (1.0, 0.0), footprint_m=box).limits == ("braking_path",)


def test_lone_points_may_be_noise_where_that_is_configured():
    assert decide((1.0, 0.0, 0.0), (0.34, 0.0), min_hits=2).fault is None
    assert decide((1.0, 0.0, 0.0), (0.34, 0.0), (0.34, 0.01), min_hits=2).fault is not None


def test_without_the_way_to_slow_down_gently_it_stops():
    fast = Motion(np.array([1.0, 0.0, 0.0]), np.zeros(3))
    gate = PathGate(SupervisorConfig())
    look = ObstaclePoints(np.array([[0.9, 0.0]]), NOTHING, None)
    decision = gate.decide(fast.twist, fast.twist, fast, look, None, 0.02)
    assert decision.fault is not None and decision.fault.kind is FaultKind.OBSTACLE
    assert "too close to slow down gently" in decision.fault.text
    assert not decision.motion.twist.any() and decision.clearance_m < 0.1


@pytest.mark.parametrize(
    ("planned", "names"),
    [((1.75, 0, 0), ("velocity",)), ((1.7, 0, 0), ()), ((0, 0, 2.7), ("velocity",)), ((0, 0, 2.5), ())],
)
def test_only_what_is_more_than_a_correction_over_the_limit_is_slowed(planned, names):
    decision = decide(planned)
    assert decision.limits == names and decision.slowed is bool(names)
    np.testing.assert_allclose(decision.motion.twist, np.minimum(planned, [1.5, 0.0, 2.0]), atol=0.02)


def test_the_names_of_what_shaped_the_change_come_last_and_do_not_count_as_slower():
    gate, look = PathGate(SupervisorConfig()), ObstaclePoints(NOTHING, NOTHING, None)
    shaped = gate.decide(np.array([1.0, 0.0, 0.0]), np.zeros(3), REST, look, None, 0.02)
    assert shaped.limits == ("jerk",) and not shaped.slowed
    both = gate.decide(np.array([5.0, 0.0, 0.0]), np.zeros(3), REST, look, None, 0.02)
    assert both.limits == ("velocity", "jerk") and both.slowed


def only_right_of(x):
    return lambda places: places[:, 0] > x


@pytest.mark.parametrize(
    ("planned", "has_seen", "passed"),
    [
        ((0.6, 0.0, 0.3), only_right_of(9.0), (0.15, 0.0, 0.075)),
        ((0.1, 0.0, 0.1), only_right_of(9.0), (0.1, 0.0, 0.1)),
        ((0.0, 0.0, 1.0), only_right_of(9.0), (0.0, 0.0, 1.0)),
        ((0.6, 0.0, 0.3), only_right_of(-0.1), (0.6, 0.0, 0.3)),
        ((-0.5, 0.0, 0.0), only_right_of(-0.1), (-0.15, 0.0, 0.0)),
        ((0.6, 0.0, 0.3), None, (0.6, 0.0, 0.3)),
    ],
)
def test_where_no_sensor_has_looked_it_creeps(planned, has_seen, passed):
    decision = decide(planned, has_seen=has_seen)
    np.testing.assert_allclose(decision.motion.twist, passed, rtol=5e-3, atol=1e-3)
    assert decision.slowed is (passed != planned) and ("unseen" in decision.limits) is (passed != planned)


def test_the_tip_of_a_long_tail_creeps_where_nobody_looks():
    tail = (0.2, 0.2, -1.0, 0.2, -1.0, -0.2, 0.2, -0.2)
    reach_m = math.hypot(1.0, 0.2)
    decision = decide((0.0, 0.0, 1.5), has_seen=only_right_of(0.0), footprint_m=tail)
    assert decision.limits == ("unseen",)
    assert decision.motion.twist[2] * reach_m == pytest.approx(0.15, rel=5e-3)
    assert decide((0.0, 0.0, 1.5), has_seen=only_right_of(-9.0), footprint_m=tail).limits == ()


def test_it_stops_before_what_nobody_has_seen_rather_than_creep_up_to_it():
    far = lambda places: places[:, 0] < 0.6  # noqa: E731
    decision = decide((1.0, 0.0, 0.0), has_seen=far)
    brakes = Brakes.from_config(SupervisorConfig())
    v = decision.motion.twist[0]
    assert decision.limits == ("unseen",) and 0.15 < v < 0.6
    assert v * (brakes.reaction_s + brakes.braking_s(decision.motion.twist)) <= 0.6 - 0.25 + 0.02


@pytest.mark.parametrize(
    ("measured", "stops"),
    [
        ((0.07, 0.0, 0.0), False),
        ((0.09, 0.0, 0.0), True),
        ((0.0, 0.07, 0.0), False),
        ((0.0, 0.09, 0.0), True),
        ((0.0, 0.0, 0.9), False),
    ],
)
def test_a_robot_that_moves_against_its_command_stops_where_something_is_near(measured, stops):
    decision = decide((0.0, 0.0, 0.0), (0.26, 0.0), (0.0, 0.26), measured=measured)
    assert (decision.fault is not None) is stops
    assert not stops or ("measured motion" in decision.fault.text and decision.fault.kind is FaultKind.OBSTACLE)
    assert decide((0.0, 0.0, 0.0), measured=measured).fault is None


@pytest.mark.parametrize(("rate", "stops"), [(0.2, False), (0.31, True), (-0.31, True)])
def test_a_box_that_turns_against_its_command_stops_too(rate, stops):
    box = (0.4, 0.2, -0.2, 0.2, -0.2, -0.2, 0.4, -0.2)
    beside = ((0.3, 0.21), (0.3, -0.21))
    assert (decide((0.0, 0.0, 0.0), *beside, measured=(0.0, 0.0, rate), footprint_m=box).fault is not None) is stops


def test_a_measured_curve_into_an_obstacle_stops_at_any_speed():
    beside = (0.35, 0.36)
    assert decide((0.5, 0.0, 0.0), beside, measured=(0.5, 0.0, 0.0)).fault is None
    assert decide((0.5, 0.0, 0.0), beside, measured=(0.5, 0.0, 1.6)).fault is not None


def test_the_measured_braking_path_stays_inside_the_fence_too():
    near = {"pose": (1.3, 0.0, 0.0), "geofence_m": FENCE}
    assert decide((0.2, 0.0, 0.0), measured=(0.25, 0.0, 0.0), **near).fault is None
    assert decide((0.2, 0.0, 0.0), measured=(0.9, 0.0, 0.0), **near).fault.kind is FaultKind.GEOFENCE_AHEAD


LEG = np.array([[0.05, 0.0], [0.0, 0.05], [-0.05, 0.0], [0.0, -0.05]])


def stop_dead(base, twist, config, brakes):
    """Poses of a base that begins to brake after its reaction time, in one of the ways in which bases brake."""
    yaw_factor, way_factor, kept = {
        "arc": (1.0, 1.0, True), "apart": (1.0, 1.0, False), "yaw first": (20.0, 1.0, False),
        "forward first": (1.0, 20.0, False), "yaw sooner": (2.5, 1.0, False), "forward sooner": (1.0, 2.5, False),
    }[base]  # fmt: skip
    pose, now, poses = np.zeros(3), np.array(twist), []
    longest_s = 2.0 * brakes.braking_s(now)
    for step in range(round((config.reaction_time_s + longest_s) / 0.01)):
        since_s = 0.01 * step - config.reaction_time_s
        if since_s >= 0.0 and kept:
            now = np.array(twist) * max(1.0 - since_s / longest_s, 0.0)
        elif since_s >= 0.0:
            now[0] = np.sign(now[0]) * max(abs(now[0]) - 0.01 * way_factor * brakes.deceleration_mps2, 0.0)
            now[2] = np.sign(now[2]) * max(abs(now[2]) - 0.01 * yaw_factor * brakes.yaw_deceleration_radps2, 0.0)
        pose = compose(pose, arc_pose(now, 0.01))
        poses.append(pose)
    return np.array(poses)


@pytest.mark.parametrize("base", ["arc", "apart", "yaw first", "forward first", "yaw sooner", "forward sooner"])
@pytest.mark.parametrize("outline", [(), (0.4, 0.2, -0.3, 0.2, -0.3, -0.2, 0.4, -0.2)])
def test_what_passes_stops_without_contact_however_the_base_brakes(base, outline):
    config, rng = SupervisorConfig(**AGILE, footprint_m=outline), np.random.default_rng(7)
    gate, brakes = PathGate(config), Brakes.from_config(config)
    contacts = passed = 0
    for _ in range(100):
        twist = rng.uniform((-0.5, 0.0, -1.5), (1.5, 0.0, 1.5))
        post = rng.uniform((0.0, -1.0), (2.0, 1.0)) * (math.copysign(1.0, twist[0]), 1.0) + LEG
        if (gate.footprint.clearance(post) < 0.1).any():
            continue
        motion = Motion(twist, np.zeros(3))
        decision = gate.decide(twist, twist, motion, ObstaclePoints(post, NOTHING, None), None, 0.02)
        if decision.fault is None:
            moving = decision.motion.twist
            local = points_in_frames(stop_dead(base, moving, config, brakes), post)
            contacts += bool((gate.footprint.clearance(local) < 0.0).any())
            passed += 1
    assert contacts == 0 and passed > 30


def test_a_planner_that_dies_in_a_curve_causes_no_contact_on_a_base_that_stops_turning_first():
    post = np.array([1.75, 0.35]) + LEG
    config = SupervisorConfig()
    gate, fast = PathGate(config), Motion(np.array([1.5, 0.0, 1.0]), np.zeros(3))
    arc = stop_dead("arc", fast.twist, config, gate.brakes)
    tangent = stop_dead("yaw first", fast.twist, config, gate.brakes)
    assert (gate.footprint.clearance(points_in_frames(arc, post)) > 0.09).all()
    assert (gate.footprint.clearance(points_in_frames(tangent, post)) < 0.0).any()
    decision = gate.decide(fast.twist, fast.twist, fast, ObstaclePoints(post, NOTHING, None), None, 0.02)
    assert decision.fault is not None or decision.motion.twist[0] < 1.45


def test_a_car_may_turn_its_wheels_straight_ahead_while_it_brakes_but_does_not_turn_on_the_spot():
    outside = tuple(map(tuple, np.array([1.75, 0.35]) + LEG))
    assert "braking_path" in decide((1.5, 0.0, 1.0), *outside, max_curvature_radpm=2.0).limits
    assert "braking_path" in decide((1.5, 0.0, 1.0), *outside).limits
    inside = (0.3, 0.7)
    long = {"footprint_m": (0.7, 0.2, -0.2, 0.2, -0.2, -0.2, 0.7, -0.2), "braking_yaw_deceleration_radps2": 1.0}
    assert decide((0.5, 0.0, 1.0), inside, max_curvature_radpm=2.0, **long).limits == ()
    assert decide((0.5, 0.0, 1.0), inside, **long).limits != ()


def downhill(angle_deg, planned, *points, measured=(0.0, 0.0, 0.0), **config):
    gate = PathGate(SupervisorConfig(**{**AGILE, **config}))
    look = ObstaclePoints(np.array(points, dtype=float).reshape(-1, 2), NOTHING, None)
    slope = (math.sin(math.radians(angle_deg)), 0.0)
    return gate.decide(np.array(planned, dtype=float), np.array(measured), REST, look, None, 1.0, slope)


def test_downhill_the_braking_path_is_longer():
    level, down, up = (downhill(angle, (1.0, 0.0, 0.0), (1.0, 0.0)) for angle in (0.0, 3.0, -3.0))
    assert down.motion.twist[0] < 0.85 * level.motion.twist[0]
    assert up.motion.twist[0] == level.motion.twist[0], "uphill is not counted on"
    back = downhill(-3.0, (-0.5, 0.0, 0.0), (-0.6, 0.0))
    assert back.motion.twist[0] > 0.9 * downhill(0.0, (-0.5, 0.0, 0.0), (-0.6, 0.0)).motion.twist[0]


def test_a_robot_that_brakes_down_a_slope_as_expected_stops_in_time():
    for angle in (2.0, 4.0):
        v = downhill(angle, (1.0, 0.0, 0.0), (1.0, 0.0)).motion.twist[0]
        left_mps2 = 0.9 - 9.81 * math.sin(math.radians(angle))
        assert v * 0.2 + v * v / (2.0 * left_mps2) <= 1.0 - 0.25 - 0.08


def test_a_slope_on_which_the_robot_could_not_brake_is_a_fault_in_words():
    decision = downhill(8.0, (0.5, 0.0, 0.0))
    assert decision.fault.kind is FaultKind.SLOPE and "8.0 degrees" in decision.fault.text
    assert not decision.motion.twist.any()
    assert downhill(8.0, (-0.5, 0.0, 0.0)).fault is None, "uphill it may drive"
    assert downhill(8.0, (0.0, 0.0, 0.5)).fault is None, "and turn"
    assert downhill(8.0, (-0.5, 0.0, 0.0), measured=(0.3, 0.0, 0.0)).fault.kind is FaultKind.SLOPE
    assert downhill(8.0, (-0.5, 0.0, 0.0), measured=(0.05, 0.0, 0.0)).fault is None
    assert downhill(8.0, (0.5, 0.0, 0.0), braking_deceleration_mps2=3.0).fault is None


def test_a_command_that_still_points_down_a_slope_on_which_the_robot_cannot_brake_does_not_pass():
    gate, before = PathGate(SupervisorConfig()), Motion(np.array((-0.3, 0.0, 0.0)), np.zeros(3))
    look, slope = ObstaclePoints(NOTHING, NOTHING, None), (-math.sin(math.radians(8.0)), 0.0)
    decision = gate.decide(np.array((0.2, 0.0, 0.0)), np.zeros(3), before, look, None, 0.02, slope)
    assert decision.fault is not None and decision.fault.kind is FaultKind.SLOPE


@pytest.mark.parametrize("sense", [1.0, -1.0])
def test_a_turn_that_will_lead_downhill_is_braked_as_downhill(sense):
    def speed_mps(rate, across):
        gate, across = PathGate(SupervisorConfig(**AGILE)), math.sin(math.radians(across))
        look = ObstaclePoints(LEG + (1.0, 0.0), NOTHING, None)
        return gate.decide(np.array((0.8, 0.0, rate)), np.zeros(3), REST, look, None, 1.0, (0.0, across)).motion.twist[
            0
        ]

    level = speed_mps(sense, 0.0)
    assert speed_mps(sense, 4.0 * sense) < 0.95 * level
    assert speed_mps(sense, -4.0 * sense) == level, "it turns uphill"
    brakes = Brakes(0.2, 1.0, 3.0, (0.0, 0.1 * sense))
    assert brakes.deceleration(np.array((1.0, 0.0, 0.0))) == pytest.approx(1.0)
    assert brakes.deceleration(np.array((1.0, 0.0, 9.0 * sense))) == pytest.approx(1.0 - 0.981, abs=0.19)
    assert brakes.deceleration(np.array((0.0, 0.0, sense))) == 1.0


def test_a_robot_as_fast_as_commanded_is_checked_once():
    assert decide((0.5, 0.0, 0.0), (1.2, 0.0), measured=(0.55, 0.0, 0.0)).fault is None
    assert decide((0.5, 0.0, 0.0), (1.2, 0.0), measured=(1.4, 0.0, 0.0)).fault is not None


@pytest.mark.parametrize("short_m", [0.02, -0.02])
@pytest.mark.parametrize("heading", [0.0, math.pi / 4])
def test_the_footprint_must_stay_inside_the_fence_until_it_stops(short_m, heading):
    x = 2.0 - 0.25 - STOP_M * math.cos(heading) - short_m
    decision = decide((1.0, 0.0, 0.0), pose=(x, 0.0, heading), geofence_m=FENCE)
    if short_m > 0.0:
        assert decision.fault is None
    else:
        assert decision.fault == (FaultKind.GEOFENCE_AHEAD, "the braking path leaves the geofence")
        assert decision.clearance_m == math.inf and not decision.motion.twist.any()


def test_a_robot_that_rests_inside_the_fence_may_stand_there():
    assert decide((0.0, 0.0, 0.0), pose=(1.74, 0.0, 0.0), geofence_m=FENCE).fault is None


@pytest.mark.parametrize(("rate", "stops"), [(-0.3, False), (-1.8, True)])
def test_a_corner_that_swings_over_the_fence_stops_the_turn(rate, stops):
    box = (0.4, 0.2, -0.2, 0.2, -0.2, -0.2, 0.4, -0.2)
    beside = (1.75, 0.0, math.pi / 2)
    assert (decide((0.0, 0.0, rate), pose=beside, footprint_m=box, geofence_m=FENCE).fault is not None) is stops


def test_a_braking_path_that_leaves_the_fence_and_comes_back_is_refused():
    bay = (-1.0, -1.0, 3.0, -1.0, 3.0, 1.0, 0.9, 1.0, 0.9, -0.2, 0.8, -0.2, 0.8, 1.0, -1.0, 1.0)
    decision = decide((1.5, 0.0, 0.0), pose=(0.3, 0.0, 0.0), geofence_m=bay, reaction_time_s=0.5)
    assert decision.fault == (FaultKind.GEOFENCE_AHEAD, "the braking path leaves the geofence")


def test_what_is_only_imagined_slows_down_to_three_tenths_and_no_further():
    touching = decide((1.0, 0.0, 0.0), imagined=[(0.3, 0.0)])
    assert touching.fault is None and touching.slowed and touching.limits == ("imagined",)
    assert touching.motion.twist[0] == pytest.approx(0.3, rel=5e-3)
    ahead = decide((1.0, 0.0, 0.0), imagined=[(1.0, 0.0)])
    assert ahead.limits == ("imagined",) and 0.4 < ahead.motion.twist[0] < 0.9
    assert ahead.motion.twist[0] == pytest.approx(decide((1.0, 0.0, 0.0), (1.0, 0.0)).motion.twist[0], rel=1e-6)


@pytest.mark.parametrize(("seen_y_m", "counts"), [(0.51, True), (0.49, False)])
def test_what_is_imagined_near_something_seen_is_that_thing(seen_y_m, counts):
    decision = decide((1.0, 0.0, 0.0), (0.6, seen_y_m), imagined=[(0.6, 0.2)])
    assert ("imagined" in decision.limits) is counts and decision.slowed is counts


def test_near_any_of_the_things_seen_is_enough():
    decision = decide((1.0, 0.0, 0.0), (3.0, 3.0), (0.6, 0.45), imagined=[(0.6, 0.2)])
    assert decision.limits == ()
    decision = decide((1.0, 0.0, 0.0), (0.4, 0.45), imagined=[(0.6, 0.2)])
    assert decision.limits == ("imagined",), "0.2 m in x and 0.25 m in y are more than 0.3 m away"


def test_seen_and_imagined_the_stricter_one_counts():
    decision = decide((1.0, 0.0, 0.0), (1.25, 0.0), imagined=[(0.7, 0.0)])
    alone = decide((1.0, 0.0, 0.0), imagined=[(0.7, 0.0)])
    assert decision.limits == ("braking_path", "imagined")
    assert decision.motion.twist[0] == pytest.approx(alone.motion.twist[0], rel=5e-3)
    nearer = decide((1.0, 0.0, 0.0), (0.7, 0.0), imagined=[(1.25, 0.0)])
    assert nearer.limits == ("braking_path",)
    assert nearer.motion.twist[0] == pytest.approx(alone.motion.twist[0], rel=5e-3)
