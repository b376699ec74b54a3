"""Each bound of a tick from both sides, on a robot that passes from its first tick on."""

import math
from dataclasses import replace

import numpy as np
import pytest

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import FaultKind
from edge_worldmodel.core.safety.inputs.intake import Instant
from edge_worldmodel.core.safety.states import PASSING, State
from edge_worldmodel.core.safety.supervisor import Supervisor

from .supervised_robot import START_NS, TICK_NS, SupervisedRobot, after, fault_kinds, passing, spoil, tick

MS = 1_000_000
FENCED = SupervisorConfig(geofence_m=(-1.0, -1.0, 2.0, -1.0, 2.0, 1.0, -1.0, 1.0))
DRONE = {"vehicle": "drone", "max_lateral_mps": 1.0}
BLIND = {"odometry": lambda _: None}
FAST_S = 2.0 * 1.5 / (2.0 * 0.9) + 0.2
"""Braking from the highest speed, and the reaction before it."""


def test_a_verdict_tells_what_was_decided_and_from_what():
    verdict = SupervisedRobot(obstacles=[(3.0, 0.0)]).step()
    assert (verdict.stamp_ns, verdict.frame_id, verdict.state) == (START_NS + TICK_NS, "base_link", State.ACTIVE)
    assert (verdict.reason, verdict.limits, verdict.risk, verdict.climb_mps) == ("", ("jerk",), 0.1, 0.0)
    assert verdict.plan_age_s == 0.0 and verdict.sensor_age_s == 0.0
    assert verdict.command[0] == pytest.approx(20.0 * 0.02 * 0.02)
    assert verdict.clearance_margin_m == pytest.approx(3.0 - 0.25, abs=0.05)


def test_a_stopped_verdict_tells_no_limits_but_its_first_fault():
    robot = passing(twist=(5.0, 0.0, 0.0))
    robot.supervisor.press_estop(True)
    verdict = tick(robot, 20)
    assert (verdict.reason, verdict.limits) == ("emergency stop pressed (service)", ()) and not verdict.command.any()
    assert math.isnan(verdict.clearance_margin_m)


def test_slower_than_planned_is_told_with_what_slows():
    robot = passing(twist=(5.0, 0.0, 0.0))
    assert robot.supervisor.state is State.LIMITING
    assert robot.step().reason == "slower than planned: velocity, jerk"


def test_sensor_age_is_that_of_the_oldest_and_unknown_while_one_is_missing():
    robot = SupervisedRobot(SupervisorConfig(scan_topics=("front", "rear")))
    supervisor, clock = robot.supervisor, robot.clock
    supervisor.inputs.receive_sweep("front", replace(robot.scan(), stamp_ns=clock.ros_ns - 100 * MS), 180, clock)
    assert math.isnan(supervisor.supervise(clock).sensor_age_s)
    supervisor.inputs.receive_sweep("rear", robot.scan(), 180, clock)
    assert supervisor.supervise(clock).sensor_age_s == pytest.approx(0.1)


@pytest.mark.parametrize(("ms", "expired"), [(599, False), (600, True)])
def test_a_plan_ends_at_its_valid_until(ms, expired):
    robot = passing(SupervisorConfig(plan_timeout_s=0.5))
    clock = after(robot, ms, 20)
    robot.supervisor.inputs.receive_sweep("scan", replace(robot.scan(), stamp_ns=clock.ros_ns), 180, clock)
    robot.supervisor.inputs.receive_odometry(replace(robot.odometry(), stamp_ns=clock.ros_ns), clock)
    verdict = robot.supervisor.supervise(clock)
    assert (verdict.state not in PASSING) is expired
    assert not expired or (verdict.reason == "plan: expired 0.00 s ago" and fault_kinds(robot) == [FaultKind.PLAN])


@pytest.mark.parametrize(("risk", "stops"), [(0.5, False), (0.51, True)])
def test_a_plan_may_be_as_risky_as_the_limit(risk, stops):
    robot = SupervisedRobot()
    robot.before["plan"] = spoil("risk", risk)
    verdict = robot.step()
    assert (verdict.state not in PASSING) is stops
    assert not stops or (verdict.reason == "risk 0.51 is over the limit 0.5" and fault_kinds(robot) == [FaultKind.RISK])


