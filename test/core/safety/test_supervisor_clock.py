"""Clocks that stand, jump and slew, late ticks, and configurations that would switch a check off."""

import numpy as np
import pytest

from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.inputs.intake import Instant
from edge_worldmodel.core.safety.states import PASSING, State
from edge_worldmodel.core.safety.supervisor import Supervisor

from .supervised_robot import SupervisedRobot, driving, spoil

FENCE = SupervisorConfig(geofence_m=(-1.0, -1.0, 2.0, -1.0, 2.0, 1.0, -1.0, 1.0))


def test_a_paused_simulation_is_survived():
    robot = driving()
    robot.before = {name: lambda _: None for name in ("plan", "scan", "odometry")}
    robot.before["clock"] = lambda now_ns: now_ns
    verdicts = robot.run(30.0)
    assert verdicts[-1].state in (State.STOPPING, State.STOPPED) and not verdicts[-1].command.any()
    assert "clock does not advance" in verdicts[-1].reason
    robot.before.clear()
    assert robot.run(1.0)[-1].state == State.ACTIVE


def test_before_the_first_clock_message_it_waits():
    supervisor = Supervisor(SupervisorConfig())
    assert "clock" in supervisor.supervise(Instant(0, 50_000_000)).reason


def test_a_clock_that_slews_is_no_jump():
    robot = driving()
    robot.before = {name: lambda _: None for name in ("plan", "scan", "odometry")}
    robot.before["clock"] = lambda now_ns: now_ns - 2_000_000
    assert robot.step().state in PASSING


def test_a_late_tick_earns_no_larger_step():
    robot = SupervisedRobot(twist=(1.0, 0.0, 0.0))
    while robot.supervisor.state not in PASSING:
        robot.step()
    before = robot.moves[0]
    robot.steady_ns += 60_000_000
    robot.ros_ns += 60_000_000
    assert abs(robot.step().command[0] - before) <= 2.0 * 0.02 + 1e-9


def test_a_pushed_robot_is_said_to_move():
    robot = driving()
    robot.before["plan"] = lambda _: None
    robot.run(1.0)
    assert robot.supervisor.state == State.STOPPED
    robot.before["odometry"] = spoil("twist", np.array([0.3, 0.0, 0.0]))
    assert robot.step().state == State.STOPPING


@pytest.mark.parametrize(
    "values",
    [
        {"scan_topics": ()},
        {"scan_topics": ("scan", "scan")},
        {"sensor_timeouts_s": (0.2, 0.2, 0.2)},
        {"sensor_timeouts_s": (0.0,)},
        {"plan_timeout_s": 0.0},
        {"footprint_m": (0.0, 1.0)},
        {"cloud_low_m": 1.0, "cloud_high_m": 0.5},
        {"geofence_m": (0.0, 0.0, 1.0, 0.0, 1.0)},
        {"geofence_m": "[[0, 0], [1, 0]]"},
        {"footprint_m": "a box"},
        {"self_filters_m": ("", "")},
        {"below_range_min": "drop"},
        {"footprint_m": (0.3, 0.2, -0.3, -0.2, 0.3, -0.2, -0.3, 0.2)},
        {"geofence_m": FENCE.geofence_m, "unsafe_without_odometry": True},
    ],
)
def test_no_value_switches_a_check_off(values):
    with pytest.raises(ConfigError):
        SupervisorConfig(**values)


def test_a_polygon_may_replace_the_circle():
    config = SupervisorConfig(footprint_m=(0.6, 0.2, -0.2, 0.2, -0.2, -0.2, 0.6, -0.2))
    robot = SupervisedRobot(config, obstacles=[(2.0, 0.15)])
    robot.run(8.0)
    assert 0.05 < 2.0 - robot.pose[0] - 0.6 < 0.4


def test_a_supervisor_that_was_frozen_speeds_up_from_rest_as_its_watchdog_does():
    robot = driving()
    robot.drives, robot.moves = False, np.zeros(3)
    # It is frozen for 0.8 s; the watchdog commands zero.
    robot.ros_ns, robot.steady_ns = robot.ros_ns + 800_000_000, robot.steady_ns + 800_000_000
    commands = []
    for tick in range(60):
        robot.moves[0] = min(0.04 * tick, 0.5)
        commands.append(robot.step().command[0])
        assert robot.supervisor.state is not State.LATCHED, robot.supervisor.faults
    moving = [speed for speed in commands if speed > 0.0]
    assert moving[0] < 0.05 and moving[-1] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("paused_s", [0.14, 0.2, 0.3, 0.5, 1.0])
def test_a_simulation_that_was_paused_goes_on_braking_where_it_stopped(paused_s):
    robot = driving()
    robot.before = {name: lambda _: None for name in ("plan", "scan", "odometry")}
    robot.before["clock"] = lambda now_ns: now_ns
    moved, robot.drives = robot.moves.copy(), False
    robot.run(paused_s)
    robot.before = {}
    for tick in range(40):
        robot.moves[0] = max(moved[0] - 0.02 * tick, 0.0)
        robot.step()
        assert robot.supervisor.state is not State.LATCHED, robot.supervisor.faults
        if robot.moves[0] == 0.0:
            break
