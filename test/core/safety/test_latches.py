"""What waits for a person is recorded, restored, and not reset while its cause lasts or cannot be seen."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from edge_worldmodel.core.errors import ConfigError, LatchStoreError
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import Fault, FaultKind, SteadyReason
from edge_worldmodel.core.safety.latches import LatchRecord, MemoryLatchStore
from edge_worldmodel.core.safety.states import PASSING, State
from edge_worldmodel.core.safety.supervisor import Supervisor

from .supervised_robot import SupervisedRobot, driving, fault_kinds

DRONE = {"vehicle": "drone", "max_lateral_mps": 1.0}
FENCE = {"geofence_m": (-1.0, -1.0, 2.0, -1.0, 2.0, 1.0, -1.0, 1.0)}


@dataclass
class BrokenStore:
    """A store whose disk fails."""

    readable: bool = True
    writable: bool = True
    record: LatchRecord = field(default_factory=LatchRecord)
    writes: int = 0

    def read(self):
        if not self.readable:
            raise LatchStoreError("the record is damaged")
        return self.record

    def write(self, record):
        self.writes += 1
        if not self.writable:
            raise LatchStoreError("the disk is full")
        self.record = record


def restarted(robot, store):
    """The robot with a supervisor that has just started again from the record of the one before."""
    robot.supervisor = Supervisor(robot.config, store)
    return robot


def stored_robot(**config):
    """A robot that drives, and the store of its supervisor."""
    robot, store = SupervisedRobot(SupervisorConfig(**config)), MemoryLatchStore()
    restarted(robot, store).run(1.0)
    assert robot.supervisor.state in PASSING
    return robot, store


def step(robot):
    verdict = robot.step()
    robot.supervisor.save_latches()
    return verdict


def states(robot, duration_s):
    return {State(step(robot).state) for _ in range(round(duration_s / 0.02))}


@pytest.mark.parametrize("source", ["service", "estop", "estop, best effort"])
def test_a_pressed_stop_is_still_pressed_after_a_restart(source):
    robot, store = stored_robot()
    robot.supervisor.press_estop(True, source)
    step(robot)
    assert states(restarted(robot, store), 1.0) == {State.ESTOP}
    accepted, text = robot.supervisor.reset(robot.clock)
    assert not accepted and source in text
    robot.supervisor.press_estop(False, source)
    assert states(robot, 0.5) == {State.LATCHED}
    assert states(restarted(robot, store), 0.5) == {State.LATCHED}
    assert robot.supervisor.reset(robot.clock)[0]
    assert states(restarted(robot, store), 1.0) & PASSING


def test_a_source_that_is_no_longer_configured_cannot_press_for_ever():
    robot, store = stored_robot(estop_topics=("panel",))
    robot.supervisor.press_estop(True, "panel")
    step(robot)
    robot.config = SupervisorConfig()
    assert states(restarted(robot, store), 0.1) <= {State.ESTOP, State.LATCHED}
    assert robot.supervisor.reset(robot.clock)[0]


def test_a_latched_fault_is_latched_after_a_restart():
    robot, store = stored_robot()
    robot.supervisor.fail("division by zero", robot.clock)
    robot.supervisor.save_latches()
    verdict = restarted(robot, store).step()
    assert verdict.state == State.LATCHED and "division by zero" in verdict.reason
    assert robot.supervisor.reset(robot.clock)[0]
    assert robot.run(1.0)[-1].state in PASSING


def test_a_landing_goes_on_after_a_restart():
    robot, store = stored_robot(**DRONE)
    robot.before["plan"] = lambda _: None
    assert State.LANDING in states(robot, 4.0)
    robot.before.clear()
    verdict = restarted(robot, store).run(1.0)[-1]
    assert verdict.state == State.LANDING and verdict.climb_mps < 0.0 and "silent for" in verdict.reason


def test_a_record_is_only_written_when_it_changes():
    robot, store = SupervisedRobot(SupervisorConfig(**FENCE)), BrokenStore()
    states(restarted(robot, store), 1.0)
    assert store.writes == 1
    robot.pose = np.array([2.5, 0.0, 0.0])
    for _ in range(20):
        robot.pose[0] += 0.1
        step(robot)
    assert store.writes == 2 and store.record.state is State.LATCHED


def test_a_damaged_record_means_latched():
    robot, store = SupervisedRobot(), BrokenStore(readable=False)
    assert states(restarted(robot, store), 1.0) == {State.LATCHED}
    assert "the record is damaged" in robot.step().reason
    assert robot.supervisor.reset(robot.clock)[0]
    assert states(robot, 1.0) & PASSING


def test_without_a_place_for_the_record_nothing_moves_until_there_is_one():
    robot, store = SupervisedRobot(), BrokenStore(writable=False)
    assert states(restarted(robot, store), 1.0) == {State.LATCHED}
    assert store.writes < 5
    accepted, text = robot.supervisor.reset(robot.clock)
    assert not accepted and "the disk is full" in text
    store.writable = True
    assert robot.supervisor.reset(robot.clock)[0]
    assert states(robot, 1.0) & PASSING


def test_a_stop_that_cannot_be_recorded_stops_all_the_same_and_is_not_reset():
    robot, store = SupervisedRobot(), BrokenStore()
    states(restarted(robot, store), 1.0)
    store.writable = False
    robot.supervisor.press_estop(True)
    assert not step(robot).command.any()
    robot.supervisor.press_estop(False)
    assert states(robot, 0.2) == {State.LATCHED}
    assert not robot.supervisor.reset(robot.clock)[0]


@pytest.mark.parametrize("restart", [False, True])
def test_a_reset_is_refused_while_nothing_shows_that_the_robot_is_back_inside(restart):
    robot, store = stored_robot(**FENCE)
    robot.pose = np.array([2.5, 0.0, 0.0])
    assert step(robot).state == State.LATCHED
    robot.before["odometry"] = lambda _: None
    if restart:
        restarted(robot, store)
    states(robot, 1.0)
    accepted, text = robot.supervisor.reset(robot.clock)
    assert not accepted and "outside the geofence" in text and "odometry:" in text
    robot.before.clear()
    robot.pose = np.zeros(3)
    states(robot, 0.1)
    assert robot.supervisor.reset(robot.clock)[0]


@pytest.mark.parametrize("bad", [None, float("nan")])
def test_a_reset_is_refused_while_nobody_tells_the_charge(bad):
    robot = SupervisedRobot(SupervisorConfig(battery_min=0.2))
    robot.supervisor.guards.receive_battery(0.1, robot.clock)
    assert robot.step().state == State.LATCHED
    if bad is not None:
        robot.supervisor.guards.receive_battery(bad, robot.clock)
    robot.run(6.0)
    accepted, text = robot.supervisor.reset(robot.clock)
    assert not accepted and "battery" in text
    robot.supervisor.guards.receive_battery(0.9, robot.clock)
    assert robot.supervisor.reset(robot.clock)[0]


def test_every_cause_must_be_over_not_only_the_last():
    robot, _ = stored_robot(**FENCE)
    robot.pose = np.array([2.5, 0.0, 0.0])
    step(robot)
    robot.supervisor.press_estop(True)
    robot.before["odometry"] = lambda _: None
    states(robot, 0.5)
    robot.supervisor.press_estop(False)
    step(robot)
    accepted, text = robot.supervisor.reset(robot.clock)
    assert not accepted and "outside the geofence" in text


def hears(robot, topic="estop"):
    """Let the robot hear the panel of a topic before every tick."""

    def odometry(same):
        robot.supervisor.guards.receive_panel(topic, robot.clock)
        return same

    robot.before["odometry"] = odometry


def test_a_silent_panel_is_a_pressed_stop():
    robot = SupervisedRobot(SupervisorConfig(estop_heartbeat_s=0.3))
    assert {verdict.state for verdict in robot.run(1.0)} == {int(State.STARTING)}
    assert "emergency stop estop: nothing received yet" in robot.step().reason
    hears(robot)
    assert robot.run(1.0)[-1].state in PASSING
    robot.before.clear()
    passed = [verdict.state in PASSING for verdict in robot.run(1.0)]
    assert 0.28 <= 0.02 * sum(passed) <= 0.32
    assert robot.supervisor.state is State.ESTOP and not robot.supervisor.reset(robot.clock)[0]
    hears(robot)
    assert robot.run(0.5)[-1].state == State.LATCHED
    assert robot.supervisor.reset(robot.clock)[0]
    assert robot.run(1.0)[-1].state in PASSING


def test_the_reason_is_the_settling_once_the_fault_is_long_over():
    robot = driving(SupervisorConfig(resume_after_s=1.0))
    robot.before["plan"] = lambda plan: type(plan)(**{**vars(plan), "risk": 0.9})
    robot.run(0.1)
    robot.before.clear()
    reasons = [verdict.reason.split()[0] for verdict in robot.run(0.9)]
    assert 24 <= reasons.count("risk") <= 28 and reasons[-1] == "all"


def test_a_second_publisher_of_the_drive_topic_stops():
    robot = driving()
    robot.supervisor.guards.receive_command_publishers(2)
    verdict = robot.step()
    assert verdict.state == State.STOPPING and "has 2 publishers, expected 1" in verdict.reason
    robot.supervisor.guards.receive_command_publishers(1)
    assert robot.run(1.0)[-1].state in PASSING


def test_faults_that_alternate_do_not_make_the_reason_flip():
    robot = driving()
    reasons = []
    for number in range(60):
        robot.before["plan"] = lambda plan, high=number % 4 < 2: type(plan)(
            **{**vars(plan), "risk": 0.9 if high else 0.1, "frame_id": "odom" if high else "map"}
        )
        reasons.append(robot.step().reason)
        # The advice goes with the reason.
        assert robot.supervisor.reported is None or robot.supervisor.reported.text == reasons[-1]
    changes = sum(first.split()[:2] != second.split()[:2] for first, second in zip(reasons, reasons[1:], strict=False))
    assert changes <= 2


def test_the_reason_changes_for_a_graver_fault_at_once_and_for_a_lighter_one_later():
    chooser = SteadyReason()
    risk, plan = Fault(FaultKind.RISK, "risk 0.7"), Fault(FaultKind.PLAN, "plan: late")
    assert chooser.choose((risk,), 0) == risk
    assert chooser.choose((Fault(FaultKind.RISK, "risk 0.8"),), 10).text == "risk 0.8"
    assert chooser.choose((plan, risk), 20) == plan
    assert chooser.choose((risk,), 500_000_000) == plan
    assert chooser.choose((risk,), 500_000_021) == risk
    assert chooser.choose((), 600_000_000) is None
    assert chooser.choose((risk,), 600_000_001) == risk


@pytest.mark.parametrize("values", [{"estop_heartbeat_s": 0.01}, {"estop_topics": ("",)}, {"command_publishers": 0}])
def test_bad_values_are_refused(values):
    with pytest.raises(ConfigError):
        SupervisorConfig(**values)


def test_the_advice_of_a_restored_latch_is_its_own():
    record = LatchRecord(State.LATCHED, (Fault(FaultKind.RECORD, "damaged"),))
    robot = restarted(SupervisedRobot(), MemoryLatchStore(record))
    robot.step()
    assert fault_kinds(robot) == [FaultKind.RECORD]
