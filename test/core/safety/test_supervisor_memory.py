"""What the supervisor remembers and what it is told by others, in the few ticks that it takes to show."""

import math
from dataclasses import replace

import numpy as np
import pytest

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import FaultKind
from edge_worldmodel.core.safety.states import PASSING, State

from .supervised_robot import TICK_NS, SupervisedRobot, after, fault_kinds, passing, spoil, tick

MS = 1_000_000
FENCED = SupervisorConfig(geofence_m=(-1.0, -1.0, 2.0, -1.0, 2.0, 1.0, -1.0, 1.0))
DRONE = {"vehicle": "drone", "max_lateral_mps": 1.0}
BLIND = {"odometry": lambda _: None}
RING = [(6.0 * math.cos(a), 6.0 * math.sin(a)) for a in np.linspace(0.1, 6.2, 40)]


def looking(robot, look, ms):
    """One more look, with a new stamp."""
    clock = after(robot, ms)
    robot.supervisor.inputs.receive_sweep("scan", replace(look, stamp_ns=clock.ros_ns), len(look.hit), clock)
    return robot.supervisor.inputs.sensors["scan"]


def test_the_same_look_again_is_frozen_while_the_robot_moves_and_stays_so_when_it_stops():
    robot = SupervisedRobot(obstacles=RING)
    robot.moves = np.array([0.5, 0.0, 0.0])
    robot.step()
    kept, moves = robot.supervisor.inputs.sensors["scan"].value, robot.odometry()
    assert looking(robot, kept, 10).rejected == {"frozen": 1}
    clock = after(robot, 15)
    robot.supervisor.inputs.receive_odometry(replace(moves, stamp_ns=clock.ros_ns, twist=np.zeros(3)), clock)
    sensor = looking(robot, kept, 20)
    assert sensor.rejected == {"frozen": 2} and sensor.silence_s(after(robot, 20)) == pytest.approx(0.02)
    robot.pose[0] = 0.1
    assert looking(robot, robot.scan(), 30).silence_s(after(robot, 30)) == 0.0
    assert looking(robot, robot.scan(), 40).silence_s(after(robot, 40)) == 0.0, "it stands: the same again is fine"
    assert sensor.rejected == {"frozen": 2}


def test_without_odometry_a_same_look_is_frozen_by_the_command_only_where_odometry_is_not_due():
    for unsafe, frozen in ((True, 1), (False, 0)):
        config = SupervisorConfig(unsafe_without_odometry=unsafe, max_jerk_mps3=500.0, max_acceleration_mps2=20.0)
        robot = passing(config, obstacles=RING, twist=(1.0, 0.0, 0.0))
        assert robot.moves[0] > 0.1
        robot.supervisor.inputs.odometry.forget()
        assert looking(robot, robot.supervisor.inputs.sensors["scan"].value, 10).rejected["frozen"] == frozen


def test_odometry_that_moves_on_the_spot_is_frozen():
    robot = SupervisedRobot()
    robot.moves = np.array([0.5, 0.0, 0.0])
    robot.step()
    kept = robot.supervisor.inputs.odometry.value
    for ms, pose, frozen in ((10, kept.pose, 1), (20, kept.pose + 0.01, 1), (30, kept.pose + 0.01, 2)):
        clock = after(robot, ms)
        robot.supervisor.inputs.receive_odometry(replace(kept, stamp_ns=clock.ros_ns, pose=pose), clock)
        assert robot.supervisor.inputs.odometry.rejected["frozen"] == frozen


def test_odometry_with_a_problem_is_not_taken():
    robot = SupervisedRobot()
    robot.before["odometry"] = spoil("pose", np.array([np.nan, 0.0, 0.0]))
    assert robot.step().reason == "odometry: pose or twist is not finite or too large"


def test_the_stop_by_service_and_the_stop_by_topic_are_two():
    robot = passing()
    robot.supervisor.press_estop(True)
    robot.supervisor.press_estop(True, "topic")
    robot.step()
    robot.supervisor.press_estop(False, "topic")
    assert robot.step().state == State.ESTOP
    robot.supervisor.press_estop(False, "service")
    assert robot.step().state == State.LATCHED


def test_a_command_is_remembered_only_while_it_is_passed_on():
    robot = passing()
    for _ in range(5):
        robot.step()
    before = robot.moves[0]
    robot.supervisor.press_estop(True)
    assert not robot.step().command.any() and before > 0.05
    robot.supervisor.press_estop(False)
    verdict = robot.step()
    assert verdict.state == State.LATCHED and not verdict.command.any() and verdict.limits == ()
    assert robot.supervisor.reset(robot.clock)[0]
    robot.drives = False
    first = next(verdict.command[0] for verdict in robot.run(0.4) if verdict.state in PASSING)
    assert first == pytest.approx(20.0 * 0.02 * 0.02), "from rest again"


