"""Commands keep their meaning in the frames of autopilots."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_worldmodel.core.geometry import compose

pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from edge_worldmodel.nodes.safety_supervisor.command_output import (  # noqa: E402
    body_setpoint,
    enu_setpoint,
    ned_from_enu,
)

SPEEDS = st.floats(-5.0, 5.0)
COMMANDS = st.tuples(SPEEDS, SPEEDS, SPEEDS).map(np.array)
HEADINGS = st.floats(-10.0, 10.0)
FORWARD = np.array([1.0, 0.0, 0.0])
LEFT = np.array([0.0, 1.0, 0.0])


@pytest.mark.parametrize(
    ("command", "heading_rad", "east_north"),
    [
        (FORWARD, 0.0, (1.0, 0.0)),
        (FORWARD, math.pi / 2, (0.0, 1.0)),
        (FORWARD, math.pi, (-1.0, 0.0)),
        (LEFT, 0.0, (0.0, 1.0)),
        (LEFT, math.pi / 2, (-1.0, 0.0)),
    ],
)
def test_where_a_command_goes(command, heading_rad, east_north):
    assert enu_setpoint(command, 0.0, heading_rad)[:2] == pytest.approx(east_north)
    assert ned_from_enu(enu_setpoint(command, 0.0, heading_rad))[:2] == pytest.approx(east_north[::-1])


def test_down_is_positive_and_left_turns_are_negative_in_ned():
    sinking_and_turning_left = np.array([0.0, 0.0, 0.3])
    assert ned_from_enu(enu_setpoint(sinking_and_turning_left, -0.5, 1.0)) == pytest.approx([0.0, 0.0, 0.5, -0.3])


@given(COMMANDS, SPEEDS, HEADINGS)
def test_a_second_on_either_setpoint_ends_at_the_same_place(command, climb_mps, heading_rad):
    setpoint = enu_setpoint(command, climb_mps, heading_rad)
    moved = compose(np.array([0.0, 0.0, heading_rad]), np.array([*command[:2], 0.0]))
    assert setpoint[:2] == pytest.approx(moved[:2], abs=1e-9)
    assert setpoint[2:] == pytest.approx([climb_mps, command[2]])


@given(COMMANDS, SPEEDS, HEADINGS)
def test_ned_has_the_same_speed_and_the_compass_course(command, climb_mps, heading_rad):
    enu = enu_setpoint(command, climb_mps, heading_rad)
    north, east, down, yaw_rate = ned = ned_from_enu(enu)
    assert np.linalg.norm(ned[:2]) == pytest.approx(np.linalg.norm(command[:2]), abs=1e-9)
    assert (down, yaw_rate) == (-climb_mps, -command[2])
    # a compass counts from north to the right, yaw from east to the left
    course_rad, yaw_rad = math.atan2(east, north), math.atan2(enu[1], enu[0])
    if math.hypot(north, east) > 1e-3:
        assert math.cos(course_rad - (math.pi / 2 - yaw_rad)) == pytest.approx(1.0)
    np.testing.assert_array_equal(ned_from_enu(ned), enu)


@given(COMMANDS, SPEEDS)
def test_without_a_heading_only_the_climb_is_commanded(command, climb_mps):
    np.testing.assert_array_equal(enu_setpoint(command, climb_mps, None), [0.0, 0.0, climb_mps, 0.0])


@given(COMMANDS, SPEEDS)
def test_the_body_setpoint_is_the_command_and_the_climb(command, climb_mps):
    np.testing.assert_array_equal(body_setpoint(command, climb_mps), [*command[:2], climb_mps, command[2]])
