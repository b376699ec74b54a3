"""What is imagined may slow the robot down, never hurry it and never stop it."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_worldmodel.core.geometry import transform_points
from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.inputs.imagined_obstacles import ImaginedObstacles
from edge_worldmodel.core.safety.limits import REST
from edge_worldmodel.core.safety.motion.path_gate import ObstaclePoints, PathGate
from edge_worldmodel.core.safety.states import PASSING, State

from ..supervised_robot import START_NS, SupervisedRobot, driving

CASES = int(os.environ.get("EDGE_WORLDMODEL_CASES", "300"))
NOTHING = np.empty((0, 2))
points = lambda most: arrays(float, st.tuples(st.integers(0, most), st.just(2)), elements=st.floats(-6, 6))  # noqa: E731
SHAPE = (EGO_GRID.cells, EGO_GRID.cells)


def grid(*where) -> np.ndarray:
    """An imagined grid with something at points (x, y) of its ego frame."""
    cells = np.zeros(SHAPE, np.float32)
    for x, y in where:
        ix, iy = EGO_GRID.world_to_cell(np.array([x, y]))
        cells[iy, ix] = 0.9
    return cells


def imagining(robot: SupervisedRobot, *where):
    """Let the world model expect something at points before the robot, at every tick."""

    def look(odometry):
        robot.supervisor.inputs.imagined.receive(robot.ros_ns + 400_000_000, robot.pose, grid(*where))
        return odometry

    robot.before["odometry"] = look
    return robot


@settings(max_examples=CASES, deadline=None)
@given(
    twist=arrays(float, 3, elements=st.floats(-1.5, 1.5)),
    seen=points(20),
    imagined=points(20),
    measured=arrays(float, 3, elements=st.floats(-1.5, 1.5)),
)
def test_it_never_makes_the_robot_faster_nor_takes_a_fault_away(twist, seen, imagined, measured):
    gate = PathGate(SupervisorConfig(max_lateral_mps=1.0))
    without = gate.decide(twist, measured, REST, ObstaclePoints(seen, NOTHING, None), None, 0.02)
    with_it = gate.decide(twist, measured, REST, ObstaclePoints(seen, imagined, None), None, 0.02)
    assert np.hypot(*with_it.motion.twist[:2]) <= np.hypot(*without.motion.twist[:2]) + 1e-9
    assert abs(with_it.motion.twist[2]) <= abs(without.motion.twist[2]) + 1e-9
    if without.fault is not None:
        assert with_it.fault is not None


def test_a_person_imagined_on_the_path_slows_down_and_does_not_stop():
    robot = imagining(driving(), (0.55, 0.0))
    verdict = robot.run(2.0)[-1]
    assert verdict.state == State.LIMITING and "imagined" in verdict.limits
    assert 0.3 * 0.5 - 0.01 <= verdict.command[0] < 0.45


def test_what_is_also_seen_or_beside_the_path_changes_nothing():
    wall = [(2.5, y) for y in np.linspace(-0.4, 0.4, 9)]
    plain, both = driving(obstacles=wall), imagining(driving(obstacles=wall), (2.0, 3.0))
    plain.run(1.0), both.run(1.0)
    np.testing.assert_array_equal(plain.pose, both.pose)
    gate, seen = PathGate(SupervisorConfig()), np.array([[0.6, 0.0]])
    look = ObstaclePoints(seen, np.array([[0.5, 0.1]]), None)
    decision = gate.decide(np.array([0.4, 0.0, 0.0]), np.zeros(3), REST, look, None, 0.02)
    assert "braking_path" in decision.limits and "imagined" not in decision.limits


def test_points_are_where_the_grid_says_seen_from_the_robot():
    imagined, ego, robot = ImaginedObstacles(0.7), np.array([1.0, 2.0, math.pi / 2]), np.array([1.0, 3.0, math.pi])
    imagined.receive(START_NS, ego, grid((2.1, 0.1)))
    (found,) = imagined.points(START_NS, robot)
    np.testing.assert_allclose(transform_points(robot, found), transform_points(ego, np.array([2.1, 0.1])), atol=0.02)


@pytest.mark.parametrize(
    ("late_s", "pose", "cells"),
    [
        (0.5, np.zeros(3), grid((1, 0))),
        (-1.1, np.zeros(3), grid((1, 0))),
        (0.0, None, grid((1, 0))),
        (0.0, np.zeros(3), np.full(SHAPE, np.nan)),
        (0.0, np.zeros(3), np.full(SHAPE, 0.69)),
    ],
)
def test_late_early_doubtful_or_without_a_place_it_says_nothing(late_s, pose, cells):
    imagined = ImaginedObstacles(0.7)
    imagined.receive(START_NS, np.zeros(3), cells)
    assert not len(imagined.points(START_NS + round(late_s * 1e9), pose))
    assert not imagined.rejected


@pytest.mark.parametrize("cells", [np.zeros((3, 3)), np.zeros((0, 64))])
def test_damaged_pictures_are_counted_and_drop_the_last_one(cells):
    imagined = ImaginedObstacles(0.7)
    imagined.receive(START_NS, np.zeros(3), grid((1, 0)))
    imagined.receive(START_NS, np.zeros(3), cells)
    assert imagined.rejected["bad"] == 1 and not len(imagined.points(START_NS, np.zeros(3)))
    imagined.receive(START_NS, np.array([math.nan, 0, 0]), grid((1, 0)))
    assert imagined.rejected["bad"] == 2 and not len(imagined.points(START_NS, np.zeros(3)))


def test_one_means_never():
    imagined = ImaginedObstacles(1.0)
    imagined.receive(START_NS, np.zeros(3), np.ones(SHAPE))
    assert not len(imagined.points(START_NS, np.zeros(3)))


def test_it_is_no_condition_for_driving():
    robot = SupervisedRobot()
    robot.run(1.0)
    assert robot.supervisor.state in PASSING and not robot.supervisor.inputs.imagined.rejected


@pytest.mark.parametrize(
    ("late_ns", "usable"), [(400_000_000, True), (400_000_001, False), (-1_000_000_000, True), (-1_000_000_001, False)]
)
def test_a_picture_means_something_around_its_time(late_ns, usable):
    imagined = ImaginedObstacles(0.7)
    imagined.receive(START_NS, np.zeros(3), grid((1, 0)))
    assert len(imagined.points(START_NS + late_ns, np.zeros(3))) == usable


def test_from_its_threshold_on_a_cell_counts():
    cells = grid((1, 0))
    imagined = ImaginedObstacles(0.5)
    for probability, counts in ((0.5, True), (0.499, False)):
        imagined.receive(START_NS, np.array([1e6, 0.0, 0.0]), np.where(cells > 0, np.float32(probability), cells))
        found = imagined.points(START_NS, np.array([1e6, 0.0, 0.0]))
        assert found.shape == (int(counts), 2) and not imagined.rejected


def test_before_the_first_picture_there_is_nothing_of_the_right_shape():
    imagined = ImaginedObstacles(0.7)
    assert imagined.points(0, np.zeros(3)).shape == (0, 2)
    assert imagined.points(START_NS, None).shape == (0, 2)
    imagined.receive(START_NS, np.zeros(3), np.zeros((3, 3)))
    imagined.receive(START_NS, np.array([1.001e6, 0.0, 0.0]), grid((1, 0)))
    assert imagined.points(0, np.zeros(3)).shape == (0, 2) and imagined.rejected == {"bad": 2}
