"""The drive base's own timeout is measured slowly, only after a person's confirmation, and always ends with zeros."""

import math

import numpy as np
import pytest

from edge_worldmodel.core.safety.base_timeout import BaseTimeout
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.states import State

from .supervised_robot import SupervisedRobot


class MeasuredRobot(SupervisedRobot):
    """A robot without a planner, whose base goes on for ``timeout_s`` after it last heard a command."""

    def __init__(self, timeout_s, declared_s=0.0, **world):
        super().__init__(**world)
        self.timeout_s, self.drives, self.heard_ns, self.heard = timeout_s, False, 0, np.zeros(3)
        self.measurement = BaseTimeout(self.config, declared_s)
        self.before["plan"] = lambda _: None
        self.sent, self.watchdog = [], ""

    def ask(self):
        return self.measurement.ask(self.supervisor.motion_hindrance(self.clock), self.clock)

    def confirm(self):
        assert not self.ask()[0]
        accepted, text = self.ask()
        assert accepted, text

    def supervise(self, now):
        plan = self.measurement.plan(self.supervisor.inputs.pose(now), now)
        if plan is not None:
            self.supervisor.inputs.receive_plan(plan, now)
        verdict = type(self.supervisor).supervise(self.supervisor, now)
        odometry = self.supervisor.inputs.trusted_odometry(now)
        verdict = self.measurement.watch(verdict, None if odometry is None else odometry.twist, self.watchdog, now)
        self.listen(verdict)
        return verdict

    def listen(self, verdict):
        """Be the watchdog and the base."""
        if not verdict.silent:
            self.heard, self.heard_ns = verdict.command, self.steady_ns
        silent_s = 1e-9 * (self.steady_ns - self.heard_ns)
        self.moves = self.heard if self.timeout_s is None or silent_s <= self.timeout_s else np.zeros(3)
        self.sent.append((verdict.silent, float(verdict.command[0])))

    def run(self, duration_s):
        self.supervisor.supervise = self.supervise
        return super().run(duration_s)


def waiting(timeout_s, declared_s=0.0, **world):
    robot = MeasuredRobot(timeout_s, declared_s, **world)
    robot.run(0.5)
    assert robot.supervisor.state is State.STARTING
    return robot


@pytest.mark.parametrize("timeout_s", [0.2, 0.5])
@pytest.mark.parametrize("declared_s", [0.0, 0.2])
def test_it_measures_how_long_the_base_goes_on(timeout_s, declared_s):
    robot = waiting(timeout_s, declared_s)
    robot.confirm()
    robot.run(2.0)
    measurement = robot.measurement
    assert not measurement.is_running and measurement.measured_s == pytest.approx(timeout_s, abs=0.06)
    assert measurement.is_good is (timeout_s == declared_s)
    word = "as drive_base_timeout_s" if timeout_s == declared_s else "correct" if declared_s else "Set drive_base"
    assert word in measurement.report
    assert max(speed for _, speed in robot.sent) <= 0.09
    assert robot.pose[0] < 0.3 and robot.sent[-1] == (False, 0.0)


def test_a_base_without_a_timeout_gets_zeros_after_two_seconds_and_a_warning():
    robot = waiting(None, 0.2)
    robot.confirm()
    robot.run(3.6)
    silent = [number for number, (is_silent, _) in enumerate(robot.sent) if is_silent]
    assert len(silent) == silent[-1] - silent[0] + 1 == pytest.approx(100, abs=3)
    assert robot.sent[silent[-1] + 1] == (False, 0.0), "zero at once"
    assert robot.measurement.measured_s == math.inf and not robot.measurement.is_good
    assert "goes on for more than 2 s" in robot.measurement.report and "cmd_vel_timeout" in robot.measurement.report
    assert not robot.moves.any()


