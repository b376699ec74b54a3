"""Places count as seen where two rays looked a moment ago or the body has just been; elsewhere the robot creeps."""

import math
from dataclasses import replace

import numpy as np
import pytest

from edge_worldmodel.core.geometry import pose_matrix
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.motion.braking import RobotFootprint
from edge_worldmodel.core.safety.sight.bearings import BINS, bearing_bins, second_longest
from edge_worldmodel.core.safety.sight.coverage import Coverage
from edge_worldmodel.core.safety.states import State
from edge_worldmodel.core.sweep import sweep_from_scan

from ..supervised_robot import START_NS, SupervisedRobot

MS = 1_000_000
REST = np.zeros(3)
DISC = RobotFootprint(np.empty((0, 2)), 0.25)
JACKAL = (0.254, 0.215, -0.254, 0.215, -0.254, -0.215, 0.254, -0.215)
AHEAD, BEHIND = np.array([[1.0, 0.0]]), np.array([[-1.0, 0.0]])


def scan(stamp_ns=START_NS, ranges=None, fov_rad=2 * math.pi, mount=(0.0, 0.0, 0.0), beams=360):
    """A scan all around, or in a field of view ahead."""
    readings = np.full(beams, 3.0) if ranges is None else np.asarray(ranges, dtype=float)
    return sweep_from_scan(stamp_ns, readings, -fov_rad / 2, fov_rad / len(readings), 0.1, 8.0, pose_matrix(mount))


def coverage(*sweeps, open_country=False, footprint=DISC):
    found = Coverage(footprint, open_country, 1.6)
    found.move(REST, START_NS)
    for sweep in sweeps:
        found.look("scan", sweep, REST)
    return found


def test_rays_are_counted_in_their_direction_and_its_neighbours():
    bins = bearing_bins(np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1e-12], [-1.0, 1e-12]]))
    assert bins.tolist() == [BINS // 2, 3 * BINS // 4, 0, BINS - 1]
    second = second_longest(np.array([1.0, 4.0, 2.0, 3.0, 9.0]), np.array([5, 5, 5, 6, 20]))
    assert second[[4, 5, 6, 7]].tolist() == [2.0, 3.0, 3.0, 0.0]
    assert second[[19, 20, 21]].tolist() == [0.0, 0.0, 0.0]
    assert second_longest(np.array([2.0, 2.0]), np.array([7, 7]))[[6, 7, 8]].tolist() == [2.0, 2.0, 2.0]
    assert second_longest(np.array([2.0, 3.0]), np.array([0, BINS - 1]))[[0, BINS - 1]].tolist() == [2.0, 2.0]


def test_a_place_is_seen_up_to_where_the_rays_end():
    found = coverage(scan())
    assert found.has_seen(np.array([[2.9, 0.0], [0.0, -2.9], [3.2, 0.0]]), START_NS).tolist() == [True, True, False]


def test_one_stray_ray_in_a_blind_half_proves_nothing():
    ranges = np.full(360, 3.0)
    ranges[:90] = ranges[270:] = np.nan
    ranges[0] = 3.0
    found = coverage(scan(ranges=ranges))
    assert found.has_seen(AHEAD, START_NS).all() and not found.has_seen(BEHIND, START_NS).any()


def test_a_stripe_without_readings_is_not_seen():
    ranges = np.full(360, 3.0)
    ranges[170:191] = np.nan
    found = coverage(scan(ranges=ranges))
    assert not found.has_seen(AHEAD, START_NS).any() and found.has_seen(np.array([[1.0, 0.4]]), START_NS).all()


@pytest.mark.parametrize(
    ("period_ms", "after_ms", "seen"), [(50, 299, True), (50, 310, False), (200, 499, True), (200, 510, False)]
)
def test_a_look_counts_for_three_tenths_of_a_second_or_longer_for_a_slow_sensor(period_ms, after_ms, seen):
    found = coverage(scan(), scan(START_NS + period_ms * MS))
    assert found.has_seen(AHEAD, START_NS + (period_ms + after_ms) * MS).all() == seen


def test_an_older_look_fills_the_gap_of_the_newest():
    found = coverage(scan(), scan(START_NS + 100 * MS, fov_rad=math.pi))
    assert found.has_seen(BEHIND, START_NS + 250 * MS).all()
    assert not found.has_seen(BEHIND, START_NS + 310 * MS).any()


def test_looks_stay_where_they_were_when_the_robot_moves():
    found = coverage(scan())
    for step in range(1, 11):
        found.move(np.array([1.0, 0.0, 0.0]), START_NS + step * 20 * MS)
    places = np.array([[2.7, 0.0], [2.95, 0.0], [-3.1, 0.0]])
    assert found.has_seen(places, START_NS + 200 * MS).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("echoes", "open_country", "seen"), [(0, False, False), (2, False, False), (3, False, True), (0, True, True)]
)
def test_a_scan_without_any_reading_is_believed_in_open_country_only(echoes, open_country, seen):
    ranges = np.full(360, np.inf)
    ranges[:echoes] = 2.0
    found = coverage(scan(ranges=ranges), open_country=open_country)
    assert found.has_seen(AHEAD, START_NS).all() == seen
    assert found.has_seen(np.array([[0.0, 0.0]]), START_NS).all()