@pytest.mark.parametrize(("off_m", "stops"), [(0.999, False), (1.001, True)])
def test_the_robot_may_be_off_its_plan_by_the_tracking_error(off_m, stops):
    robot = SupervisedRobot()
    robot.before["plan"] = lambda plan: spoil("trajectory.poses", plan.trajectory.poses + [0.0, off_m, 0.0])(plan)
    verdict = robot.step()
    assert (verdict.state not in PASSING) is stops
    assert not stops or verdict.reason == "the robot is 1.00 m away from its plan"
    assert not stops or fault_kinds(robot) == [FaultKind.TRACKING]


def test_the_plan_is_read_where_it_is_by_now():
    robot = passing(SupervisorConfig(unsafe_without_odometry=True, plan_timeout_s=0.5, actuation_delay_s=0.0))
    twists = np.zeros((9, 3))
    twists[1:, 0] = 0.5
    plan = spoil("trajectory.twists", twists)(robot.plan())
    robot.supervisor.inputs.receive_plan(plan, robot.clock)
    for ms in range(20, 180, 20):
        verdict = tick(robot, ms)
    assert verdict.command[0] == pytest.approx(0.5 * 0.16 / 0.4, abs=0.03)


@pytest.mark.parametrize(("back_ms", "jumped"), [(10, False), (10.001, True)])
def test_a_clock_may_slew_back_by_ten_milliseconds(back_ms, jumped):
    robot = passing()
    verdict = tick(robot, -back_ms, 20)
    assert (verdict.state not in PASSING) is jumped
    assert jumped is (FaultKind.CLOCK in fault_kinds(robot))
    if jumped:
        assert verdict.reason == "the ROS clock jumped back; all older inputs were dropped"
        assert set(fault_kinds(robot)) == {FaultKind.CLOCK, FaultKind.SENSOR, FaultKind.ODOMETRY, FaultKind.PLAN}
        tick(robot, -back_ms + 20, 40)
        assert FaultKind.CLOCK not in fault_kinds(robot)


@pytest.mark.parametrize(("steady_ms", "stands"), [(200, False), (200.001, True)])
def test_a_clock_may_stand_for_its_timeout(steady_ms, stands):
    robot = passing()
    tick(robot, 0, steady_ms)
    assert (fault_kinds(robot)[:1] == [FaultKind.CLOCK]) is stands
    assert not stands or robot.supervisor.faults[0].text == "the ROS clock does not advance"


def test_a_clock_that_has_not_begun_is_a_fault_and_one_that_has_is_not():
    supervisor = Supervisor(SupervisorConfig())
    for ros_ns, fault in ((0, True), (1, False)):
        supervisor.supervise(Instant(ros_ns, MS))
        assert (supervisor.faults[0].kind is FaultKind.CLOCK) is fault


def test_a_clock_that_goes_on_after_a_jump_is_watched_from_there():
    robot = passing()
    tick(robot, -5000, 20)
    tick(robot, -4990, 100)
    tick(robot, -4990, 301)
    assert fault_kinds(robot)[0] is FaultKind.CLOCK


@pytest.mark.parametrize(("steady_ms", "dt_s"), [(10, 0.01), (20, 0.02), (60, 0.02), (1, 1e-3), (0, 1e-3), (0.5, 1e-3)])
def test_a_step_is_as_long_as_the_tick_and_no_longer_than_a_period(steady_ms, dt_s):
    robot = passing()
    first = robot.moves[0]
    gained = tick(robot, 1, steady_ms).command[0] - first
    assert gained == pytest.approx((20.0 * 0.02 + 20.0 * dt_s) * dt_s, rel=1e-6)


@pytest.mark.parametrize(("x_m", "outside"), [(1.749, False), (1.751, True)])
def test_outside_the_fence_latches(x_m, outside):
    robot = passing(FENCED, twist=(0.0, 0.0, 0.0))
    robot.pose[:2] = x_m, 0.5
    robot.moves[:] = 0.0
    verdict = robot.step()
    assert (verdict.state == State.LATCHED) is outside
    assert not outside or verdict.reason.startswith("outside the geofence at x 1.75 m, y 0.50 m; call")


