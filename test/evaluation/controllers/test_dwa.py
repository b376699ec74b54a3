"""The dynamic window: arcs are arcs, and the robot can stop before what it drives towards."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.evaluation.controllers import ControllerInput
from edge_worldmodel.evaluation.controllers.dwa import Dwa, arcs
from edge_worldmodel.sim.robots import PRESETS


@settings(deadline=None, max_examples=20)
@given(st.floats(0.0, 2.0), st.floats(-2.0, 2.0), st.floats(-np.pi, np.pi))
def test_arcs_are_what_integration_gives(speed: float, turn: float, yaw: float) -> None:
    ahead = arcs(np.array([1.0, -2.0, yaw]), np.array([0.1, speed]), np.array([-0.1, 0.2, turn]), 2.0, 10)
    assert ahead.x.shape == ahead.y.shape == (2, 3, 11)
    end = ahead.x[1, 2, -1], ahead.y[1, 2, -1], ahead.yaw[2, -1]
    times = (np.arange(20000) + 0.5) * 1e-4
    heading = yaw + turn * times
    expected = 1.0 + speed * np.cos(heading).sum() * 1e-4, -2.0 + speed * np.sin(heading).sum() * 1e-4
    assert np.allclose(end[:2], expected, atol=1e-6)
    assert np.isclose(end[2], yaw + 2.0 * turn)


@settings(deadline=None, max_examples=20)
@given(st.floats(0.3, 2.5), st.floats(0.0, 0.8))
def test_never_commands_more_than_can_be_braked_before_a_wall(wall_m: float, speed: float) -> None:
    robot = PRESETS["generic"]
    dwa = Dwa(robot, 0.8)
    bearing = np.linspace(-1.4, 1.4, 200)
    direction = np.stack([np.cos(bearing), np.sin(bearing)], axis=-1)
    from edge_worldmodel.core.sweep import Sweep

    sweep = Sweep(10**9, np.zeros(2), direction * (wall_m / np.cos(bearing))[:, None], np.ones(200, bool), beams=200)
    command = dwa.act(ControllerInput(10**9, sweep, np.zeros(3), np.array([speed, 0.0, 0.0]), np.array([6.0, 0.0])))
    if abs(command.yaw_rate_radps) < 0.3 and command.forward_mps > 0.0:
        assert command.forward_mps**2 / (2.0 * robot.max_deceleration_mps2) < wall_m - robot.radius_m + 0.05


def test_turns_towards_a_goal_behind_it(wall_sweep) -> None:
    dwa = Dwa(PRESETS["generic"], 0.8)
    command = dwa.act(ControllerInput(10**9, wall_sweep(4.9), np.zeros(3), np.zeros(3), np.array([-3.0, 1.0])))
    assert command.yaw_rate_radps > 0.2


def test_stops_at_the_goal(wall_sweep) -> None:
    dwa = Dwa(PRESETS["generic"], 0.8)
    assert dwa.act(ControllerInput(10**9, wall_sweep(3.0), np.zeros(3), np.zeros(3), np.array([0.05, 0.0]))) == (
        0.0,
        0.0,
    )
