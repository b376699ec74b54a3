"""No mode switch meets a moving command: setpoints move the robot only while the autopilot is said to follow them."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import FaultKind
from edge_worldmodel.core.safety.states import PASSING, State

from .supervised_robot import SupervisedRobot
from .test_guards import climb

CASES = int(os.environ.get("EDGE_WORLDMODEL_CASES", "500"))
MANUAL = "offboard mode, nav_state is 2"
DRONE = {"vehicle": "drone", "max_lateral_mps": 1.0, "hold_before_land_s": 0.5}


def behind_autopilot(**config):
    """A robot whose autopilot sends ``robot.waits_for`` once in each tick; None withholds it."""
    robot = SupervisedRobot(SupervisorConfig(**config))
    robot.supervisor.guards.watch_autopilot()
    robot.waits_for = MANUAL

    def odometry(same):
        if robot.waits_for is not None:
            robot.supervisor.guards.receive_autopilot(robot.waits_for, robot.clock)
        return same

    robot.before["odometry"] = odometry
    return robot


def in_flight(**config):
    robot = behind_autopilot(**DRONE, **config)
    climb(robot, 3.0)
    robot.waits_for = ""
    robot.supervisor.guards.receive_battery(1.0, robot.clock)
    assert robot.run(0.6)[-1].state in PASSING
    return robot


def is_neutral(verdict):
    return not verdict.command.any() and verdict.climb_mps == 0.0


@pytest.mark.parametrize("vehicle", ["ground", "drone"])
def test_until_it_is_in_its_mode_only_zeros_are_commanded_and_the_verdict_says_why(vehicle):
    robot = behind_autopilot(vehicle=vehicle)
    verdicts = robot.run(3.0)
    assert all(map(is_neutral, verdicts))
    assert {verdict.state for verdict in verdicts} == {int(State.STARTING)}
    assert verdicts[-1].reason == f"autopilot: waiting for {MANUAL}"
    robot.waits_for = ""
    verdicts = robot.run(2.0)
    assert verdicts[-1].state in PASSING
    commanded = np.array([verdict.command[0] for verdict in verdicts])
    assert not commanded[:8].any() and np.diff(commanded).max() <= 2.0 * 0.02 + 1e-9, "it starts from rest"


def test_a_ground_robot_whose_pilot_takes_over_is_commanded_zero_in_the_same_tick():
    robot = behind_autopilot()
    robot.waits_for = ""
    assert robot.run(2.0)[-1].command[0] > 0.4
    robot.waits_for = MANUAL
    assert is_neutral(robot.step()) and robot.supervisor.state is State.STOPPING
    assert all(map(is_neutral, robot.run(2.0)))


def test_a_status_that_falls_silent_is_a_fault():
    robot = behind_autopilot(autopilot_timeout_s=1.0)
    robot.waits_for = ""
    robot.run(2.0)
    robot.waits_for = None
    passed_s = 0.02 * sum(verdict.state in PASSING for verdict in robot.run(2.0))
    assert passed_s == pytest.approx(1.0, abs=0.025)
    assert robot.supervisor.faults[0].kind is FaultKind.AUTOPILOT
    assert "autopilot: silent for" in robot.step().reason


def test_a_status_that_never_came_is_a_fault_and_no_drone_descends_for_it():
    robot = behind_autopilot(**DRONE)
    climb(robot, 3.0)
    robot.waits_for = None
    verdicts = robot.run(3.0)
    assert all(map(is_neutral, verdicts)) and "nothing received yet" in verdicts[-1].reason


def test_without_an_autopilot_nobody_asks_for_its_status():
    robot = SupervisedRobot()
    assert robot.run(1.0)[-1].state in PASSING
    assert robot.supervisor.guards.autopilot not in robot.supervisor.guards.intakes


def test_a_drone_that_its_pilot_flies_neither_lands_nor_latches_for_a_fault():
    robot = in_flight(battery_min=0.2)
    robot.waits_for = MANUAL
    robot.supervisor.guards.receive_battery(0.1, robot.clock)
    robot.before["plan"] = lambda _: None
    verdicts = robot.run(3.0)
    assert all(map(is_neutral, verdicts)) and {verdict.state for verdict in verdicts} == {int(State.HOLD)}
    robot.waits_for = ""
    assert robot.step().state == State.LANDING, "the battery is low, and now it is ours"


def test_the_time_to_hold_before_landing_begins_when_the_pilot_hands_over():
    robot = in_flight()
    robot.waits_for = MANUAL
    robot.before["plan"] = lambda _: None
    robot.run(3.0)
    robot.waits_for = ""
    verdicts = robot.run(1.0)
    held_s = 0.02 * sum(verdict.state == State.HOLD for verdict in verdicts)
    assert held_s == pytest.approx(0.5, abs=0.05) and verdicts[-1].climb_mps < 0.0


def test_a_silent_status_in_flight_ends_in_a_landing():
    robot = in_flight(autopilot_timeout_s=0.5)
    robot.waits_for = None
    verdicts = robot.run(3.0)
    assert verdicts[-1].state == State.LANDING and verdicts[-1].climb_mps < 0.0


def test_a_landing_pauses_while_the_pilot_flies_and_says_so():
    robot = in_flight()
    robot.before["plan"] = lambda _: None
    assert robot.run(2.0)[-1].climb_mps < 0.0
    robot.waits_for = MANUAL
    verdicts = robot.run(2.0)
    assert all(map(is_neutral, verdicts))
    assert verdicts[-1].state == State.LANDING and verdicts[-1].reason.endswith(f"autopilot: waiting for {MANUAL}")
    robot.waits_for = ""
    assert robot.step().climb_mps < 0.0
    assert "autopilot" not in robot.step().reason


def test_a_drone_that_has_landed_and_is_disarmed_stays_landed():
    robot = in_flight()
    robot.before["plan"] = lambda _: None
    robot.run(2.0)
    supervisor = robot.supervisor
    supervisor._landing.landed = True
    robot.waits_for = "the autopilot to be armed"
    assert all(map(is_neutral, robot.run(1.0)))
    robot.waits_for = ""
    assert all(map(is_neutral, robot.run(1.0))) and supervisor._landing.landed


@settings(max_examples=max(1, CASES // 50), deadline=None)
@given(
    st.booleans(),
    st.lists(st.tuples(st.sampled_from(["", MANUAL, None]), st.booleans(), st.integers(1, 60)), min_size=1, max_size=5),
)
def test_whatever_happens_a_switch_to_the_mode_meets_no_motion(is_drone, phases):
    robot = behind_autopilot(**(DRONE if is_drone else {}))
    climb(robot, 3.0)
    follows = False
    for waits_for, has_plan, ticks in phases:
        robot.waits_for = waits_for
        robot.before["plan"] = (lambda same: same) if has_plan else (lambda _: None)
        follows = follows if waits_for is None else not waits_for
        for _ in range(ticks):
            verdict = robot.step()
            assert follows or is_neutral(verdict)
