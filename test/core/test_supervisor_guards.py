"""The operator's and the vehicle's own signals stop the robot, and nothing but what was configured is asked for."""

import math

import pytest

from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.faults import Cause
from edge_worldmodel.core.supervisor_config import SupervisorConfig
from edge_worldmodel.core.supervisor_guards import EmergencyStop
from edge_worldmodel.core.supervisor_states import PASSING, State

from .supervised_robot import SupervisedRobot

DRONE = {"vehicle": "drone", "max_lateral_mps": 1.0}


def guarded(send, **config):
    """A robot for which ``send(guards, clock)`` brings the good signals before every tick."""
    robot = SupervisedRobot(SupervisorConfig(**config))
    robot.signal = send

    def odometry(same):
        if robot.signal is not None:
            robot.signal(robot.supervisor.guards, robot.clock)
        return same

    robot.before["odometry"] = odometry
    robot.run(1.0)
    assert robot.supervisor.state in PASSING, robot.supervisor.faults
    return robot


def hold(guards, clock):
    guards.receive_deadman(True, clock)


def release(guards, clock):
    guards.receive_deadman(False, clock)


def heartbeat(guards, clock):
    guards.receive_heartbeat(clock)


def charge(share):
    return lambda guards, clock: guards.receive_battery(share, clock)


def climb(robot, height_m):
    odometry = robot.odometry
    robot.odometry = lambda: type(odometry())(**{**vars(odometry()), "height_m": height_m})


@pytest.mark.parametrize(
    ("config", "good", "timeout_s", "cause"),
    [
        ({"deadman": True}, hold, 0.3, Cause.DEADMAN),
        ({"operator_link": True}, heartbeat, 1.0, Cause.LINK),
        ({"battery_min": 0.2}, charge(0.5), 5.0, Cause.BATTERY_SIGNAL),
    ],
)
def test_a_silent_signal_stops_when_its_time_is_over_and_going_on_is_quick(config, good, timeout_s, cause):
    robot = guarded(good, **config)
    robot.signal = None
    states = [verdict.state for verdict in robot.run(timeout_s + 0.3)]
    passed_s = 0.02 * sum(state in PASSING for state in states)
    assert passed_s == pytest.approx(timeout_s, abs=0.025)
    assert states[-1] in (State.STOPPING, State.STOPPED)
    assert cause in {fault.cause for fault in robot.supervisor.faults}
    robot.signal = good
    assert robot.run(0.6)[-1].state in PASSING


@pytest.mark.parametrize("config", [{"deadman": True}, {"operator_link": True}, {"battery_min": 0.2}])
def test_a_signal_that_is_asked_for_must_come_before_anything_moves(config):
    robot = SupervisedRobot(SupervisorConfig(**config))
    assert {verdict.state for verdict in robot.run(1.0)} == {int(State.STARTING)}
    assert "nothing received yet" in robot.step().reason


def test_what_is_not_configured_is_not_asked_for_but_named():
    robot = guarded(lambda guards, clock: guards.receive_battery(0.01, clock))
    assert robot.supervisor.state in PASSING
    assert robot.config.unwatched == ("deadman", "operator_link", "battery", "geofence")
    assert robot.supervisor.guards.intakes == ()
    everything = SupervisorConfig(
        deadman=True, operator_link=True, battery_min=0.1, geofence_m=(0, 0, 1, 0, 1, 1), height_band_m=(1, 2), **DRONE
    )
    assert everything.unwatched == ()
    assert SupervisorConfig(**DRONE).unwatched[-1] == "height"


def test_a_released_deadman_stops_in_the_same_tick():
    robot = guarded(hold, deadman=True)
    robot.signal = release
    verdict = robot.step()
    assert verdict.state == State.STOPPING and not verdict.command.any() and "released" in verdict.reason
    robot.signal = hold
    assert robot.run(0.6)[-1].state in PASSING


def test_signals_without_stamps_do_not_mind_a_clock_that_slews_or_jumps():
    robot = guarded(hold, deadman=True)
    robot.before["clock"] = lambda now_ns: now_ns - 2_000_000
    robot.before["plan"] = robot.before["scan"] = lambda _: None
    robot.step()
    assert not [fault for fault in robot.supervisor.faults if fault.cause is Cause.DEADMAN]
    robot.before["clock"] = lambda now_ns: now_ns - 5_000_000_000
    robot.step()
    assert not [fault for fault in robot.supervisor.faults if fault.cause is Cause.DEADMAN]


