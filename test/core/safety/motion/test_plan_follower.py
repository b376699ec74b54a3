"""Following a plan: the plan's own twist, a bounded correction, and rest where the plan rests."""

import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.geometry import compose, relative
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.limits import Motion
from edge_worldmodel.core.safety.motion.braking import arc_poses
from edge_worldmodel.core.safety.motion.plan_follower import follow
from edge_worldmodel.core.safety.states import PASSING
from edge_worldmodel.core.types import Trajectory

from ..supervised_robot import SupervisedRobot

CASES = int(os.environ.get("EDGE_WORLDMODEL_CASES", "300"))
CONFIG = SupervisorConfig(actuation_delay_s=0.0)
HOLONOMIC = SupervisorConfig(actuation_delay_s=0.0, max_lateral_mps=1.0)
DT_S = 0.4


def circle(twist, steps=9):
    times_s = DT_S * np.arange(steps)
    return Trajectory(DT_S, arc_poses(np.array(twist), times_s), np.tile(np.array(twist), (steps, 1)))


def test_on_the_plan_its_own_twist_is_commanded():
    twist, distance_m = follow(circle([0.5, 0.0, 0.0]), 0.6, np.array([0.3, 0.0, 0.0]), CONFIG)
    np.testing.assert_allclose(twist, [0.5, 0.0, 0.0], atol=1e-9)
    assert distance_m == pytest.approx(0.0)


def test_without_a_pose_there_is_no_correction():
    twist, distance_m = follow(circle([0.5, 0.0, 0.2]), 0.6, None, CONFIG)
    np.testing.assert_allclose(twist, [0.5, 0.0, 0.2])
    assert distance_m == 0.0


def test_a_plan_that_rests_is_rest_wherever_the_robot_is():
    twist, distance_m = follow(circle([0.0, 0.0, 0.0]), 0.6, np.array([0.0, -0.5, 1.0]), CONFIG)
    assert not twist.any()
    assert distance_m == pytest.approx(0.5)


@pytest.mark.parametrize("config", [CONFIG, HOLONOMIC])
@pytest.mark.parametrize("start", [(0.0, 0.2, 0.0), (0.0, -0.2, 0.2), (-0.2, 0.0, 0.0), (0.1, 0.1, -0.3)])
def test_the_robot_gets_back_to_the_plan(config, start):
    plan, pose = circle([0.8, 0.0, 0.3], steps=20), np.array(start)
    for tick in range(300):
        twist, distance_m = follow(plan, 0.02 * tick, pose, config)
        pose = compose(pose, arc_poses(twist, np.array([0.02]))[0])
    assert distance_m < 0.05


@settings(max_examples=CASES, deadline=None)
@given(*[st.floats(-5.0, 5.0)] * 3, st.sampled_from([CONFIG, HOLONOMIC]))
def test_the_correction_is_bounded(x_m, y_m, yaw_rad, config):
    plan = circle([0.5, 0.0, 0.1])
    twist, _ = follow(plan, 1.0, np.array([x_m, y_m, yaw_rad]), config)
    correction = twist - [0.5, 0.0, 0.1]
    assert np.hypot(*correction[:2]) <= config.max_correction_mps + 1e-9
    assert abs(correction[2]) <= config.max_correction_radps + 1e-9
    assert config is HOLONOMIC or twist[1] == 0.0


def test_the_twist_is_read_ahead_by_the_actuation_delay():
    twists = np.zeros((3, 3))
    twists[:, 0] = [0.0, 0.4, 0.8]
    plan = Trajectory(DT_S, np.zeros((3, 3)), twists)
    assert follow(plan, 0.2, None, SupervisorConfig(actuation_delay_s=0.2))[0][0] == pytest.approx(0.4)


def standing_off(error, twist=(0.5, 0.0, 0.1), config=CONFIG):
    """The correction for a robot from which the plan is seen at ``error``."""
    plan = Trajectory(DT_S, np.tile(np.array(error, dtype=float), (3, 1)), np.tile(np.array(twist), (3, 1)))
    commanded, distance_m = follow(plan, 0.1, np.zeros(3), config)
    assert distance_m == pytest.approx(np.hypot(*error[:2]))
    return commanded - twist


@pytest.mark.parametrize(
    ("error", "correction"),
    [
        ((0.1, 0.0, 0.0), (0.1, 0.0, 0.0)),
        ((-0.1, 0.0, 0.0), (-0.1, 0.0, 0.0)),
        ((0.0, 0.1, 0.0), (0.0, 0.0, 0.5 * 2.0 * 0.1)),
        ((0.0, 0.0, 0.2), (0.0, 0.0, 1.5 * np.sin(0.2))),
        ((0.0, 0.1, -0.2), (0.0, 0.0, 0.1 - 1.5 * np.sin(0.2))),
    ],
)
def test_wheels_turn_back_to_the_plan(error, correction):
    np.testing.assert_allclose(standing_off(error), correction, atol=1e-9)


