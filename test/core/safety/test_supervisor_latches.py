"""What latches, what a person must release, and how a drone holds and lands."""

from dataclasses import replace

import numpy as np
import pytest

from edge_worldmodel.core.safety import supervisor as supervisor_module
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import FaultKind
from edge_worldmodel.core.safety.states import PASSING, State
from edge_worldmodel.core.safety.supervisor import Supervisor

from .supervised_robot import SupervisedRobot, driving

DRONE = SupervisorConfig(vehicle="drone", max_lateral_mps=1.0)
FENCE = SupervisorConfig(geofence_m=(-1.0, -1.0, 2.0, -1.0, 2.0, 1.0, -1.0, 1.0))


def test_emergency_stop_waits_for_release_and_reset():
    robot = driving()
    robot.supervisor.press_estop(True)
    verdict = robot.step()
    assert verdict.state == State.ESTOP and not verdict.command.any() and "emergency stop" in verdict.reason
    accepted, text = robot.supervisor.reset(robot.clock)
    assert not accepted and "emergency stop is pressed" in text
    robot.supervisor.press_estop(False)
    verdicts = robot.run(1.0)
    assert {verdict.state for verdict in verdicts} == {int(State.LATCHED)}
    assert "emergency stop was pressed" in verdicts[-1].reason
    accepted, _ = robot.supervisor.reset(robot.clock)
    assert accepted
    verdicts = robot.run(1.0)
    assert verdicts[0].state == State.STARTING and verdicts[-1].state == State.ACTIVE


def test_reset_right_after_the_release_is_enough():
    robot = driving()
    robot.supervisor.press_estop(True)
    robot.step()
    robot.supervisor.press_estop(False)
    assert robot.supervisor.reset(robot.clock)[0]
    assert robot.run(1.0)[-1].state == State.ACTIVE


def test_there_is_nothing_to_reset_while_all_is_well():
    robot = driving()
    accepted, text = robot.supervisor.reset(robot.clock)
    assert accepted and "ACTIVE" in text
    assert robot.step().state == State.ACTIVE


def test_a_defect_of_our_own_latches():
    robot = driving()
    verdict = robot.supervisor.fail("division by zero", robot.clock)
    assert verdict.state == State.LATCHED and not verdict.command.any()
    verdicts = robot.run(0.5)
    assert {verdict.state for verdict in verdicts} == {int(State.LATCHED)}
    assert "division by zero" in verdicts[-1].reason
    assert robot.supervisor.reset(robot.clock)[0]
    assert robot.run(1.0)[-1].state == State.ACTIVE


def test_a_command_that_is_not_a_number_is_never_passed(monkeypatch):
    robot = driving()
    monkeypatch.setattr(supervisor_module, "follow", lambda *_: (np.array([np.nan, 0.0, 0.0]), 0.0))
    verdict = robot.step()
    assert verdict.state == State.LATCHED and not verdict.command.any()


def test_the_geofence_stops_before_it_and_latches_outside():
    robot = SupervisedRobot(FENCE)
    verdicts = robot.run(6.0)
    assert FaultKind.GEOFENCE_AHEAD in {fault.kind for fault in robot.supervisor.faults} or robot.pose[0] < 2.0
    assert any("leaves the geofence" in verdict.reason for verdict in verdicts)
    assert robot.pose[0] < 2.0
    robot.pose = np.array([2.5, 0.0, 0.0])
    assert robot.step().state == State.LATCHED
    accepted, text = robot.supervisor.reset(robot.clock)
    assert not accepted and "outside the geofence" in text
    robot.pose = np.array([0.0, 0.0, 0.0])
    robot.run(0.5)
    assert robot.supervisor.state == State.LATCHED
    assert robot.supervisor.reset(robot.clock)[0]
    assert any(verdict.state == State.ACTIVE for verdict in robot.run(1.0))


def test_a_drone_holds_then_lands_and_stays_down():
    robot = driving(DRONE)
    robot.before["plan"] = lambda _: None
    states = [verdict.state for verdict in robot.run(4.0)]
    assert State.HOLD in states and states[-1] == State.LANDING
    held_s = 0.02 * states.count(State.HOLD)
    assert held_s == pytest.approx(3.0, abs=0.1)
    robot.before.clear()
    verdicts = robot.run(1.0)
    assert {verdict.state for verdict in verdicts} == {int(State.LANDING)}
    assert not any(verdict.command.any() for verdict in verdicts)
    assert {verdict.climb_mps for verdict in verdicts} == {-0.5}
    assert verdicts[-1].reason.startswith("landing: plan: silent for")
    assert robot.supervisor.reset(robot.clock)[0]
    verdict = robot.run(1.0)[-1]
    assert verdict.state == State.ACTIVE and verdict.climb_mps == 0.0


def test_a_drone_that_is_down_stops_descending():
    robot = driving(DRONE)
    robot.before["plan"] = lambda _: None
    robot.run(3.5)
    make = robot.odometry
    robot.odometry = lambda: replace(make(), climb_mps=-0.5)
    assert robot.run(4.0)[-1].climb_mps == -0.5
    robot.odometry = make
    verdicts = robot.run(3.0)
    assert 0.02 * sum(verdict.climb_mps < 0.0 for verdict in verdicts) == pytest.approx(2.0, abs=0.05)
    assert verdicts[-1].state == State.LANDING and verdicts[-1].reason.startswith("landed")


def test_a_drone_that_held_goes_on():
    robot = driving(DRONE)
    robot.before["plan"] = lambda _: None
    assert robot.run(1.0)[-1].state == State.HOLD
    robot.before.clear()
    assert robot.run(0.6)[-1].state == State.ACTIVE


@pytest.mark.parametrize(("height_m", "lands"), [(0.4, False), (0.6, True)])
@pytest.mark.parametrize("restarts", [False, True])
def test_a_drone_that_starts_in_the_air_with_a_fault_holds_and_lands(height_m, lands, restarts):
    robot = driving(DRONE) if restarts else SupervisedRobot(DRONE)
    robot.supervisor = Supervisor(DRONE)
    robot.before["plan"] = lambda _: None
    robot.before["odometry"] = lambda odometry: replace(odometry, height_m=height_m)
    verdicts = robot.run(4.0)
    states = [verdict.state for verdict in verdicts]
    assert (states[-1] == State.LANDING) is lands and (verdicts[-1].climb_mps < 0.0) is lands
    assert 0.02 * states.count(State.STARTING) == pytest.approx(3.0 if lands else 4.0, abs=0.1)


def test_a_drone_on_the_ground_outside_its_fence_waits_without_a_latch():
    robot = SupervisedRobot(replace(FENCE, vehicle="drone", max_lateral_mps=1.0))
    robot.pose = np.array([2.5, 0.0, 0.0])
    assert {verdict.state for verdict in robot.run(4.0)} == {int(State.STARTING)}
    robot.pose = np.zeros(3)
    assert robot.run(1.0)[-1].state in PASSING


def test_a_drone_in_the_air_outside_its_fence_latches_then_lands():
    robot = SupervisedRobot(replace(FENCE, vehicle="drone", max_lateral_mps=1.0))
    robot.pose = np.array([2.5, 0.0, 0.0])
    robot.before["odometry"] = lambda odometry: replace(odometry, height_m=2.0)
    states = [verdict.state for verdict in robot.run(4.0)]
    assert states[0] == State.LATCHED and states[-1] == State.LANDING
