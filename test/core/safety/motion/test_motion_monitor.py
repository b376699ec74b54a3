"""Motion that does not follow from the commands is found soon, and sound bases are left in peace."""

from dataclasses import replace

import numpy as np
import pytest

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import FaultKind
from edge_worldmodel.core.safety.motion.braking import Brakes
from edge_worldmodel.core.safety.motion.motion_monitor import MotionMonitor
from edge_worldmodel.core.safety.states import State

from ..supervised_robot import SupervisedRobot, driving, fault_kinds
from .simulated_bases import drive, trips

CONFIG = SupervisorConfig()
NOISE = np.array([0.02, 0.005, 0.04])
TICK_NS = 20_000_000
FOUND_S = 0.3


def speed(vx=0.0, vy=0.0, rate=0.0):
    return np.array([vx, vy, rate])


def found_s(commanded, fault, config=CONFIG, every=1, seed=0, sound_s=1.5):
    """Time from the beginning of a fault until it is found: a base drives steadily, then ``fault`` is measured."""
    monitor, rng, reading, stamp_ns = MotionMonitor(config), np.random.default_rng(seed), np.zeros(3), 0
    for tick in range(200):
        now_ns, since_s = (tick + 1) * TICK_NS, 0.02 * tick - sound_s
        asked = commanded(since_s) if callable(commanded) else commanded * min(1.0, 0.04 * tick)
        monitor.note_command(asked, now_ns)
        if tick % every == 0:
            sound = asked + NOISE * rng.normal(size=3) * (np.abs(asked).max() > 0.0)
            reading, stamp_ns = (sound if since_s < 0.0 else fault(sound, since_s)), now_ns
        if found := monitor.fault(reading, stamp_ns, 1e-9 * (now_ns - stamp_ns), now_ns, Brakes.from_config(config)):
            assert since_s >= 0.0 and found.kind is FaultKind.MOTION
            return since_s, found.text
    return float("inf"), ""


@pytest.mark.parametrize(
    ("commanded", "fault", "text"),
    [
        (speed(0.5), lambda *_: speed(), "does not follow the command"),
        (speed(0.15), lambda *_: speed(), "does not follow the command"),
        (speed(-0.4), lambda *_: speed(), "does not follow the command"),
        (speed(0.0, 0.0, 1.0), lambda *_: speed(), "does not follow the command"),
        (speed(-0.5), lambda *_: speed(0.6), "moves against the command"),
        (speed(0.5), lambda *_: speed(-0.2), "moves against the command"),
        (speed(0.0, 0.0, 0.8), lambda sound, _: -sound, "moves against the command"),
        (speed(0.5), lambda sound, _: 1.5 * sound, "is faster than commanded"),
        (speed(1.5), lambda sound, _: 1.25 * sound, "is faster than commanded"),
        (speed(0.5, 0.0, 0.5), lambda sound, _: sound + speed(0.0, 0.0, 0.6), "is faster than commanded"),
        (speed(), lambda *_: speed(0.3), "moves although it is commanded to stand"),
        (speed(0.5), lambda *_: speed(0.25, 0.0, 1.0), "moves although it is commanded to stand"),
    ],
)
def test_each_deviation_is_found_in_time(commanded, fault, text):
    for seed in range(3):
        for every in (1, 2, 5):
            since_s, found = found_s(commanded, fault, every=every, seed=seed)
            assert since_s <= FOUND_S and text in found


@pytest.mark.parametrize("speed_mps", [0.5, 1.0, 1.5, -0.5])
def test_a_stop_that_does_not_slow_the_robot_is_found(speed_mps):
    stops = lambda since_s: speed(speed_mps if since_s < 0.0 else 0.0)  # noqa: E731
    since_s, text = found_s(stops, lambda *_: speed(speed_mps))
    assert since_s <= CONFIG.reaction_time_s + FOUND_S and "faster than commanded" in text
    braking = lambda _, since_s: np.sign(speed_mps) * speed(max(abs(speed_mps) - 0.9 * max(since_s - 0.2, 0), 0))  # noqa: E731
    assert found_s(stops, braking)[0] == float("inf")


def test_downhill_the_base_may_brake_less():
    stops = lambda since_s: speed(1.0 if since_s < 0.0 else 0.0)  # noqa: E731
    slow = lambda _, since_s: speed(1.0 - 0.5 * max(since_s - 0.2, 0.0))  # noqa: E731
    assert found_s(stops, slow)[0] < 1.0
    brakes = replace(Brakes.from_config(CONFIG), downhill=(0.045, 0.0))
    assert 0.4 < brakes.deceleration(speed(1.0)) < 0.5
    monitor = MotionMonitor(CONFIG)
    for tick in range(1, 90):
        now_ns, since_s = tick * TICK_NS, 0.02 * tick - 1.0
        monitor.note_command(stops(since_s) * (tick > 2), now_ns)
        measured = speed(0.98) if since_s < 0.0 else slow(None, since_s)
        if tick > 4:
            assert monitor.fault(measured, now_ns, 0.0, now_ns, brakes) is None


