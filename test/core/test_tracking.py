"""Following a plan: the plan's own twist, a bounded correction, and rest where the plan rests."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.braking import arc
from edge_worldmodel.core.geometry import compose
from edge_worldmodel.core.supervisor_config import SupervisorConfig
from edge_worldmodel.core.tracking import follow
from edge_worldmodel.core.types import Trajectory

CASES = int(os.environ.get("EDGE_WORLDMODEL_CASES", "300"))
CONFIG = SupervisorConfig(actuation_delay_s=0.0)
HOLONOMIC = SupervisorConfig(actuation_delay_s=0.0, max_lateral_mps=1.0)
DT_S = 0.4


def circle(twist, steps=9):
    times_s = DT_S * np.arange(steps)
    return Trajectory(DT_S, arc(np.array(twist), times_s), np.tile(np.array(twist), (steps, 1)))


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
        pose = compose(pose, arc(twist, np.array([0.02]))[0])
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