@pytest.mark.parametrize(("age_ms", "outside"), [(100, False), (150, True), (-50, False)])
def test_the_place_is_carried_forward_to_now_and_never_back(age_ms, outside):
    robot = passing(FENCED, twist=(0.0, 0.0, 0.0))
    moving = replace(
        robot.odometry(),
        stamp_ns=robot.ros_ns + TICK_NS - age_ms * MS,
        pose=np.array([0.0, 0.62, math.pi / 2]),
        twist=np.array([1.0, 0.0, 0.0]),
    )
    robot.supervisor.inputs.odometry.forget()
    robot.before["odometry"] = lambda _: moving
    robot.step()
    assert (FaultKind.GEOFENCE in fault_kinds(robot)) is outside


def test_behind_the_clock_nothing_is_carried_back_over_the_fence():
    robot = passing(FENCED, twist=(0.0, 0.0, 0.0))
    ahead = replace(
        robot.odometry(),
        stamp_ns=robot.ros_ns + TICK_NS + 90 * MS,
        pose=np.array([2.05, 0.0, 0.0]),
        twist=np.array([1.0, 0.0, 0.0]),
    )
    robot.before["odometry"] = lambda _: ahead
    robot.step()
    assert FaultKind.GEOFENCE in fault_kinds(robot)


def resting(obstacles, twist):
    """A robot told to rest, that moves, and whose last scan is 0.1 s old."""
    robot = passing(twist=(0.0, 0.0, 0.0), obstacles=obstacles)
    clock = after(robot, 100)
    robot.supervisor.inputs.receive_plan(replace(robot.plan(), stamp_ns=clock.ros_ns), clock)
    odometry = replace(robot.odometry(), stamp_ns=clock.ros_ns, twist=np.array(twist))
    robot.supervisor.inputs.receive_odometry(odometry, clock)
    return robot.supervisor.supervise(clock)


def test_what_was_seen_is_moved_to_where_it_is_by_now():
    assert resting([(3.0, 0.0)], (1.0, 0.0, 0.0)).clearance_margin_m == pytest.approx(3.0 - 0.1 - 0.25, abs=0.03)
    assert resting([(3.0, 0.0)], (0.0, 0.0, 0.0)).clearance_margin_m == pytest.approx(3.0 - 0.25, abs=0.03)
    turned = resting([(0.0, 1.0), (0.0, 5.0)], (0.0, 1.0, 0.0))
    assert turned.clearance_margin_m == pytest.approx(1.0 - 0.1 - 0.25, abs=0.03)


def test_where_rays_end_without_a_hit_is_no_obstacle():
    robot = SupervisedRobot(twist=(1.0, 0.0, 0.0))
    robot.before["scan"] = lambda look: replace(look, endpoints=0.05 * look.endpoints)
    assert robot.step().limits == ("unseen", "jerk")
    robot = SupervisedRobot(twist=(1.0, 0.0, 0.0))
    robot.before["scan"] = lambda look: replace(look, endpoints=0.05 * look.endpoints, hit=~look.hit)
    assert "braking_path" in robot.step().limits


def test_every_sensor_sees_for_all():
    config = SupervisorConfig(scan_topics=("front", "rear"))
    for blocked in ("front", "rear"):
        robot = SupervisedRobot(config)
        receive = robot.supervisor.inputs.receive_sweep
        wall = replace(
            robot.scan(), stamp_ns=START_NS + TICK_NS, endpoints=np.array([[0.3, 0.0]]), hit=np.array([True])
        )
        robot.supervisor.inputs.receive_sweep = lambda topic, look, rays, clock, b=blocked, r=receive, w=wall: r(
            topic, w if topic == b else look, 1 if topic == b else rays, clock
        )
        robot.step()
        assert fault_kinds(robot) == [FaultKind.OBSTACLE]