@pytest.mark.parametrize(("samples", "found"), [(2, False), (4, False), (7, True)])
def test_a_bump_is_no_fault(samples, found):
    bump = lambda sound, since_s: sound + speed(5.0) * (since_s < 0.02 * samples - 0.01)  # noqa: E731
    assert (found_s(speed(0.5), bump)[0] < 1.0) is found


def test_odometry_that_comes_slowly_needs_three_measurements():
    once = lambda sound, since_s: sound + speed(5.0) * (since_s < 0.15)  # noqa: E731
    assert found_s(speed(0.5), once, every=5)[0] == float("inf")


def test_sideways_is_watched_where_it_can_be_commanded():
    pushed = lambda sound, _: sound + speed(0.0, 0.5)  # noqa: E731
    assert found_s(speed(0.3), pushed)[0] == float("inf")
    assert found_s(speed(0.3, 0.3), pushed, SupervisorConfig(max_lateral_mps=1.0))[0] <= FOUND_S


def test_the_turning_of_a_car_is_not_watched():
    drifts = lambda sound, _: sound + speed(0.0, 0.0, 1.0)  # noqa: E731
    assert found_s(speed(0.5), drifts, SupervisorConfig(max_curvature_radpm=1.0))[0] == float("inf")
    assert found_s(speed(0.5), drifts)[0] <= FOUND_S


def test_a_drone_may_be_moved_by_gusts():
    drone = SupervisorConfig(vehicle="drone")
    assert drone.motion_tolerances == (1.0, 0.3) and CONFIG.motion_tolerances == (0.1, 0.3)
    chosen = SupervisorConfig(motion_tolerance_mps=0.4, motion_tolerance_radps=0.7)
    assert chosen.motion_tolerances == (0.4, 0.7)
    blown = lambda sound, _: sound + speed(0.8)  # noqa: E731
    assert found_s(speed(0.5), blown, drone)[0] == float("inf") and found_s(speed(0.5), blown)[0] <= FOUND_S


def test_sound_bases_do_not_trip():
    commands, measured = drive(6, 60.0, seed=1)
    assert all(trips(commands[:, base], measured[:, base]) == [] for base in range(6))
    measured[1000:, 0] = 0.0
    assert trips(commands[:, 0], measured[:, 0]), "the drive is one on which a dead encoder shows"


def test_dead_odometry_cannot_lead_a_robot_out_of_its_fence():
    robot = SupervisedRobot(SupervisorConfig(geofence_m=(-1.0, -1.0, 3.0, -1.0, 3.0, 1.0, -1.0, 1.0)))
    robot.before["odometry"] = lambda odometry: replace(odometry, pose=np.zeros(3), twist=np.zeros(3))
    verdicts = robot.run(4.0)
    assert robot.pose[0] < 0.3
    assert verdicts[-1].state == State.LATCHED and "does not follow the command" in verdicts[-1].reason


def test_motion_against_the_command_stops_and_waits_for_a_person():
    robot = driving(twist=(-0.4, 0.0, 0.0))
    robot.before["odometry"] = lambda odometry: replace(odometry, twist=speed(0.6))
    assert robot.run(FOUND_S)[-1].state == State.LATCHED
    assert "moves against the command" in robot.step().reason
    robot.before.clear()
    robot.run(1.0)
    assert robot.supervisor.reset(robot.clock)[0]
    assert robot.run(1.0)[-1].state == State.ACTIVE


def test_a_robot_that_was_stopped_may_be_pushed_by_hand():
    robot = driving()
    robot.before["plan"] = lambda _: None
    robot.run(1.0)
    robot.drives, robot.moves = False, speed(0.4)
    robot.run(1.0)
    assert FaultKind.MOTION not in fault_kinds(robot) and robot.supervisor.state is State.STOPPING


def test_ticks_that_overran_commanded_zero():
    robot = driving()
    for _ in range(30):
        robot.step()
        robot.supervisor.overrun(0.1, 0.02, robot.clock)
        robot.moves = np.zeros(3)
    assert FaultKind.MOTION not in fault_kinds(robot) and robot.supervisor.state is not State.LATCHED
