"""Which contacts a maneuver could have avoided: traces of a robot that drives along x while somebody comes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("mujoco")

from edge_worldmodel.evaluation.arena.episode import run_episode
from edge_worldmodel.evaluation.arena.measures.avoidable import TracePeople, could_be_avoided
from edge_worldmodel.evaluation.arena.outcome import Trace
from edge_worldmodel.evaluation.arena.results.statistics import summarize
from edge_worldmodel.evaluation.arena.scenario import load_scenario
from edge_worldmodel.sim.robots import RobotSpec
from edge_worldmodel.sim.shapes import Box
from edge_worldmodel.sim.world import Person, RobotPlacement, World
from test.evaluation.arena.conftest import Straight

ROBOT = RobotSpec()
RADIUS_M = 0.25


def world(*solids: Box, people: int = 1) -> World:
    """A robot at x = -2 m that drives to x = 4 m."""
    placement = RobotPlacement(ROBOT, (-2.0, 0.0, 0.0), (4.0, 0.0, 0.0))
    bodies = tuple(Person((0.0, -5.0 - i), radius_m=RADIUS_M) for i in range(people))
    return World(
        name="test", seed=0, bounds=(-20.0, -20.0, 20.0, 20.0), robots=(placement,), solids=solids, people=bodies
    )


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


def judged(trace: Trace, where: World | None = None) -> bool:
    return could_be_avoided(trace, where or world(), 1.0, 0)


def test_who_was_seen_in_time_could_have_been_avoided() -> None:
    assert judged(crossing(seen_s=1.0))


@pytest.mark.parametrize("seen_s", [0.5, 0.1, -1.0])
def test_who_was_seen_less_than_the_reaction_time_before_could_not(seen_s: float) -> None:
    assert not judged(crossing(seen_s))


def test_a_robot_that_stands_and_is_walked_into_could_have_made_way() -> None:
    standing = crossing(seen_s=2.0, speed_mps=0.0)
    assert judged(standing)
    # Walls on all sides: there is no way to make.
    cell = [Box(-0.05, y, 1.2, 0.1) for y in (-0.45, 0.45)] + [Box(x, 0.0, 0.1, 1.0) for x in (-0.33, 0.33)]
    assert not judged(standing, world(*cell))


def test_a_wall_counts_as_seen_from_the_start() -> None:
    trace = replace(crossing(seen_s=-1.0), people=np.zeros((21, 0, 2)))
    wall = world(Box(0.35, 0.0, 0.1, 2.0), people=0)
    assert could_be_avoided(trace, wall, 1.0, None)


def test_people_go_on_after_the_end_of_a_trace_and_absent_ones_stay_absent() -> None:
    trace = crossing(seen_s=1.0)
    trace = replace(trace, people=np.concatenate([trace.people, np.full_like(trace.people, np.nan)], axis=1))
    places = TracePeople(trace, np.full(2, RADIUS_M)).at(np.array([0.0, 1.05, 2.5]))
    np.testing.assert_allclose(places[:, 0, 1], [-2.0, -0.95, 0.5], atol=1e-9)
    assert np.isnan(places[:, 1]).all()


def test_an_episode_says_so_and_the_figures_count_it() -> None:
    scenario = load_scenario("stepout_v1", 1000)
    outcomes = [run_episode(scenario, index, Straight(1.0))[0] for index in range(3)]
    touched = [outcome for outcome in outcomes if outcome.touched == "person"]
    assert touched
    for outcome in touched:
        assert outcome.avoidable in (0.0, 1.0) and outcome.contact_by in ("robot", "other")
        assert outcome.energy_j > 0.0 and outcome.relative_mps > 0.0 and outcome.near_s > 0.0
    figures = summarize(outcomes)
    assert figures["avoidable_contact"] == pytest.approx(sum(o.avoidable == 1.0 for o in outcomes) / 3)
    assert figures["contact_by_robot"] + figures["contact_by_other"] == pytest.approx(len(touched) / 3)
