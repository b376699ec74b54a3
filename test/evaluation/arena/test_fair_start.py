"""Nobody comes near the start too soon, and the robot observes before the clock runs."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from edge_worldmodel.evaluation.arena.episode import Episode
from edge_worldmodel.evaluation.arena.fair_start import is_fair
from edge_worldmodel.evaluation.arena.scenario import ScenarioOverrides, load_scenario
from edge_worldmodel.evaluation.arena.source import ScenarioError
from edge_worldmodel.sim.robots import PRESETS
from edge_worldmodel.sim.world import Person, RobotPlacement, World

from .conftest import Straight

# As drawn by the first arena, seed 1000, episodes 0 to 11.
FIRST_ARENA = {
    "crowd_v1": "5cfe1ca9",
    "corridor_v1": "b795cf61",
    "crossing_v1": "a9dbce0c",
    "doorway_v1": "4eb64482",
    "circle_v1": "5027a9a3",
    "gust_v1": "fecbe686",
    "stepout_v1": "14ba1b87",
}


def crossing_person(distance_m: float) -> World:
    """A person who walks 1 m/s towards the robot and stops at a distance."""
    person = Person((distance_m, 0.0), ((-4.0, 0.0),), None, 1.0, 0.25)
    robot = RobotPlacement(PRESETS["generic"], (0.0, 0.0, 0.0), (0.0, 4.0, 0.0))
    return World("line", 0, (-9.0, -9.0, 9.0, 9.0), people=(person,), robots=(robot,), step_s=0.01)


def test_a_start_is_fair_if_nobody_comes_near_it_in_time():
    # Radii of 0.25 m and a reach of 0.3 m: near at 0.8 m.
    assert not is_fair(crossing_person(5.7), 0, 5.0)
    assert is_fair(crossing_person(5.9), 0, 5.0)
    assert is_fair(crossing_person(1.0), 0, 0.0)


@pytest.fixture
def busy_square(tmp_path):
    path = tmp_path / "busy.yaml"
    path.write_text("kind: crowd\npeople: [22, 22]\nsize: 7\nreacts_to_robot: false\nsolvable: false\n")
    return load_scenario(str(path), 0)


def test_an_unfair_world_is_drawn_again_and_counted(busy_square):
    cases = [busy_square.case(index) for index in range(3)]
    assert sum(case.unfair_draws for case in cases) > 0
    assert all(is_fair(case.drawn.world, case.simulation_seed, 5.0) for case in cases)
    first = replace(busy_square, observe_s=0.0, clear_s=0.0)
    assert all(first.case(index).unfair_draws == 0 for index in range(3))


def test_a_scenario_without_any_fair_start_says_so(busy_square, monkeypatch):
    monkeypatch.setattr("edge_worldmodel.evaluation.arena.scenario._DRAWS", 2)
    with pytest.raises(ScenarioError, match="2 have somebody near the start"):
        replace(busy_square, clear_s=100.0).case(0)


def test_the_clock_and_the_trace_begin_after_the_observation():
    class Watching(Straight):
        def observe(self, look):
            seen.append(look)

    seen = []
    scenario = replace(load_scenario("doorway", 0, ScenarioOverrides(time_limit_s=1.0)), solvable=False)
    case = scenario.case(0)
    outcome, trace = Episode(scenario, case, Watching(0.0)).run()
    assert len(seen) == 20
    assert np.diff([look.stamp_ns for look in seen]).tolist() == [100_000_000] * 19
    assert trace.stamps_ns[0] == seen[-1].stamp_ns + 100_000_000
    assert outcome.time_s == pytest.approx(1.0)
    assert outcome.path_m == pytest.approx(0.0, abs=1e-3)
    walked_m = np.hypot(*(trace.people[0] - [person.start for person in case.drawn.world.people]).T)
    assert walked_m.max() > 0.5


@pytest.mark.parametrize("name", FIRST_ARENA)
def test_the_worlds_of_the_first_arena_stay_as_they_were(name):
    scenario = load_scenario(name, 1000)
    digest = hashlib.sha256()
    for index in range(12):
        case = scenario.case(index)
        world = case.drawn.world
        numbers = [*world.bounds, *world.robots[0].start, *world.robots[0].goal, case.drawn.shortest_m]
        for person in world.people:
            numbers += [*person.start, *np.ravel(person.waypoints), person.speed_mps, person.radius_m]
        numbers += [value for solid in world.solids for value in solid.outline().ravel().tolist()]
        # Rounded, because the last bits differ between processors.
        text = " ".join(f"{number:.6f}" for number in numbers) + f" {case.simulation_seed} {case.planner_seed}"
        digest.update(text.replace("-0.000000", "0.000000").encode())
    assert digest.hexdigest()[:8] == FIRST_ARENA[name]