def test_what_the_body_has_come_out_of_counts_for_two_seconds():
    found = Coverage(DISC, False, 1.6)
    forward = np.array([0.5, 0.0, 0.0])
    for step in range(100):
        found.move(forward, START_NS + step * 20 * MS)
    now_ns = START_NS + 99 * 20 * MS
    behind = np.array([[-0.5, 0.0], [-1.1, 0.0], [-0.5, 0.35], [0.5, 0.0]])
    assert found.has_seen(behind, now_ns).tolist() == [True, True, False, False]
    found.move(REST, now_ns + 1200 * MS)
    assert found.has_seen(behind, now_ns + 1200 * MS).tolist() == [True, False, False, False]


def test_a_clock_that_jumps_ends_all_memory():
    found = coverage(scan())
    found.forget()
    assert not found.has_seen(AHEAD, START_NS).any() and not len(found.remembered("scan"))


def all_inf(sweep):
    return replace(sweep, echo=np.zeros(len(sweep.hit), dtype=bool))


@pytest.mark.parametrize(("open_country", "speed_mps"), [(False, 0.15), (True, 0.5)])
def test_a_covered_scanner_lets_the_robot_creep_only(open_country, speed_mps):
    robot = SupervisedRobot(SupervisorConfig(open_country=open_country))
    robot.before["scan"] = all_inf
    verdict = robot.run(2.0)[-1]
    assert verdict.command[0] == pytest.approx(speed_mps, abs=1e-3)
    assert ("unseen" in verdict.limits) is not open_country


def half(sweep):
    ahead = np.abs(np.arctan2(*sweep.endpoints.T[::-1])) < 0.75 * math.pi
    return replace(sweep, endpoints=sweep.endpoints[ahead], hit=sweep.hit[ahead])


@pytest.mark.parametrize("twist", [(0.5, 0.0, 0.0), (0.5, 0.0, 0.6), (0.8, 0.0, -0.8), (0.3, 0.0, 1.0)])
def test_corners_in_the_blind_quarter_follow_the_body(twist):
    robot = SupervisedRobot(SupervisorConfig(footprint_m=JACKAL), twist=twist)
    robot.before["scan"] = half
    verdicts = robot.run(4.0)
    assert verdicts[-1].state == State.ACTIVE
    np.testing.assert_allclose(verdicts[-1].command, twist, atol=5e-3)
    assert not any("unseen" in verdict.limits for verdict in verdicts[50:])


def test_out_of_a_dead_end_it_backs_over_its_own_trace_and_then_creeps():
    robot = SupervisedRobot(SupervisorConfig(max_reverse_mps=1.0))
    robot.before["scan"] = half
    robot.run(2.0)
    robot.twist = np.array([-0.5, 0.0, 0.0])
    verdicts = robot.run(3.0)
    assert min(verdict.command[0] for verdict in verdicts) < -0.4
    assert verdicts[-1].command[0] == pytest.approx(-0.15, abs=1e-3) and "unseen" in verdicts[-1].limits


def test_a_curve_out_of_a_cameras_view_is_slow():
    robot = SupervisedRobot(twist=(0.5, 0.0, 1.2))

    def camera(sweep):
        ahead = np.abs(np.arctan2(*sweep.endpoints.T[::-1])) < 0.3
        return replace(sweep, endpoints=sweep.endpoints[ahead], hit=sweep.hit[ahead])

    robot.before["scan"] = camera
    verdicts = robot.run(2.0)
    assert "unseen" in verdicts[-1].limits and verdicts[-1].command[0] < 0.3
