"""The supervisor passes commands on while everything holds, and stops in the same tick when anything does not."""

import math
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import FaultKind
from edge_worldmodel.core.safety.inputs.intake import Instant
from edge_worldmodel.core.safety.limits import MotionLimits
from edge_worldmodel.core.safety.states import PASSING, State
from edge_worldmodel.core.safety.supervisor import Supervisor
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.types import Trajectory

from .supervised_robot import RAYS, TICK_NS, SupervisedRobot, driving, spoil

SECOND_NS = 1_000_000_000
CASES = int(os.environ.get("EDGE_WORLDMODEL_CASES", "500"))
"""Cases of each property; the long run takes 10000."""
NAN9 = np.full((9, 3), np.nan)
INF9 = np.full((9, 3), np.inf)
HUGE9 = np.full((9, 3), 1e300)
ZERO9 = np.zeros((9, 3))
POINTS = Trajectory(0.4, ZERO9[:, :2], ZERO9[:, :2])
HELD = SupervisorConfig(motion_tolerance_mps=2.0, motion_tolerance_radps=2.0)
"""For robots whose motion is not that of their commands."""
RING = [(6.0 * math.cos(a), 6.0 * math.sin(a)) for a in np.linspace(0.1, 6.2, 40)]
FENCE = SupervisorConfig(geofence_m=(-1.0, -1.0, 2.0, -1.0, 2.0, 1.0, -1.0, 1.0))


def test_a_good_plan_is_followed():
    robot = SupervisedRobot()
    verdicts = robot.run(2.0)
    assert verdicts[-1].state == State.ACTIVE and verdicts[-1].reason == ""
    assert verdicts[-1].command[0] == pytest.approx(0.5, abs=0.01)
    assert verdicts[-1].risk == pytest.approx(0.1)
    assert 0.0 <= verdicts[-1].plan_age_s < 0.1 and 0.0 <= verdicts[-1].sensor_age_s < 0.2
    assert verdicts[-1].frame_id == "base_link"


def test_before_the_first_inputs_it_waits_at_zero_and_says_for_what():
    supervisor = Supervisor(SupervisorConfig())
    verdict = supervisor.supervise(Instant(SECOND_NS, SECOND_NS))
    assert verdict.state == State.STARTING and not verdict.command.any()
    assert "nothing received yet" in verdict.reason
    assert math.isnan(verdict.sensor_age_s) and math.isnan(verdict.plan_age_s) and math.isnan(verdict.risk)
    causes = {fault.kind for fault in supervisor.faults}
    assert causes == {FaultKind.SENSOR, FaultKind.ODOMETRY, FaultKind.PLAN}


