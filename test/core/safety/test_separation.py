"""A person walks at the robot: it is slow by the time they touch, and what stands or goes away does not slow it."""

import numpy as np
import pytest

from edge_worldmodel.core.safety.config import SupervisorConfig

from .person_and_robot import MeetingRobot, World

ROOM = World(walls=np.array([((-8, -6), (30, -6)), ((-8, 6), (30, 6)), ((30, -6), (30, 6)), ((-8, -6), (-8, 6))]))
JACKAL = {
    "footprint_m": (0.254, 0.215, -0.254, 0.215, -0.254, -0.215, 0.254, -0.215),
    "braking_deceleration_mps2": 2.25,
    "max_acceleration_mps2": 3.0,
}
GENERIC = {"braking_deceleration_mps2": 1.35, "max_acceleration_mps2": 1.8}
ROBOTS = [(JACKAL, 1.5, 3.0), (GENERIC, 0.8, 3.0), ({}, 1.5, 5.2)]
"""Parameters, speed, and how far away the person is when they appear."""


def meeting(config, twist, bearing, seen_m, seed=0, scan_ticks=5) -> MeetingRobot:
    """A robot at its speed in a room, and a person who appears and walks to where they would meet."""
    robot = MeetingRobot(SupervisorConfig(**config), twist, ROOM, scan_ticks, seed)
    robot.run(1.6)
    assert robot.moves[0] > 0.95 * twist[0] and "approach" not in robot.limits
    robot.person_who_meets_it(bearing, seen_m)
    return robot


@pytest.mark.parametrize(("config", "speed_mps", "seen_m"), ROBOTS, ids=["jackal", "generic", "default"])
@pytest.mark.parametrize(("bearing", "rate"), [(0.0, 0.0), (-0.5, 0.5), (0.8, 0.0)])
def test_a_walking_person_touches_a_robot_that_stands(config, speed_mps, seen_m, rate, bearing):
    scan_ticks = 2 if bearing > 0.0 else 5 if rate else 10
    contact_mps = meeting(config, (speed_mps, 0.0, rate), bearing, seen_m, scan_ticks=scan_ticks).speed_at_contact()
    assert contact_mps is None or contact_mps <= 0.1 + 1e-6


def test_a_robot_that_is_met_from_ahead_has_slowed_for_the_approach():
    robot = meeting(JACKAL, (1.5, 0.0, 0.0), 0.0, 3.0)
    assert robot.speed_at_contact() is not None and "approach" in robot.limits


@pytest.mark.parametrize(
    ("place", "way"),
    [((1.5, 0.9), (1.6, 0.0)), ((1.0, 1.5), (0.0, 1.2)), ((2.5, 0.8), (0.0, 0.0)), ((-2.2, 0.0), (1.6, 0.0))],
    ids=["goes ahead", "goes aside", "stands", "comes from behind"],
)
def test_who_does_not_come_into_the_way_does_not_slow(place, way):
    robot = MeetingRobot(SupervisorConfig(**GENERIC), (0.6, 0.0, 0.0), ROOM)
    robot.people = np.array([(*place, 0.0, 0.0)])
    robot.run(1.2)
    robot.people[:, :2] = robot.pose[:2] + place
    robot.run(0.1)
    robot.people[:, 2:] = way
    robot.run(0.6)
    robot.limits.clear()
    robot.run(0.5)
    assert "approach" not in robot.limits and robot.moves[0] == pytest.approx(0.6, abs=0.01)
