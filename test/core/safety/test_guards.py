"""The operator's and the vehicle's own signals stop the robot, and nothing but what was configured is asked for."""

import math

import numpy as np
import pytest

from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import FaultKind
from edge_worldmodel.core.safety.guards import Guards
from edge_worldmodel.core.safety.inputs.intake import Instant, OdometrySample
from edge_worldmodel.core.safety.latches import EmergencyStop
from edge_worldmodel.core.safety.states import PASSING, State

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
        ({"deadman": True}, hold, 0.3, FaultKind.DEADMAN),
        ({"operator_link": True}, heartbeat, 1.0, FaultKind.LINK),
        ({"battery_min": 0.2}, charge(0.5), 5.0, FaultKind.BATTERY_SIGNAL),
    ],
)
def test_a_silent_signal_stops_when_its_time_is_over_and_going_on_is_quick(config, good, timeout_s, cause):
    robot = guarded(good, **config)
    robot.signal = None
    states = [verdict.state for verdict in robot.run(timeout_s + 0.3)]
    passed_s = 0.02 * sum(state in PASSING for state in states)
    assert passed_s == pytest.approx(timeout_s, abs=0.025)
    assert states[-1] in (State.STOPPING, State.STOPPED)
    assert cause in {fault.kind for fault in robot.supervisor.faults}
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
    assert robot.config.unwatched == ("estop_heartbeat", "deadman", "operator_link", "battery", "geofence")
    assert robot.supervisor.guards.intakes == ()
    everything = SupervisorConfig(
        estop_heartbeat_s=0.3,
        deadman=True,
        operator_link=True,
        battery_min=0.1,
        geofence_m=(0, 0, 1, 0, 1, 1),
        height_band_m=(1, 2),
        **DRONE,
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
    assert not [fault for fault in robot.supervisor.faults if fault.kind is FaultKind.DEADMAN]
    robot.before["clock"] = lambda now_ns: now_ns - 5_000_000_000
    robot.step()
    assert not [fault for fault in robot.supervisor.faults if fault.kind is FaultKind.DEADMAN]


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
    stop.acknowledge()
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


MS = 1_000_000
EVERYTHING = {"deadman": True, "operator_link": True, "battery_min": 0.2}


def moment(steady_ms):
    """A ROS clock that has nothing to do with the steady one."""
    return Instant(123_456_789, (5_000 + steady_ms) * MS)


def watched(held=True, share=0.5, **config):
    """Guards that have heard everything once, at 0 ms."""
    guards = Guards(SupervisorConfig(**{**EVERYTHING, **config}))
    guards.receive_deadman(held, moment(0))
    guards.receive_heartbeat(moment(0))
    guards.receive_battery(share, moment(0))
    return guards


def found(guards, steady_ms=0, odometry=None):
    faults = [guards.height_fault(odometry), *guards.signal_faults(moment(steady_ms))]
    return [(fault.kind, fault.text) for fault in faults if fault is not None]


def test_what_has_just_been_heard_is_good():
    assert found(watched()) == []
    assert found(watched(), 200) == []


def test_what_was_never_heard_is_told_the_gravest_first():
    assert found(Guards(SupervisorConfig(**EVERYTHING))) == [
        (FaultKind.BATTERY_SIGNAL, "battery: nothing received yet"),
        (FaultKind.LINK, "operator link: nothing received yet"),
        (FaultKind.DEADMAN, "deadman: nothing received yet"),
    ]


@pytest.mark.parametrize(
    ("only", "timeout_ms", "cause"),
    [
        ({"operator_link": False, "battery_min": 0.0}, 300, FaultKind.DEADMAN),
        ({"deadman": False, "battery_min": 0.0}, 1000, FaultKind.LINK),
        ({"deadman": False, "operator_link": False}, 5000, FaultKind.BATTERY_SIGNAL),
    ],
)
def test_each_signal_may_be_silent_for_its_own_timeout(only, timeout_ms, cause):
    guards = watched(**only)
    assert found(guards, timeout_ms - 1) == []
    assert [fault for fault, _ in found(guards, timeout_ms + 1)] == [cause]


def test_a_signal_that_comes_twice_at_one_moment_counts_twice():
    guards = watched()
    for receive in (lambda now: guards.receive_deadman(True, now), guards.receive_heartbeat):
        receive(moment(250))
        receive(moment(250))
    assert found(guards, 500) == []
    assert not guards.deadman.rejected and not guards.link.rejected


def test_a_released_deadman_is_told():
    assert found(watched(held=False)) == [(FaultKind.DEADMAN, "deadman: released")]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_an_empty_and_a_full_battery_are_true_to_tell(share):
    assert found(watched(share=share)) == []


@pytest.mark.parametrize("share", [-0.01, 1.01, math.nan])
def test_no_battery_holds_less_than_nothing_or_more_than_all(share):
    ((cause, text),) = found(watched(share=share))
    assert cause is FaultKind.BATTERY_SIGNAL and text == f"battery: charge is {share:g}, expected 0 to 1"


def test_a_battery_is_low_below_its_limit():
    assert watched(share=0.2).battery_fault() is None
    assert watched(share=0.19).battery_fault() == (FaultKind.BATTERY, "battery at 19 %, the limit is 20 %")
    assert Guards(SupervisorConfig(**EVERYTHING)).battery_fault() is None


@pytest.mark.parametrize(("height_m", "outside"), [(1.0, False), (3.0, False), (0.99, True), (3.01, True)])
def test_height_is_kept_between_its_bounds(height_m, outside):
    guards = Guards(SupervisorConfig(height_band_m=(1.0, 3.0), **DRONE))
    odometry = OdometrySample(1, "odom", "base_link", np.zeros(3), np.zeros(3), height_m)
    text = f"height {height_m:.2f} m is outside 1 m to 3 m"
    assert found(guards, odometry=odometry) == ([(FaultKind.HEIGHT, text)] if outside else [])
    assert found(guards) == []


def test_a_stop_pressed_and_released_between_two_looks_is_seen_once():
    stop = EmergencyStop()
    assert not stop.pressed
    stop.press(True, "topic")
    stop.press(False, "topic")
    assert stop.pressed
    stop.acknowledge()
    assert not stop.pressed
    stop.press(False, "another")
    assert not stop.pressed
