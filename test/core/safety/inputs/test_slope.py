"""The slope of odometry lengthens braking; bumps are no slopes, and drones have none."""

import math
from dataclasses import replace

import pytest

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import FaultKind
from edge_worldmodel.core.safety.states import PASSING, State

from ..supervised_robot import SupervisedRobot, driving, fault_kinds, spoil

STEEP = (math.sin(math.radians(8.0)), 0.0)


def test_a_robot_that_comes_onto_a_slope_too_steep_for_its_brakes_stops_and_says_so():
    robot = driving()
    robot.before["odometry"] = spoil("downhill", STEEP)
    robot.run(0.5)
    assert fault_kinds(robot) == [FaultKind.SLOPE] and robot.supervisor.state not in PASSING
    assert "cannot brake downhill" in robot.step().reason
    del robot.before["odometry"]
    robot.run(1.0)
    assert robot.supervisor.state in PASSING, "no person is needed"


def test_a_bump_is_no_slope():
    robot = driving()
    for duration_s, downhill in ((0.1, STEEP), (0.2, (0.0, 0.0))):
        robot.before["odometry"] = spoil("downhill", downhill)
        assert all(verdict.state in PASSING for verdict in robot.run(duration_s))


def test_downhill_it_stops_in_time_before_a_wall():
    level, down = (SupervisedRobot(obstacles=[(3.0, y) for y in (-0.1, 0.0, 0.1)]) for _ in range(2))
    down.before["odometry"] = spoil("downhill", (math.sin(math.radians(3.0)), 0.0))
    for robot in (level, down):
        robot.run(5.2)
    assert down.moves[0] < level.moves[0] and down.pose[0] < level.pose[0]


def test_a_drone_tilts_without_a_slope():
    robot = SupervisedRobot(SupervisorConfig(vehicle="drone"))
    robot.before["odometry"] = lambda odometry: replace(odometry, downhill=STEEP, height_m=2.0)
    assert robot.run(1.0)[-1].state in PASSING and robot.supervisor.inputs.downhill == (0.0, 0.0)


@pytest.mark.parametrize("downhill", [(math.nan, 0.0), (0.0, math.inf), (0.0, 1.5)])
def test_a_slope_that_is_no_number_is_bad_odometry(downhill):
    robot = driving()
    robot.before["odometry"] = spoil("downhill", downhill)
    robot.step()
    assert fault_kinds(robot)[0] is FaultKind.ODOMETRY and robot.supervisor.state is State.STOPPING