def test_a_low_battery_stops_a_ground_robot_until_a_person_has_changed_it():
    robot = guarded(charge(0.5), battery_min=0.2)
    robot.signal = charge(0.2)
    assert robot.step().state in PASSING
    robot.signal = charge(0.19)
    verdict = robot.step()
    assert verdict.state == State.LATCHED and not verdict.command.any() and "19 %" in verdict.reason
    accepted, text = robot.supervisor.reset(robot.clock)
    assert not accepted and "the limit is 20 %" in text
    robot.signal = charge(0.9)
    assert robot.run(0.6)[-1].state == State.LATCHED
    assert robot.supervisor.reset(robot.clock)[0]
    assert robot.run(0.6)[-1].state in PASSING


@pytest.mark.parametrize("share", [math.nan, -0.1, 1.01, 87.0, math.inf])
def test_a_battery_that_talks_nonsense_stops(share):
    robot = guarded(charge(0.0 + 1.0), battery_min=0.2)
    robot.signal = charge(share)
    verdict = robot.step()
    assert verdict.state == State.STOPPING and "expected 0 to 1" in verdict.reason


def test_a_drone_with_a_low_battery_lands_at_once_even_when_latched():
    robot = guarded(charge(0.5), battery_min=0.2, **DRONE)
    robot.supervisor.fail("division by zero", robot.clock)
    assert robot.step().state == State.LATCHED
    robot.signal = charge(0.1)
    assert robot.step().state == State.LANDING
    assert not robot.supervisor.reset(robot.clock)[0]


def test_a_drone_whose_operator_is_gone_holds_then_lands():
    robot = guarded(heartbeat, operator_link=True, **DRONE)
    robot.signal = None
    states = [verdict.state for verdict in robot.run(4.5)]
    assert 0.02 * states.count(State.HOLD) == pytest.approx(3.0, abs=0.1)
    assert states[-1] == State.LANDING


@pytest.mark.parametrize(("height_m", "kept"), [(0.99, False), (1.0, True), (3.0, True), (3.01, False)])
def test_a_drone_keeps_its_height_band(height_m, kept):
    robot = SupervisedRobot(SupervisorConfig(height_band_m=(1.0, 3.0), **DRONE))
    climb(robot, 2.0)
    assert robot.run(1.0)[-1].state in PASSING
    climb(robot, height_m)
    verdict = robot.step()
    assert (verdict.state in PASSING) is kept
    assert kept or (verdict.state == State.HOLD and "outside 1 m to 3 m" in verdict.reason)


def test_a_lasting_fault_that_needs_a_person_lands_a_drone_too():
    fence = (-1.0, -1.0, 2.0, -1.0, 2.0, 1.0, -1.0, 1.0)
    robot = SupervisedRobot(SupervisorConfig(geofence_m=fence, **DRONE), twist=(0.0, 0.0, 0.0))
    robot.run(1.0)
    robot.pose[0] = 2.5
    states = [verdict.state for verdict in robot.run(3.5)]
    assert states[0] == State.LATCHED and states[-1] == State.LANDING


def test_a_press_shorter_than_a_tick_stops_and_waits_for_a_person():
    robot = SupervisedRobot()
    robot.run(1.0)
    robot.supervisor.press_estop(True, "topic")
    robot.supervisor.press_estop(False, "topic")
    assert not robot.supervisor.reset(robot.clock)[0]
    assert robot.step().state == State.ESTOP
    assert {verdict.state for verdict in robot.run(1.0)} == {int(State.LATCHED)}
    assert robot.supervisor.reset(robot.clock)[0]
    assert robot.run(1.0)[-1].state in PASSING


def test_nobody_releases_what_another_has_pressed():
    stop = EmergencyStop()
    stop.press(True, "service")
    stop.press(True, "topic")
    stop.press(False, "topic")
    stop.seen()
    assert stop.pressed
    stop.press(False, "service")
    assert not stop.pressed


@pytest.mark.parametrize(
    "values",
    [
        {"height_band_m": (1.0,), **DRONE},
        {"height_band_m": (2.0, 1.0), **DRONE},
        {"height_band_m": (1.0, 1.0), **DRONE},
        {"height_band_m": (1.0, 2.0)},
        {"height_band_m": (1.0, 2.0), "unsafe_without_odometry": True, **DRONE},
        {"battery_min": -0.1},
        {"deadman_timeout_s": 0.0},
        {"operator_link_timeout_s": 0.0},
    ],
)
def test_bad_values_are_refused(values):
    with pytest.raises(ConfigError):
        SupervisorConfig(**values)


def test_height_and_vertical_speed_must_be_numbers():
    for field in ("height_m", "climb_mps"):
        robot = SupervisedRobot()
        robot.run(1.0)
        odometry = robot.odometry
        robot.odometry = lambda f=field, make=odometry: type(make())(**{**vars(make()), f: math.nan})
        verdict = robot.step()
        assert verdict.state not in PASSING and "height or vertical speed" in verdict.reason