def test_wheels_that_reverse_turn_the_other_way():
    np.testing.assert_allclose(standing_off((0.0, 0.1, 0.0), (-0.5, 0.0, 0.1)), [0.0, 0.0, -0.1], atol=1e-9)


@pytest.mark.parametrize("error", [(0.1, 0.05, 0.2), (-0.05, -0.12, -0.3)])
def test_what_can_move_sideways_goes_straight_back(error):
    x, y, yaw = error
    np.testing.assert_allclose(standing_off(error, config=HOLONOMIC), [x, y, 1.5 * np.sin(yaw)], atol=1e-9)
    slow = SupervisorConfig(actuation_delay_s=0.0, max_lateral_mps=0.5)
    np.testing.assert_allclose(standing_off(error, config=slow), [x, y, 1.5 * np.sin(yaw)], atol=1e-9)


def test_a_correction_that_is_too_fast_keeps_its_direction_and_its_turn():
    for factor in (1.0, -1.0):
        corrected = standing_off(factor * np.array([3.0, 4.0, 0.1]), config=HOLONOMIC)
        np.testing.assert_allclose(corrected, factor * np.array([0.12, 0.16, 1.5 * np.sin(0.1)]), atol=1e-9)
        assert standing_off((0.0, 0.0, factor * 1.0))[2] == pytest.approx(factor * 0.6)


def test_a_plan_that_only_turns_is_no_plan_that_rests():
    assert standing_off((0.1, 0.0, 0.0), (0.0, 0.0, 0.01))[0] == pytest.approx(0.1)
    assert standing_off((0.1, 0.0, 0.0), (0.0, 0.0, -0.01))[0] == pytest.approx(0.1)
    assert standing_off((0.1, 0.0, 0.0), (0.0, 0.0, 0.0)).shape == (3,)


@pytest.mark.parametrize("twist", [(0.5, 0.0, 0.0), (1.5, 0.0, 0.3), (-0.4, 0.0, 0.0), (0.0, 0.0, 0.8)])
@pytest.mark.parametrize("start", [(0.0, 0.0, 0.0), (-0.1, 0.02, 0.0)])
@pytest.mark.parametrize("steps", [3, 5])
def test_a_trajectory_shorter_than_its_validity_ends_at_its_last_pose(twist, start, steps):
    robot = SupervisedRobot(SupervisorConfig(plan_max_age_s=3.0), twist=twist)
    whole = circle(twist, steps)
    plan = replace(robot.plan(), trajectory=whole, valid_until_ns=robot.ros_ns + 3_000_000_000)
    robot.before["plan"] = lambda _: plan
    robot.pose, robot.moves = np.array(start), np.array(twist)
    robot.supervisor._motion = Motion(np.array(twist), np.zeros(3))
    verdicts = robot.run(2.9)
    left = relative(robot.pose, whole.poses[-1])
    assert robot.supervisor.state in PASSING
    assert np.abs(verdicts[-1].command).max() < 0.05
    assert np.hypot(*left[:2]) < 0.1 and abs(left[2]) < 0.1


def test_without_a_pose_a_short_trajectory_ends_by_its_time():
    plan = circle([0.5, 0.0, 0.0], 3)
    assert follow(plan, 0.1, None, CONFIG, 3.0)[0][0] == pytest.approx(0.5)
    assert follow(plan, 0.79, None, CONFIG, 3.0)[0][0] < 0.1
    assert not follow(plan, 0.81, None, CONFIG, 3.0)[0].any()
    assert follow(plan, 0.79, None, CONFIG, 0.6)[0][0] == pytest.approx(0.5)


CAR = SupervisorConfig(actuation_delay_s=0.0, max_curvature_radpm=1.0)


@settings(max_examples=CASES, deadline=None)
@given(*[st.floats(-3.0, 3.0)] * 3, st.floats(-1.0, 1.0))
def test_a_car_keeps_its_turning_radius_while_it_catches_up(x_m, y_m, yaw_rad, speed_mps):
    twist, _ = follow(circle([speed_mps, 0.0, 0.5 * speed_mps]), 0.5, np.array([x_m, y_m, yaw_rad]), CAR)
    assert abs(twist[2]) <= 1.0 * abs(twist[0]) + 1e-9


def test_a_car_gets_back_to_its_plan():
    plan, pose = circle([0.8, 0.0, 0.3], steps=20), np.array([0.0, 0.2, 0.2])
    for tick in range(300):
        twist, distance_m = follow(plan, 0.02 * tick, pose, CAR)
        pose = compose(pose, arc_poses(twist, np.array([0.02]))[0])
    assert distance_m < 0.05
