"""Which contacts braking could have avoided: synthetic traces of a robot that drives along x while somebody crosses."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("mujoco")

from edge_worldmodel.evaluation.arena.avoidable import avoidable
from edge_worldmodel.evaluation.arena.episode import run_episode
from edge_worldmodel.evaluation.arena.outcome import Trace
from edge_worldmodel.evaluation.arena.results.statistics import summarize
from edge_worldmodel.evaluation.arena.scenario import load_scenario
from edge_worldmodel.sim.robots import RobotSpec

from .conftest import Straight

ROBOT = RobotSpec()
RADIUS_M = 0.25


def crossing(seen_s: float, speed_mps: float = 1.0, walking_mps: float = 1.0, contact_s: float = 2.0) -> Trace:
    """Return a contact ahead of the robot after ``contact_s``, the person hidden until ``seen_s`` before it."""
    times_s = np.append(np.arange(0.0, contact_s, 0.1), contact_s)
    poses = np.zeros((len(times_s), 3))
    poses[:, 0] = speed_mps * (times_s - contact_s)
    people = np.zeros((len(times_s), 1, 2))
    people[:, 0, 0] = ROBOT.radius_m + RADIUS_M
    people[:, 0, 1] = walking_mps * (times_s - contact_s)
    ranges = np.full((len(times_s), ROBOT.scanners[0].beams), np.inf, np.float32)
    angles = ROBOT.scanners[0].angle_min_rad + ROBOT.scanners[0].angle_increment_rad * np.arange(ranges.shape[1])
    for moment in np.flatnonzero(times_s >= contact_s - seen_s - 1e-9):
        away = people[moment, 0] - poses[moment, :2]
        beam = int(np.argmin(np.abs(angles - math.atan2(away[1], away[0]))))
        ranges[moment, beam] = np.hypot(*away) - RADIUS_M
    twists = np.tile([speed_mps, 0.0, 0.0], (len(times_s), 1))
    stamps = 10**9 + np.round(times_s * 1e9).astype(np.int64)
    return Trace(stamps, poses, poses, twists, np.zeros((len(times_s), 2)), people, ranges)


def judged(trace: Trace, speed_mps: float = 1.0) -> float:
    return avoidable(trace, ROBOT, np.array([RADIUS_M]), speed_mps)


def test_who_was_seen_in_time_to_stop_could_have_been_avoided() -> None:
    # 0.15 s until the brakes work and 0.5 s to rest.
    assert judged(crossing(seen_s=1.0)) == 1.0


@pytest.mark.parametrize("seen_s", [0.1, 0.0])
def test_who_was_seen_too_late_could_not(seen_s: float) -> None:
    assert judged(crossing(seen_s)) == 0.0


def test_who_never_was_seen_could_not() -> None:
    assert judged(crossing(seen_s=-1.0)) == 0.0


def test_who_comes_towards_a_braking_robot_touches_it_before_it_stands() -> None:
    head_on = crossing(seen_s=0.4)
    head_on.people[:, 0, 1] = 0.0
    head_on.people[:, 0, 0] += 1.8 * (2.0 - (head_on.stamps_ns - 10**9) * 1e-9)
    assert judged(head_on) == 0.0
    assert judged(crossing(seen_s=0.4, walking_mps=2.0)) == 1.0


def test_a_robot_that_stood_could_not_have_braked() -> None:
    assert judged(crossing(seen_s=1.0), speed_mps=0.05) == 0.0


def test_without_people_there_is_nothing_to_judge() -> None:
    trace = crossing(seen_s=1.0)
    nobody = Trace(**{**vars(trace), "people": np.zeros((len(trace.poses), 0, 2))})
    assert math.isnan(avoidable(nobody, ROBOT, np.zeros(0), 1.0))


def test_an_episode_says_so_and_the_figures_count_it() -> None:
    scenario = load_scenario("stepout", 1000)
    outcomes = [run_episode(scenario, index, Straight(1.0))[0] for index in range(3)]
    touched = [outcome for outcome in outcomes if outcome.touched == "person"]
    assert touched
    assert all(outcome.avoidable in (0.0, 1.0) for outcome in touched)
    avoidable_ones = sum(outcome.avoidable == 1.0 for outcome in outcomes)
    assert summarize(outcomes)["avoidable_contact"] == pytest.approx(avoidable_ones / 3)