def test_imagined_things_are_where_they_are_by_now():
    robot = SupervisedRobot(twist=(1.0, 0.0, 0.0))
    cells = np.zeros((64, 64), np.float32)
    cells[32, 36] = 0.9  # 0.9 m ahead of where the robot was
    for x_m, slower in ((0.0, True), (2.0, False)):
        robot.supervisor.inputs.imagined.receive(robot.ros_ns + TICK_NS, np.array([x_m, 0.0, 0.0]), cells)
        robot.before["odometry"] = spoil("pose", np.array([0.0, 0.0, 0.0]))
        robot.pose[:] = 0.0
        assert ("imagined" in robot.step().limits) is slower
    robot.supervisor.inputs.imagined.receive(robot.ros_ns + TICK_NS + 2000 * MS, np.zeros(3), cells)
    assert "imagined" not in robot.step().limits


def test_imagined_things_count_from_the_configured_probability():
    cells = np.zeros((64, 64), np.float32)
    cells[32, 36] = 0.5
    for least, slower in ((0.5, True), (0.6, False)):
        robot = SupervisedRobot(SupervisorConfig(imagined_min=least), twist=(1.0, 0.0, 0.0))
        robot.supervisor.inputs.imagined.receive(robot.ros_ns + TICK_NS, np.zeros(3), cells)
        assert ("imagined" in robot.step().limits) is slower


def test_what_is_not_a_number_is_not_passed(monkeypatch):
    robot = passing()
    monkeypatch.setattr(
        "edge_worldmodel.core.safety.supervisor.follow", lambda *_: (np.array([0.0, math.inf, 0.0]), 0.0)
    )
    verdict = robot.step()
    assert verdict.state == State.LATCHED and fault_kinds(robot) == [FaultKind.INTERNAL]
    assert verdict.reason == "the command is not finite; call supervisor/reset to go on"
    monkeypatch.setattr("edge_worldmodel.core.safety.supervisor.follow", lambda *_: (np.zeros(3), math.nan))
    robot.supervisor.reset(robot.clock)
    for _ in range(12):
        robot.step()
    assert fault_kinds(robot) == [FaultKind.TRACKING]


def test_at_the_fence_nothing_drives_that_would_stop_behind_it():
    robot = SupervisedRobot(FENCED)
    robot.pose[0], robot.drives = 1.74, False
    found = [cause for _ in range(20) if robot.step() for cause in fault_kinds(robot)]
    assert FaultKind.GEOFENCE_AHEAD in found and FaultKind.GEOFENCE not in found


def test_a_place_that_is_no_longer_trusted_is_not_judged():
    robot = passing(FENCED, twist=(0.0, 0.0, 0.0))
    clock = after(robot, 10)
    outside = replace(robot.odometry(), stamp_ns=clock.ros_ns, pose=np.array([5.0, 0.0, 0.0]))
    robot.supervisor.inputs.receive_odometry(outside, clock)
    tick(robot, 215)
    assert FaultKind.ODOMETRY in fault_kinds(robot) and FaultKind.GEOFENCE not in fault_kinds(robot)


def test_height_is_judged_by_the_odometry_that_is_trusted():
    robot = SupervisedRobot(SupervisorConfig(height_band_m=(1.0, 3.0), **DRONE))
    assert robot.step().reason == "height 0.00 m is outside 1 m to 3 m"


def test_a_low_battery_latches_until_it_is_charged():
    robot = SupervisedRobot(SupervisorConfig(battery_min=0.2))
    robot.supervisor.guards.receive_battery(0.1, robot.clock)
    assert robot.step().state == State.LATCHED and fault_kinds(robot) == [FaultKind.BATTERY]
    accepted, text = robot.supervisor.reset(robot.clock)
    assert not accepted and text == f"Refused: battery at 10 %, the limit is 20 %. {FaultKind.BATTERY.value}"
    robot.supervisor.guards.receive_battery(0.9, robot.clock)
    assert robot.supervisor.reset(robot.clock)[0]


def test_a_drone_with_a_low_battery_does_not_hold_first():
    robot = SupervisedRobot(SupervisorConfig(battery_min=0.2, **DRONE))
    robot.supervisor.guards.receive_battery(0.5, robot.clock)
    assert robot.step().state in PASSING
    robot.supervisor.guards.receive_battery(0.1, robot.clock)
    assert robot.step().state == State.LANDING


def test_a_drone_that_sank_and_stands_has_landed():
    robot = passing(SupervisorConfig(**DRONE))
    tick(robot, 3100)
    for ms, climb_mps, reason in ((3120, -0.5, "landing: "), (5000, 0.0, "landing: "), (5121, 0.0, "landed; call")):
        clock = after(robot, ms)
        odometry = replace(robot.odometry(), stamp_ns=clock.ros_ns, climb_mps=climb_mps)
        robot.supervisor.inputs.receive_odometry(odometry, clock)
        verdict = robot.supervisor.supervise(clock)
        assert verdict.state == State.LANDING and verdict.reason.startswith(reason)
        assert verdict.climb_mps == (0.0 if reason == "landed; call" else -0.5)


def test_without_odometry_one_that_never_moved_stands():
    robot = SupervisedRobot(SupervisorConfig(unsafe_without_odometry=True), twist=(0.0, 0.0, 0.0))
    robot.before = dict(BLIND)
    robot.step()
    tick(robot, 300)
    assert robot.supervisor.state is State.STOPPED


def test_without_sensors_there_is_no_sensor_age():
    robot = passing(SupervisorConfig(scan_topics=(), unsafe_without_sensors=True))
    assert math.isnan(robot.step().sensor_age_s) and robot.supervisor.state is State.ACTIVE