SPOILED = {
    "plan frame": ("plan", spoil("frame_id", "map")),
    "plan from the future": ("plan", spoil("stamp_ns", lambda ns: ns + SECOND_NS)),
    "plan stamped back": ("plan", spoil("stamp_ns", lambda ns: ns - SECOND_NS // 2)),
    "plan without validity": ("plan", spoil("valid_until_ns", 0)),
    "plan valid for too long": ("plan", spoil("valid_until_ns", lambda ns: ns + 60 * SECOND_NS)),
    "plan poses NaN": ("plan", spoil("trajectory.poses", NAN9)),
    "plan twists NaN": ("plan", spoil("trajectory.twists", NAN9)),
    "plan twists inf": ("plan", spoil("trajectory.twists", INF9)),
    "plan twists absurd": ("plan", spoil("trajectory.twists", HUGE9)),
    "plan lengths differ": ("plan", spoil("trajectory.twists", ZERO9[:5])),
    "plan of one pose": ("plan", lambda plan: replace(plan, trajectory=Trajectory(0.4, ZERO9[:1], ZERO9[:1]))),
    "plan of flat arrays": ("plan", lambda plan: replace(plan, trajectory=Trajectory(0.4, ZERO9[0], ZERO9[0]))),
    "plan of planar points": ("plan", lambda plan: replace(plan, trajectory=POINTS)),
    "plan time step 0": ("plan", spoil("trajectory.dt_s", 0.0)),
    "plan time step NaN": ("plan", spoil("trajectory.dt_s", math.nan)),
    "plan risk NaN": ("plan", spoil("risk", math.nan)),
    "plan risk negative": ("plan", spoil("risk", -0.1)),
    "plan risk too high": ("plan", spoil("risk", 0.9)),
    "plan somewhere else": ("plan", spoil("trajectory.poses", ZERO9 + [50.0, 0.0, 0.0])),
    "scan all NaN": ("scan", lambda s: replace(s, endpoints=s.endpoints + np.nan)),
    "scan endpoint inf": ("scan", lambda s: replace(s, endpoints=s.endpoints + np.inf)),
    "scan without hits array": ("scan", lambda s: replace(s, hit=s.hit[:3])),
    "scan empty": ("scan", lambda s: Sweep(s.stamp_ns, s.origin, np.empty((0, 2)), np.empty(0, dtype=bool))),
    "scan stamped back": ("scan", spoil("stamp_ns", lambda ns: ns - SECOND_NS // 2)),
    "scan old": ("scan", spoil("stamp_ns", lambda ns: ns - 10 * SECOND_NS)),
    "scan from the future": ("scan", spoil("stamp_ns", lambda ns: ns + SECOND_NS)),
    "odometry NaN": ("odometry", spoil("pose", np.full(3, np.nan))),
    "odometry twist inf": ("odometry", spoil("twist", np.full(3, np.inf))),
    "odometry frame": ("odometry", spoil("frame_id", "map")),
    "odometry child frame": ("odometry", spoil("child_frame_id", "laser")),
    "odometry stamped back": ("odometry", spoil("stamp_ns", lambda ns: ns - SECOND_NS // 2)),
    "odometry jumped": ("odometry", spoil("pose", np.array([30.0, 0.0, 0.0]))),
    "clock jumped back": ("clock", lambda now_ns: now_ns - 5 * SECOND_NS),
    "clock jumped ahead": ("clock", lambda now_ns: now_ns + 5 * SECOND_NS),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_input_stops_in_the_same_tick_and_going_on_is_quick(name):
    channel, change = SPOILED[name]
    robot = driving()
    while robot.tick % 10:  # to a tick in which every input arrives
        robot.step()
    robot.before[channel] = change
    verdict = robot.step()
    if name == "clock jumped ahead":  # plan and scan arrived with it: what came before is old, what came is good
        robot.before = {"clock": change, "plan": lambda _: None, "scan": lambda _: None}
        verdict = robot.step()
    assert verdict.state in (State.STOPPING, State.STOPPED)
    assert not verdict.command.any() and verdict.reason
    robot.before.clear()
    resumed = [verdict.state in PASSING for verdict in robot.run(0.6)]
    assert any(resumed)
    assert all(resumed[resumed.index(True) :])


@pytest.mark.parametrize(("channel", "limit_s"), [("plan", 0.1), ("scan", 0.2), ("odometry", 0.2), ("clock", 0.2)])
def test_silence_stops_as_soon_as_its_limit_is_over(channel, limit_s):
    robot = driving()
    while robot.tick % 10 != 1:
        robot.step()
    robot.before[channel] = (lambda now_ns: now_ns) if channel == "clock" else (lambda _: None)
    states = [robot.step().state for _ in range(15)]
    stopped = next(i for i, state in enumerate(states) if state not in PASSING)
    assert stopped * 0.02 <= limit_s + 0.02
    assert all(state not in PASSING for state in states[stopped:])
    robot.before.clear()
    assert any(verdict.state in PASSING for verdict in robot.run(0.6))


def test_a_plan_that_is_resent_but_expired_stops():
    robot = driving()
    old = robot.plan()
    robot.before["plan"] = lambda _: old
    verdicts = robot.run(0.7)
    passed_s = 0.02 * sum(verdict.state in PASSING for verdict in verdicts)
    assert 0.55 <= passed_s <= 0.6
    assert "expired" in verdicts[-1].reason


def test_a_sensor_that_repeats_itself_is_frozen():
    robot = driving()
    frozen = robot.scan()
    robot.before["scan"] = lambda _: frozen
    verdicts = robot.run(0.4)
    assert verdicts[-1].state not in PASSING
    assert robot.supervisor.inputs.sensors["scan"].rejected["duplicate"] > 0


def test_a_sensor_that_repeats_its_last_look_with_new_stamps_is_frozen_until_it_shows_another():
    robot = SupervisedRobot(obstacles=RING)
    robot.run(1.0)
    kept = robot.scan()
    robot.before["scan"] = lambda look: replace(kept, stamp_ns=look.stamp_ns)
    verdicts = robot.run(2.0)
    stopped = [verdict.state not in PASSING for verdict in verdicts]
    assert 0.2 < stopped.index(True) * 0.02 <= 0.34, "the timeout, from the last look that was new"
    assert all(stopped[stopped.index(True) :]), "standing still does not make it trusted again"
    assert robot.supervisor.inputs.sensors["scan"].rejected["frozen"] > 5
    del robot.before["scan"]
    robot.run(0.5)
    assert robot.supervisor.state in PASSING


def test_standing_still_the_same_look_again_is_fine():
    robot = SupervisedRobot(obstacles=RING, twist=(0.0, 0.0, 0.0))
    robot.run(1.0)
    assert robot.supervisor.state in PASSING
    assert not robot.supervisor.inputs.sensors["scan"].rejected["frozen"]


@pytest.mark.parametrize("phase", range(5))
def test_without_odometry_nobody_knows_whether_the_same_look_again_is_frozen(phase):
    robot = SupervisedRobot(HELD, obstacles=RING)
    robot.drives = False  # commanded to move, and held: what it sees does not change, and rightly so
    robot.run(2.0 + 0.02 * phase)
    robot.before["odometry"] = lambda _: None
    assert robot.run(0.5)[-1].state not in PASSING
    del robot.before["odometry"]
    robot.run(0.5)
    assert robot.supervisor.state in PASSING, robot.supervisor.faults


def test_odometry_that_moves_and_stays_where_it_was_is_frozen():
    robot = SupervisedRobot()
    robot.run(1.0)
    kept = robot.odometry()
    robot.before["odometry"] = lambda now: replace(kept, stamp_ns=now.stamp_ns)
    stopped = [verdict.state not in PASSING for verdict in robot.run(1.0)]
    assert 0.2 < stopped.index(True) * 0.02 <= 0.26
    assert all(stopped[stopped.index(True) :])
    assert robot.supervisor.inputs.odometry.rejected["frozen"] > 10


def test_each_sensor_is_required_and_has_its_own_timeout():
    silent = {"front": 0.2, "rear": 0.5, "points": 1.0}
    robot = driving(
        SupervisorConfig(
            scan_topics=("front", "rear"), cloud_topics=("points",), sensor_timeouts_s=tuple(silent.values())
        )
    )
    receive = robot.supervisor.inputs.receive_sweep
    for topic, limit_s in silent.items():
        robot.supervisor.inputs.receive_sweep = lambda name, *rest, t=topic: None if name == t else receive(name, *rest)
        verdicts = robot.run(limit_s + 0.2)
        assert topic in verdicts[-1].reason and verdicts[-1].state not in PASSING
        assert verdicts[round(limit_s / 0.02) - 10].state in PASSING
        robot.supervisor.inputs.receive_sweep = receive
        robot.run(1.0)


def test_a_blind_scan_stops():
    robot = driving()
    sweep = robot.scan()
    few = Sweep(robot.ros_ns, sweep.origin, sweep.endpoints[:10], sweep.hit[:10])
    robot.supervisor.inputs.receive_sweep("scan", few, RAYS, robot.clock)
    verdict = robot.supervisor.supervise(robot.clock)
    assert "blind" in verdict.reason and verdict.state not in PASSING


def test_messages_rejected_before_the_core_stop_too():
    robot = driving()
    robot.supervisor.inputs.sensors["scan"].reject("ranges do not fit the angles")
    assert "ranges do not fit" in robot.supervisor.supervise(robot.clock).reason


def test_risk_over_the_limit_is_told():
    robot = driving()
    robot.before["plan"] = spoil("risk", 0.6)
    assert "risk 0.60 is over the limit" in robot.run(0.04)[-1].reason


def test_a_wall_ahead_slows_down_first_and_stops_before_it():
    wall = [(3.0, y) for y in np.linspace(-2.0, 2.0, 81)]
    robot = SupervisedRobot(twist=(1.0, 0.0, 0.0), obstacles=wall)
    verdicts = robot.run(8.0)
    states = [verdict.state for verdict in verdicts]
    assert State.LIMITING in states
    assert states.index(State.LIMITING) < states.index(State.STOPPED)
    assert any("braking_path" in verdict.limits for verdict in verdicts)
    gap_m = 3.0 - robot.pose[0] - 0.25
    assert 0.05 < gap_m < 0.4
    assert robot.moves[0] == 0.0
    slower = np.diff([verdict.command[0] for verdict in verdicts]) / 0.02
    assert np.abs(slower[: states.index(State.STOPPED) - 2]).max() <= 2.0 + 1e-6


def test_something_that_appears_too_close_stops_at_once():
    robot = driving(twist=(1.0, 0.0, 0.0))
    while robot.tick % 5:
        robot.step()
    robot.obstacles = np.array([[robot.pose[0] + 0.7, 0.0]])
    verdict = robot.step()
    assert not verdict.command.any()
    assert verdict.state == State.STOPPING
    assert FaultKind.OBSTACLE in {fault.kind for fault in robot.supervisor.faults}


def test_something_not_far_away_asks_for_more_than_gentle_slowing():
    robot = driving(twist=(1.0, 0.0, 0.0))
    while robot.tick % 5:
        robot.step()
    robot.obstacles = np.array([[robot.pose[0] + 1.05, 0.0]])
    assert "too close to slow down gently" in robot.step().reason


def test_a_wall_that_the_plan_stops_at_is_no_trip():
    """Intent: the plan brakes by itself, so nothing has to be limited or stopped."""
    robot = SupervisedRobot(obstacles=[(3.0, y) for y in np.linspace(-2.0, 2.0, 81)])

    def braking_plan(_):
        left_m = max(3.0 - 0.25 - 0.5 - robot.pose[0], 0.0)
        robot.twist = np.array([min(0.8, math.sqrt(2.0 * 0.25 * left_m)), 0.0, 0.0])
        robot.twist[0] = 0.0 if left_m < 0.01 else robot.twist[0]
        return robot.plan()

    robot.before["plan"] = braking_plan
    verdicts = robot.run(12.0)
    began = [verdict.state in PASSING for verdict in verdicts].index(True)
    assert {verdict.state for verdict in verdicts[began:]} == {int(State.ACTIVE)}
    assert robot.pose[0] > 2.0 and robot.moves[0] < 0.08


def test_a_robot_faster_than_commanded_has_its_real_braking_path_checked():
    robot = driving(HELD, twist=(0.2, 0.0, 0.0))
    robot.obstacles = np.array([[robot.pose[0] + 1.2, 0.0]])
    robot.run(0.2)
    assert robot.supervisor.state in PASSING
    runaway = np.array([1.5, 0.0, 0.0])
    robot.before["odometry"] = lambda o: replace(o, twist=runaway, pose=o.pose + [0.01 * (robot.tick % 2), 0.0, 0.0])
    assert "braking path of the measured motion" in robot.step().reason
    robot.obstacles = robot.obstacles[:0]
    robot.run(0.6)
    assert robot.supervisor.state in PASSING


def test_where_no_sensor_looks_it_goes_slowly():
    robot = SupervisedRobot(twist=(-0.4, 0.0, 0.0))

    def front_only(sweep):
        ahead = sweep.endpoints[:, 0] > 0.0
        return replace(sweep, endpoints=sweep.endpoints[ahead], hit=sweep.hit[ahead])

    robot.before["scan"] = front_only
    verdicts = robot.run(2.0)
    assert verdicts[-1].command[0] == pytest.approx(-0.15, abs=1e-3)
    assert verdicts[-1].state == State.LIMITING and "unseen" in verdicts[-1].limits


def test_a_plan_beyond_the_velocity_limit_is_slowed():
    verdicts = SupervisedRobot(twist=(5.0, 0.0, 0.0)).run(3.0)
    assert max(verdict.command[0] for verdict in verdicts) == pytest.approx(1.5)
    assert any("velocity" in verdict.limits for verdict in verdicts)


def test_catching_up_at_top_speed_is_not_limiting():
    robot = driving(twist=(1.45, 0.0, 0.0))
    behind = robot.plan()
    behind.trajectory.poses[:, 0] += 0.3
    robot.before["plan"] = lambda _: behind
    verdict = robot.run(0.04)[-1]
    assert verdict.state == State.ACTIVE and verdict.command[0] <= 1.5


def test_without_odometry_only_by_an_unsafe_parameter():
    robot = SupervisedRobot(SupervisorConfig(unsafe_without_odometry=True))
    robot.before["odometry"] = lambda _: None
    assert robot.run(1.0)[-1].state == State.ACTIVE
    robot.before["plan"] = lambda _: None
    states = [verdict.state for verdict in robot.run(4.0)]
    assert State.STOPPING in states  # nobody measures the speed: it may still move for as long as braking takes
    assert states[-1] == State.STOPPED


def test_without_odometry_and_never_moved_it_stands():
    robot = SupervisedRobot(SupervisorConfig(unsafe_without_odometry=True), twist=(0.0, 0.0, 0.0))
    robot.before["odometry"] = lambda _: None
    robot.run(1.0)
    robot.before["plan"] = lambda _: None
    assert {verdict.state for verdict in robot.run(1.0)[6:]} == {int(State.STOPPED)}


def test_without_sensors_only_by_an_unsafe_parameter():
    config = SupervisorConfig(scan_topics=(), unsafe_without_sensors=True)
    verdict = driving(config).step()
    assert verdict.state == State.ACTIVE and math.isnan(verdict.sensor_age_s)
    assert config.unsafe == ("unsafe_without_sensors",)


FAULT = st.sampled_from([*SPOILED.values(), *((name, lambda _: None) for name in ("plan", "scan", "odometry"))])


@settings(max_examples=CASES, deadline=None)
@given(
    st.lists(st.tuples(FAULT, st.integers(1, 8), st.booleans()), max_size=3),
    st.tuples(st.floats(-3, 3), st.floats(-1, 1), st.floats(-4, 4)),
    st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), max_size=4),
)
def test_whatever_happens_commands_stay_within_all_limits_and_zero_while_not_passing(episodes, twist, obstacles):
    robot = SupervisedRobot(twist=twist, obstacles=obstacles)
    limits = MotionLimits.from_config(robot.config)
    verdicts = robot.run(0.26)
    for (channel, change), ticks, keep_moving in episodes:
        robot.drives = not keep_moving
        robot.before = {channel: change}
        verdicts += [robot.step() for _ in range(ticks)]
        robot.before, robot.drives = {}, True
        verdicts += robot.run(0.26)
    last = np.zeros(3)
    for verdict in verdicts:
        assert np.isfinite(verdict.command).all()
        assert np.all(verdict.command <= limits.upper + 1e-9) and np.all(verdict.command >= limits.lower - 1e-9)
        if verdict.state in PASSING:
            assert np.all(np.abs(verdict.command - last) <= limits.acceleration * TICK_NS * 1e-9 + 1e-9)
        else:
            assert not verdict.command.any() and verdict.reason
        last = verdict.command


@settings(max_examples=CASES // 5, deadline=None)
@given(
    st.tuples(st.floats(-1, 1.5), st.just(0.0), st.floats(-2, 2)),
    st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=12),
)
def test_no_command_drives_into_what_is_seen(twist, obstacles):
    """A robot that does as told, wherever the plan wants to go, touches nothing that it sees."""
    obstacles = [point for point in obstacles if math.hypot(*point) > 0.4]
    robot = SupervisedRobot(twist=twist, obstacles=obstacles)
    for _ in range(120):
        robot.step()
        away = robot.obstacles - robot.pose[:2]
        assert len(away) == 0 or np.hypot(*away.T).min() > 0.25