def test_nothing_moves_before_a_person_has_confirmed_it_in_time():
    robot = waiting(0.2)
    accepted, text = robot.ask()
    assert not accepted and "call again within 10 s" in text and "0.08 m/s" in text
    robot.steady_ns += 11_000_000_000
    robot.ros_ns += 11_000_000_000
    robot.run(0.5)
    assert not any(speed for _, speed in robot.sent)
    assert not robot.ask()[0], "too late to confirm: asked anew"
    assert robot.ask()[0]
    assert "running" in robot.ask()[1]


def test_it_is_refused_while_the_robot_moves_is_latched_or_a_check_fails():
    robot = SupervisedRobot()
    robot.run(1.0)
    hindrance = robot.supervisor.motion_hindrance(robot.clock)
    assert hindrance == "the robot is not at rest"
    accepted, text = BaseTimeout(robot.config, 0.2).ask(hindrance, robot.clock)
    assert not accepted and text == "Refused: the robot is not at rest."
    robot = waiting(0.2)
    robot.before["scan"] = lambda _: None
    robot.run(0.4)
    assert "sensor scan: silent" in robot.ask()[1]
    robot.supervisor.press_estop(True)
    robot.run(0.02)
    assert "the state is ESTOP" in robot.ask()[1]
    robot = MeasuredRobot(0.2)
    assert "no odometry" in robot.ask()[1]


def test_it_is_refused_again_when_the_second_call_comes_while_something_is_wrong():
    robot = waiting(0.2)
    robot.ask()
    robot.supervisor.press_estop(True)
    robot.run(0.02)
    assert not robot.ask()[0]
    robot.supervisor.press_estop(False)
    robot.run(0.02)
    assert robot.supervisor.reset(robot.clock)[0]
    robot.run(0.5)
    assert not robot.ask()[0] and robot.ask()[0]


def test_a_fault_in_the_silence_ends_it_in_the_same_tick():
    robot = waiting(None)
    robot.confirm()
    while not robot.sent[-1][0]:
        robot.run(0.02)
    robot.supervisor.press_estop(True)
    verdict = robot.run(0.02)[-1]
    assert verdict.state == State.ESTOP and not verdict.silent and not verdict.command.any()
    assert "Not measured: stopped after" in robot.measurement.report and "emergency stop" in robot.measurement.report
    robot.run(1.0)
    assert not any(speed for _, speed in robot.sent[-50:])


def test_a_command_that_slows_down_in_the_silence_ends_it():
    robot = waiting(None)
    robot.confirm()
    while not robot.sent[-1][0]:
        robot.run(0.02)
    robot.obstacles = robot.pose[:2] + np.array([[0.36, 0.0]])
    verdict = [verdict for verdict in robot.run(0.3) if not verdict.silent][0]
    assert not verdict.command.any() and "Not measured" in robot.measurement.report


def test_zeros_of_the_watchdog_are_not_taken_for_the_timeout_of_the_base():
    robot = waiting(None)
    robot.confirm()
    while not robot.sent[-1][0]:
        robot.run(0.02)
    robot.watchdog = "watchdog: zero: held up"
    robot.run(0.02)
    assert math.isnan(robot.measurement.measured_s) and "(watchdog: zero: held up)" in robot.measurement.report


def test_a_base_that_does_not_move_is_not_measured():
    robot = waiting(0.2)
    robot.listen = lambda verdict: robot.sent.append((verdict.silent, 0.0))
    robot.confirm()
    robot.run(3.5)
    assert "did not reach 0.08 m/s (odometry says 0.00 m/s)" in robot.measurement.report
    assert not any(is_silent for is_silent, _ in robot.sent) and not robot.measurement.is_running


def test_lost_odometry_ends_the_attempt():
    robot = waiting(0.2)
    robot.confirm()
    robot.before["odometry"] = lambda _: None
    robot.run(4.0)
    assert "did not reach" in robot.measurement.report and "odometry" in robot.measurement.report
    assert BaseTimeout(SupervisorConfig(max_forward_mps=0.05), 0.0).report == ""
