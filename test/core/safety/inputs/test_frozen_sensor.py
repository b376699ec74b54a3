"""Readings that are exactly alike while the robot moves come from a driver that hangs."""

from dataclasses import replace

import numpy as np
import pytest

from edge_worldmodel.core.safety.inputs.intake import (
    OdometrySample,
    is_moving,
    looks_the_same,
    repeats_pose,
    repeats_sweep,
)
from edge_worldmodel.core.safety.states import PASSING
from edge_worldmodel.core.sweep import Sweep, sweep_from_scan

from ..supervised_robot import SupervisedRobot


def look(hits=20, distance_m=3.0):
    bearing = np.linspace(0.0, 6.0, 40)
    ends = distance_m * np.stack((np.cos(bearing), np.sin(bearing)), axis=-1)
    return Sweep(1, np.zeros(2), ends, np.arange(40) < hits)


@pytest.mark.parametrize(
    ("before", "now", "same"),
    [
        (look(), look(), True),
        (look(10), look(10), True),
        (look(9), look(9), False),  # too little in sight to tell
        (None, look(), False),
        (look(), look(distance_m=3.0001), False),
        (look(20), look(21), False),
    ],
)
def test_the_same_look(before, now, same):
    assert repeats_sweep(before, now) is same


@pytest.mark.parametrize(
    ("twist", "moving"),
    [((0.1, 0.0, 0.0), False), ((0.11, 0, 0), True), ((-0.11, 0, 0), True), ((0, 0.11, 0), True), ((0, 0, 0.21), True)],
)
def test_moving(twist, moving):
    assert is_moving(np.array(twist)) is moving


def test_odometry_that_moves_must_get_somewhere():
    here = OdometrySample(1, "odom", "base_link", np.array([1.0, 2.0, 0.3]), np.array([0.4, 0.0, 0.0]))
    assert repeats_pose(here, replace(here, stamp_ns=2))
    assert not repeats_pose(None, here)
    assert not repeats_pose(here, replace(here, pose=np.array([1.0, 2.0, 0.3001])))
    assert not repeats_pose(here, replace(here, twist=np.zeros(3)))
    assert not repeats_pose(replace(here, twist=np.zeros(3)), here)


def corridor(wall_ahead_m=np.inf, range_max_m=8.0):
    """A noise-free scan in a straight corridor of 2 m."""
    angles = np.linspace(-np.pi, np.pi, 360, endpoint=False)
    with np.errstate(divide="ignore"):
        wall_m = np.where(np.cos(angles) > 0.0, wall_ahead_m / np.cos(angles), np.inf)
        ranges = np.minimum(1.0 / np.abs(np.sin(angles)), wall_m)
    return sweep_from_scan(1, ranges, -np.pi, np.pi / 180, 0.1, range_max_m, np.eye(4))


@pytest.mark.parametrize(
    ("sweep", "motion", "same"),
    [
        (corridor(), (0.05, 0.0, 0.0), True),
        (corridor(), (-0.05, 0.0, 0.0), True),
        (corridor(), (0.05, 0.01, 0.0), False),
        (corridor(), (0.0, 0.0, 0.02), False),
        (corridor(4.0), (0.05, 0.0, 0.0), False),
        (look(40), (0.0, 0.0, 0.1), False),
        (look(), (0.1, 0.0, 0.0), False),
    ],
)
def test_only_a_corridor_looks_the_same_after_a_motion(sweep, motion, same):
    assert looks_the_same(sweep, np.array(motion)) is same


@pytest.mark.parametrize(("wall_m", "drives"), [(np.inf, True), (4.0, False)])
def test_a_noise_free_corridor_does_not_stop_the_robot_for_ever(wall_m, drives):
    robot = SupervisedRobot()
    robot.before["scan"] = lambda sweep: replace(corridor(wall_m), stamp_ns=sweep.stamp_ns)
    state = robot.run(3.0)[-1].state
    assert (state in PASSING) == drives and (robot.pose[0] > 1.0) == drives