def test_everything_has_to_hold_for_a_while_before_it_goes_on():
    robot = passing()
    robot.before["odometry"] = spoil("frame_id", "map")
    robot.step()
    robot.before.clear()
    reasons = [robot.step().reason]
    assert fault_kinds(robot) == [FaultKind.SETTLING]
    reasons += [robot.step().reason for _ in range(9)]
    assert set(reasons[:9]) == {"odometry: frame is 'map', expected 'odom'"} and reasons[9] == ""
    assert robot.supervisor.state is State.ACTIVE


@pytest.mark.parametrize(
    ("twist", "moves"),
    [
        ((0.029, 0.029, 0.059), False),
        ((0.031, 0.0, 0.0), True),
        ((-0.031, 0.0, 0.0), True),
        ((0.0, 0.031, 0.0), True),
        ((0.0, 0.0, 0.061), True),
    ],
)
def test_a_robot_is_said_to_stand_when_odometry_says_so(twist, moves):
    robot = passing()
    robot.before = {"plan": spoil("frame_id", "map"), "odometry": spoil("twist", np.array(twist))}
    robot.step()
    robot.step()
    assert robot.supervisor.state is (State.STOPPING if moves else State.STOPPED)


@pytest.mark.parametrize(("waited_s", "moves"), [(FAST_S - 0.01, True), (FAST_S + 0.01, False)])
def test_without_odometry_it_may_move_for_as_long_as_braking_takes(waited_s, moves):
    robot = SupervisedRobot(SupervisorConfig(unsafe_without_odometry=True))
    robot.before = dict(BLIND)
    robot.step()
    tick(robot, 1000.0 * waited_s)
    assert robot.supervisor.state is (State.STOPPING if moves else State.STOPPED)


def test_a_drone_holds_for_its_time_and_says_why_it_lands():
    robot = passing(SupervisorConfig(**DRONE))
    tick(robot, 2000)
    assert robot.supervisor.state is State.HOLD, "counted from the last tick that was good"
    tick(robot, 3000)
    assert robot.supervisor.state is State.HOLD
    verdict = tick(robot, 3000.001)
    assert verdict.state == State.LANDING and verdict.climb_mps == -0.5
    assert verdict.reason.startswith("landing: sensor scan: silent for 3.00 s")
    assert tick(robot, 9000).reason == verdict.reason, "what it lands for is what came first"


def test_it_descends_as_fast_as_configured():
    robot = passing(SupervisorConfig(landing_speed_mps=0.8, **DRONE))
    assert tick(robot, 4000).climb_mps == -0.8


def test_a_latched_ground_robot_tells_its_reason_until_it_is_reset():
    robot = passing()
    verdict = robot.supervisor.fail("division by zero", robot.clock)
    assert verdict.reason == "defect in the supervisor: division by zero; call supervisor/reset to go on"
    assert fault_kinds(robot) == [FaultKind.INTERNAL] and not verdict.command.any() and verdict.state == State.LATCHED
    verdict = robot.step()
    assert verdict.reason == "defect in the supervisor: division by zero; call supervisor/reset to go on"
    assert fault_kinds(robot)[0] is FaultKind.INTERNAL
    assert robot.supervisor.reset(robot.clock) == (True, "Reset. The robot moves again as soon as all checks pass.")
    assert robot.supervisor.state is State.STARTING
    states = [robot.step().state for _ in range(11)]
    assert states[8] == State.STARTING and states[-1] == State.ACTIVE


def test_a_reset_says_why_it_is_refused_and_what_to_do():
    robot = passing(FENCED, twist=(0.0, 0.0, 0.0))
    assert robot.supervisor.reset(robot.clock) == (True, "Nothing to reset: the state is ACTIVE.")
    robot.pose[0] = 2.5
    robot.step()
    accepted, text = robot.supervisor.reset(robot.clock)
    assert not accepted and robot.supervisor.state is State.LATCHED
    assert text == f"Refused: outside the geofence at x 2.50 m, y 0.00 m. {FaultKind.GEOFENCE.value}"
    robot.supervisor.press_estop(True)
    accepted, text = robot.supervisor.reset(robot.clock)
    assert not accepted and text == f"Refused: the emergency stop is pressed (service). {FaultKind.ESTOP.value}"


