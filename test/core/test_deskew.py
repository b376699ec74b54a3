"""Beams that were measured one after the other lie where the robot was at their times."""

from __future__ import annotations

import numpy as np
import pytest

from edge_worldmodel.core.geometry import compose, pose_matrix, transform_points
from edge_worldmodel.core.perception.config import PerceptionConfig
from edge_worldmodel.core.perception.perception import Perception
from edge_worldmodel.core.perception.pose_buffer import extrapolate
from edge_worldmodel.core.rejection import RejectedInputError
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.inputs.inputs import Inputs
from edge_worldmodel.core.safety.inputs.intake import Instant, OdometrySample
from edge_worldmodel.core.safety.motion.braking import RobotFootprint
from edge_worldmodel.core.sweep import Sweep, clear_sweep, deskewed, limit_range, sweep_from_scan, without_self

BEAMS, INCREMENT_S, START_NS = 360, 0.1 / 360, 50_000_000_000
ROOM_M = 3.0
TWISTS = [(0.0, 0.0, 1.5), (1.0, 0.0, -1.5), (0.6, -0.4, 0.8), (1.0, 0.0, 0.0)]


def turning_scan(twist, mount=(0.2, 0.1, 0.3), increment_s=INCREMENT_S, start=(0.0, 0.0, 0.0), stamp_ns=0) -> Sweep:
    """A scan of a square room around the origin, each beam measured from where the robot is at its time."""
    ranges, step = np.empty(BEAMS), 2.0 * np.pi / BEAMS
    for index in range(BEAMS):
        base = extrapolate(np.array(start), np.array(twist), index * increment_s)
        x, y, yaw = compose(base, mount)
        way = np.array([np.cos(yaw + index * step), np.sin(yaw + index * step)])
        ranges[index] = min(
            (np.copysign(ROOM_M, part) - at) / part for part, at in zip(way, (x, y), strict=True) if abs(part) > 1e-12
        )
    return sweep_from_scan(stamp_ns, ranges, 0.0, step, 0.1, 20.0, pose_matrix(mount), time_increment_s=increment_s)


def off_the_walls_m(points: np.ndarray) -> np.ndarray:
    return np.abs(np.abs(points).max(axis=1) - ROOM_M)


@pytest.mark.parametrize("twist", TWISTS)
@pytest.mark.parametrize("increment_s", [INCREMENT_S, -INCREMENT_S])
def test_every_beam_is_placed_where_the_robot_was(twist, increment_s) -> None:
    sweep = turning_scan(twist, increment_s=increment_s)
    assert off_the_walls_m(sweep.endpoints).max() > 0.05, "the scan is skewed"
    placed = deskewed(sweep, np.array(twist))
    assert off_the_walls_m(placed.endpoints).max() < 1e-9
    assert placed.delays_s is None and deskewed(placed, np.array(twist)) is placed


def test_what_shortens_or_thins_a_sweep_keeps_the_times() -> None:
    sweep = turning_scan((0.0, 0.0, 1.5))
    body = np.array([[9.0, 9.0], [2.0, 9.0], [2.0, -9.0], [9.0, -9.0]])
    thin = without_self(sweep, body)
    assert thin.delays_s is not None and len(thin.delays_s) == len(thin.endpoints) < BEAMS
    assert off_the_walls_m(deskewed(thin, np.array([0.0, 0.0, 1.5])).endpoints).max() < 1e-9
    assert limit_range(sweep, 2.0).delays_s is sweep.delays_s


@pytest.mark.parametrize("twist", TWISTS)
@pytest.mark.parametrize("late", [False, True])
def test_perception_places_beams_also_when_the_poses_come_later(twist, late) -> None:
    perception = Perception(PerceptionConfig())
    speed = np.array(twist)
    for ms in (0, 100, 200):
        pose = extrapolate(np.zeros(3), speed, ms / 1000)
        if not late:
            perception.add_pose(START_NS + ms * 1_000_000, pose, speed)
        perception.add_sweep("scan", turning_scan(twist, start=pose, stamp_ns=START_NS + ms * 1_000_000))
        if late:
            perception.add_pose(START_NS + ms * 1_000_000, pose, speed)
    for _ in range(2):
        seen = perception.observe(START_NS + 200_000_000)
        assert off_the_walls_m(transform_points(seen.pose, seen.obstacles)).max() < 1e-5


@pytest.mark.parametrize("twist", TWISTS)
def test_the_supervisor_places_beams_by_the_measured_twist(twist) -> None:
    inputs = Inputs(SupervisorConfig(), RobotFootprint(np.empty((0, 2)), 0.3))
    speed, now = np.array(twist), Instant(START_NS, START_NS)
    inputs.receive_odometry(OdometrySample(START_NS, "odom", "base_link", np.zeros(3), speed), now)
    inputs.receive_sweep("scan", turning_scan(twist, stamp_ns=START_NS), BEAMS, now)
    later = Instant(START_NS + 100_000_000, START_NS + 100_000_000)
    points = inputs.obstacles(speed, later, None).hits
    assert off_the_walls_m(transform_points(extrapolate(np.zeros(3), speed, 0.1), points)).max() < 1e-9


def test_a_look_that_found_nothing_is_no_fault_and_clears_what_was_seen() -> None:
    config = SupervisorConfig(scan_topics=("scan",), cloud_topics=("points",))
    inputs = Inputs(config, RobotFootprint(np.empty((0, 2)), 0.3))
    perception = Perception(PerceptionConfig(ego_motion="fixed"))
    for step, sweep in enumerate((turning_scan((0.0,) * 3), clear_sweep(0, np.zeros(2)))):
        stamp_ns = START_NS + step * 100_000_000
        stamped = Sweep(stamp_ns, sweep.origin, sweep.endpoints, sweep.hit)
        now = Instant(stamp_ns, stamp_ns)
        inputs.receive_sweep("points", stamped, len(stamped.endpoints), now)
        perception.add_sweep("cloud", stamped)
        assert inputs.sensors["points"].fault(now) is None
        inputs.receive_sweep("scan", turning_scan((0.0,) * 3, stamp_ns=stamp_ns), BEAMS, now)
        assert len(inputs.obstacles(np.zeros(3), now, None).hits) == len(sweep.endpoints) + BEAMS
        inputs.receive_sweep("scan", stamped, len(stamped.endpoints), now)
        assert (inputs.sensors["scan"].fault(now) is None) is (len(stamped.endpoints) > 0), "a scan has rays"
        assert (len(perception.observe(stamp_ns).obstacles) > 0) is (len(sweep.endpoints) > 0)


def test_a_sensor_that_sees_only_the_robot_itself_says_so() -> None:
    inputs = Inputs(SupervisorConfig(), RobotFootprint(np.empty((0, 2)), 0.3))
    now = Instant(START_NS, START_NS)

    def problem(ranges) -> str:
        sweep = sweep_from_scan(START_NS, ranges, 0.0, 0.01, 0.05, 8.0, np.eye(4))
        inputs.receive_sweep("scan", sweep, len(ranges), now)
        fault = inputs.sensors["scan"].fault(now)
        return fault.text if fault else ""

    near = np.full(100, 0.2)
    assert "all 100 returns lie inside the robot's own footprint" in problem(near)
    assert not problem(np.append(near, np.inf)) and not problem(np.append(near, 2.0))
    sweep = sweep_from_scan(0, near, 0.0, 0.01, 0.05, 8.0, np.eye(4))
    with pytest.raises(RejectedInputError, match="all 100 returns lie on the robot itself"):
        without_self(sweep, np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]]))
