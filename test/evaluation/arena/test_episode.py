from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_worldmodel.evaluation.arena.episode import run_episode
from edge_worldmodel.evaluation.arena.outcome import barn_score
from edge_worldmodel.evaluation.arena.scenario import ScenarioOverrides, load_scenario
from edge_worldmodel.evaluation.controllers import Command, ImaginedScene

from .conftest import Straight

_EMPTY = "kind: crowd\npeople: [0, 0]\nsize: 8\ntime_limit: 20\nsolvable: false\nmax_speed: 0.8\n"


@pytest.fixture
def open_floor(tmp_path):
    path = tmp_path / "floor.yaml"
    path.write_text(_EMPTY)
    return load_scenario(str(path), 3)


def test_a_free_way_is_driven_to_the_goal(open_floor):
    outcome, trace = run_episode(open_floor, 0, Straight())
    assert outcome.ending == "success"
    assert outcome.goal_distance_m <= open_floor.goal_tolerance_m
    assert outcome.path_m == pytest.approx(np.hypot(*np.diff(trace.poses[:, :2], axis=0).T).sum(), rel=0.02)
    assert outcome.intrusion_s == 0.0
    assert outcome.ticks == len(trace.stamps_ns) - 1
    assert np.isnan(outcome.person_distance_m)


def test_who_does_not_move_runs_out_of_time(open_floor):
    outcome, _ = run_episode(open_floor, 0, Straight(0.0))
    assert outcome.ending == "timeout"
    assert outcome.time_s == pytest.approx(20.0, abs=0.11)
    assert outcome.score == 0.0


def test_a_wall_in_the_way_is_a_contact(barn_file):
    scenario = load_scenario("barn_v1", 0, ScenarioOverrides(worlds=(barn_file,)))
    endings = {o.label: o for o in (run_episode(scenario, index, Straight(0.5))[0] for index in range(2))}
    assert endings["world 1"].ending == "success"
    assert endings["world 1"].min_distance_m > 0.5
    assert endings["world 2"].ending == "contact"
    assert endings["world 2"].touched == "wall"
    assert endings["world 2"].min_distance_m == 0.0
    assert endings["world 2"].contact_speed_mps > 0.1


def test_the_same_seed_gives_the_same_episode_to_the_last_bit():
    runs = [run_episode(load_scenario("doorway_v1", 5), 1, Straight()) for _ in range(2)]
    (first, trace), (second, again) = runs
    assert first.ending == second.ending
    plain = [replace(o, tick_bins={}, cpu_s=0.0, simulator_s=0.0).to_json() for o in (first, second)]
    assert plain[0] == plain[1]
    np.testing.assert_array_equal(trace.ranges, again.ranges)
    np.testing.assert_array_equal(trace.people, again.people)
    other, _ = run_episode(load_scenario("doorway_v1", 6), 1, Straight())
    assert other.path_m != first.path_m


def test_nobody_drives_faster_than_the_cap(open_floor):
    _, trace = run_episode(open_floor, 0, Straight(5.0))
    assert trace.twists[:, 0].max() <= open_floor.max_speed_mps + 0.01


class Imagining(Straight):
    """Imagines an obstacle near the start at the second of two imagined times."""

    imagined = ImaginedScene(np.zeros(3), np.zeros((2, 4, 4), np.float32), np.zeros((1, 2)))
    imagined.futures[1, 0, 3] = 0.5


def test_imagined_scenes_are_kept_in_the_world_frame(open_floor):
    _, trace = run_episode(open_floor, 0, Imagining())
    assert trace.imagined.shape == (len(trace.stamps_ns), 4, 4)
    np.testing.assert_array_equal(np.argwhere(trace.imagined), [(t, 0, 3) for t in range(len(trace.stamps_ns))])
    assert trace.imagined.max() == 128
    np.testing.assert_allclose(trace.imagined_poses[0], trace.poses[0], atol=1e-3)
    np.testing.assert_allclose(trace.plans[:, 0], trace.imagined_poses[:, :2])
    assert len(run_episode(open_floor, 0, Straight())[1].imagined) == 0


def test_a_planner_that_breaks_down_costs_its_episode_only(open_floor):
    class Broken(Straight):
        def act(self, look):
            raise ZeroDivisionError("no way")

    outcome, _ = run_episode(open_floor, 0, Broken())
    assert outcome.ending == "error"
    assert "no way" in outcome.error


def test_only_who_may_know_is_told_where_people_are():
    seen = []

    class Curious(Straight):
        def act(self, look):
            seen.append(look.people)
            return Command(0.0, 0.0)

    scenario = load_scenario("doorway_v1", 0, ScenarioOverrides(time_limit_s=1.0))
    run_episode(scenario, 0, Curious())
    assert all(people is None for people in seen)
    seen.clear()
    knowing = Curious()
    knowing.knows_people = True
    run_episode(scenario, 0, knowing)
    world = scenario.case(0).drawn.world
    assert len(knowing.walls) == len(world.solids)
    start = np.array(world.robots[0].start)
    away = np.hypot(*(np.array([p.start for p in world.people]) - start[:2]).T)
    np.testing.assert_allclose(np.hypot(*seen[0].positions.T), away)


def test_the_score_is_that_of_barn():
    assert barn_score(True, 12.0, 10.0) == pytest.approx(5.0 / 12.0)
    assert barn_score(True, 1.0, 10.0) == 0.5
    assert barn_score(True, 99.0, 10.0) == 0.125
    assert barn_score(False, 12.0, 10.0) == 0.0