def test_after_an_emergency_stop_that_is_what_is_told_and_not_an_older_fault():
    robot = passing()
    robot.supervisor.fail("division by zero", robot.clock)
    robot.supervisor.press_estop(True, "topic")
    robot.step()
    assert robot.supervisor.state is State.ESTOP and fault_kinds(robot)[:2] == [FaultKind.ESTOP, FaultKind.INTERNAL]
    assert robot.supervisor.reset(robot.clock)[0] is False
    robot.supervisor.press_estop(False, "topic")
    robot.supervisor.reset(robot.clock)
    robot.supervisor.press_estop(True)
    robot.step()
    robot.supervisor.press_estop(False)
    assert robot.step().reason == "emergency stop was pressed; call supervisor/reset to go on"


@pytest.mark.parametrize(
    ("name", "silence_ms", "stops"),
    [("plan", 100, False), ("plan", 101, True), ("scan", 200, False), ("scan", 201, True)]
    + [("odometry", 200, False), ("odometry", 201, True)],
)
def test_each_input_may_be_silent_for_its_own_timeout(name, silence_ms, stops):
    robot = passing()
    clock = after(robot, silence_ms)
    fresh = {"stamp_ns": clock.ros_ns}
    if name != "plan":
        robot.supervisor.inputs.receive_plan(replace(robot.plan(), **fresh), clock)
    if name != "scan":
        robot.supervisor.inputs.receive_sweep("scan", replace(robot.scan(), **fresh), 180, clock)
    if name != "odometry":
        robot.supervisor.inputs.receive_odometry(replace(robot.odometry(), **fresh), clock)
    verdict = robot.supervisor.supervise(clock)
    assert (verdict.state not in PASSING) is stops
    expected = {"plan": "plan: silent", "scan": "sensor scan: silent", "odometry": "odometry: silent"}[name]
    assert not stops or verdict.reason.startswith(expected)


@pytest.mark.parametrize("name", ["plan", "scan", "odometry"])
@pytest.mark.parametrize(("ahead_ms", "stops"), [(100, False), (101, True)])
def test_each_input_may_be_ahead_by_the_tolerance(name, ahead_ms, stops):
    robot = SupervisedRobot()
    robot.before[name] = spoil("stamp_ns", lambda ns: ns + ahead_ms * MS)
    assert (robot.step().state not in PASSING) is stops


@pytest.mark.parametrize(("age_ms", "stops"), [(1000, False), (1001, True)])
def test_a_plan_may_be_as_old_as_its_own_limit(age_ms, stops):
    robot = SupervisedRobot()

    def aged(plan):
        return replace(plan, stamp_ns=plan.stamp_ns - age_ms * MS, valid_until_ns=plan.valid_until_ns + 900 * MS)

    robot.before["plan"] = aged
    robot.step()
    assert (FaultKind.PLAN in fault_kinds(robot)) is stops


def test_a_plan_sent_again_is_a_sign_of_life_and_a_scan_or_odometry_is_not():
    robot = passing()
    kept = {"plan": robot.plan(), "scan": robot.scan(), "odometry": robot.odometry()}
    robot.supervisor.inputs.receive_plan(kept["plan"], robot.clock)
    for name, repeats in (("plan", True), ("scan", False), ("odometry", False)):
        intakes = {"scan": robot.supervisor.inputs.sensors["scan"]}
        before = intakes.get(name) or getattr(robot.supervisor.inputs, name)
        now = after(robot, 50)
        before.offer(kept[name], before.value.stamp_ns, "", now)
        assert (before.silence_s(now) == 0.0) is repeats


def test_before_its_first_tick_there_is_no_fault():
    supervisor = Supervisor(SupervisorConfig())
    assert supervisor.faults == () and supervisor.state is State.STARTING


def test_a_sweep_that_is_blind_is_judged_by_the_rays_that_were_sent():
    robot = SupervisedRobot()
    clock = robot.clock
    for rays, blind in ((900, False), (901, True)):
        robot.supervisor.inputs.receive_sweep("scan", replace(robot.scan(), stamp_ns=clock.ros_ns + rays), rays, clock)
        assert (robot.supervisor.inputs.sensors["scan"].value is None) is blind
