"""What came too close for a sensor to see is remembered until it sees past its place."""

import math
from dataclasses import replace

import numpy as np
import pytest

from edge_worldmodel.core.geometry import pose_matrix
from edge_worldmodel.core.safety.sight.bearings import Rays
from edge_worldmodel.core.safety.sight.blind_ring import BlindRing
from edge_worldmodel.core.safety.states import State
from edge_worldmodel.core.sweep import sweep_from_scan

from ..supervised_robot import SupervisedRobot

STILL, FORWARD = np.zeros(3), np.array([0.1, 0.0, 0.0])


def scan(ahead_m, range_min_m=0.2, around_m=3.0, rays=2):
    """A scan of a bumper scanner, with one reading in the rays up to some on each side of the middle."""
    ranges = np.full(181, around_m)
    ranges[90 - rays : 91 + rays] = ahead_m
    return sweep_from_scan(0, ranges, -math.pi / 2, math.pi / 180, range_min_m, 8.0, pose_matrix((0.25, 0.0, 0.0)))


def ring(*looks):
    found = BlindRing()
    for sweep, motion in looks:
        found.look(sweep, Rays.of(sweep), motion)
    return found


@pytest.mark.parametrize("lost", [np.inf, np.nan, 0.0])
def test_what_enters_the_ring_is_remembered_and_carried_along(lost):
    found = ring((scan(0.25), STILL), (scan(lost, rays=8), FORWARD), (scan(lost, rays=8), FORWARD / 2))
    np.testing.assert_allclose(found.points[:, 0], 0.25 + 0.25 - 0.15, atol=0.01)
    assert len(found.points) == 5


def test_it_is_forgotten_when_the_sensor_sees_past_its_place():
    assert not len(ring((scan(0.25), STILL), (scan(np.inf), FORWARD), (scan(2.0), STILL)).points)
    back = -2.0 * FORWARD
    assert not len(ring((scan(0.25), STILL), (scan(np.inf), FORWARD), (scan(np.inf), back)).points)


def test_what_leaves_outside_the_ring_is_gone():
    assert not len(ring((scan(0.45), STILL), (scan(np.inf), STILL)).points)
    assert not len(ring((scan(0.8), STILL), (scan(np.inf), STILL)).points)


def test_what_is_still_seen_is_not_remembered_too():
    assert not len(ring((scan(0.25), STILL), (scan(0.22), FORWARD / 4)).points)
    assert not len(ring((replace(scan(0.25), echo=None), STILL), (replace(scan(0.25), echo=None), STILL)).points)


def test_what_is_too_close_to_measure_stays_at_its_place():
    found = ring((scan(-np.inf), STILL), (scan(-np.inf), FORWARD))
    np.testing.assert_allclose(found.points[:, 0].min(), 0.25 + 0.1, atol=0.01)


def test_memory_is_bounded():
    wall = scan(0.25, around_m=0.25)
    found = ring((wall, STILL), (scan(np.inf, around_m=np.inf), STILL))
    assert len(found.points) == 64


@pytest.mark.parametrize("reading", [-np.inf, 0.03])
def test_a_post_too_close_to_measure_stops_the_robot(reading):
    robot = SupervisedRobot()
    robot.before["scan"] = lambda sweep: replace(scan(reading, 0.05), stamp_ns=sweep.stamp_ns)
    assert robot.run(1.0)[-1].reason == "an obstacle is in the braking path"


def test_the_robot_does_not_drive_on_over_what_it_no_longer_sees():
    robot = SupervisedRobot(twist=(0.3, 0.0, 0.0))

    def bumper(sweep):
        ahead_m = 1.0 - robot.pose[0] - 0.25
        return replace(scan(ahead_m if ahead_m > 0.35 else np.inf, 0.35), stamp_ns=sweep.stamp_ns)

    robot.before["scan"] = bumper
    verdicts = robot.run(6.0)
    assert robot.pose[0] < 0.72 and verdicts[-1].state in (State.STOPPED, State.STOPPING)
    robot.twist = np.array([-0.1, 0.0, 0.0])
    robot.run(1.0)
    assert robot.pose[0] < 0.7, "it can always back away"
