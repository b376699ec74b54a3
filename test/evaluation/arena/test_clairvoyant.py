"""The search that knows the future finds drives that succeed in the episode, and says where there are none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_worldmodel.evaluation.arena.clairvoyant.goal_field import GoalField
from edge_worldmodel.evaluation.arena.clairvoyant.people_ahead import PeopleAhead
from edge_worldmodel.evaluation.arena.episode import Episode
from edge_worldmodel.evaluation.arena.scenario import ScenarioOverrides, load_scenario
from edge_worldmodel.evaluation.controllers import make_controller
from edge_worldmodel.sim.robots import PRESETS
from edge_worldmodel.sim.shapes import Box, Cylinder
from edge_worldmodel.sim.simulation import Simulation
from edge_worldmodel.sim.world import RobotPlacement, World

from .conftest import Straight


@pytest.mark.parametrize("name", ["circle", "stepout", "corridor"])
def test_the_drive_that_was_found_succeeds_in_the_episode(name):
    pytest.importorskip("jupedsim")
    pytest.importorskip("pyrvo")
    scenario = load_scenario(name, 1000)
    case = scenario.case(0)
    controller = make_controller("clairvoyant", scenario.robot, scenario.max_speed_mps)
    outcome, trace = Episode(scenario, case, controller).run()
    assert outcome.ending == "success"
    assert outcome.time_s == pytest.approx(case.solution.time_s) == pytest.approx(outcome.clairvoyant_s)
    assert outcome.path_m == pytest.approx(case.solution.path_m)
    assert (outcome.regret_s, outcome.regret_success) == (pytest.approx(0.0), 0.0)
    assert trace.commands[:, 0].max() <= scenario.max_speed_mps


def test_a_blind_planner_has_regret():
    pytest.importorskip("pyrvo")
    scenario = load_scenario("circle", 1000)
    case = scenario.case(0)
    blind, _ = Episode(scenario, case, Straight()).run()
    slow, _ = Episode(scenario, replace(case, solution=replace(case.solution, time_s=1.0)), Straight()).run()
    assert blind.regret_success == (blind.ending != "success")
    assert slow.clairvoyant_s == 1.0


def test_worlds_without_a_way_are_drawn_again(tmp_path):
    angles = np.linspace(0.0, 2 * np.pi, 160)
    ring = np.stack([2.0 * np.cos(angles) - 2.25, 2.0 * np.sin(angles) + 13.0, np.full(160, 0.075)], axis=-1)
    path, way = tmp_path / "worlds.npz", np.array([[15, 0], [15, 29]])
    np.savez(path, obs_1=[(0.0, 8.0, 0.075)], obs_2=ring, path_1=way, path_2=way)
    scenario = load_scenario("barn", 1, ScenarioOverrides(worlds=(path,)))
    cases = [scenario.case(index) for index in range(2)]
    assert {case.drawn.label for case in cases} == {"world 1"}
    assert sum(case.unsolved_draws for case in cases) >= 1
    assert all(case.solution is not None for case in cases)
    first = load_scenario("barn_v1", 1, ScenarioOverrides(worlds=(path,)))
    solved = {case.drawn.label: first.solve(case) is not None for case in (first.case(0), first.case(1))}
    assert solved == {"world 1": True, "world 2": False}


@pytest.mark.parametrize("name", ["corridor_v1", "circle_v1"])
def test_people_ahead_walk_as_in_the_simulation(name):
    pytest.importorskip("jupedsim")
    pytest.importorskip("pyrvo")
    case = load_scenario(name, 3).case(1)
    world = case.drawn.world
    simulation = Simulation(world, case.simulation_seed)
    ahead = PeopleAhead(world, case.simulation_seed, np.array([[*world.robots[0].start[:2], 0.0, 0.0]]))
    times_s = np.arange(0.0, 4.0, 0.05)
    walked = []
    for _ in times_s:
        walked.append(simulation.people().positions)
        simulation.advance(0.05)
    np.testing.assert_allclose(ahead.at(times_s), walked, atol=1e-6)


def test_the_way_to_the_goal_leads_round_a_wall():
    robot = RobotPlacement(PRESETS["generic"], (0.0, 0.0, 0.0), (4.0, 0.0, 0.0))
    world = World(
        "wall", 0, (-1.0, -3.0, 5.0, 3.0), (Box(2.0, -1.0, 0.2, 4.0), Cylinder(3.0, 2.5, 0.2)), robots=(robot,)
    )
    field = GoalField(world, 0.25)
    assert field.reachable
    assert field.distance_m(np.zeros((1, 2)))[0] == pytest.approx(2 * np.hypot(1.9, 1.25) + 0.2, rel=0.1)
    assert field.heading_rad(np.array([[1.5, 0.0]])) > 0.8
    assert field.clearance_m(np.array([[1.0, 0.0]])) == pytest.approx(0.9, abs=0.02)
    assert field.clearance_m(np.array([[3.0, 2.0]])) == pytest.approx(0.3, abs=0.02)
    closed = replace(world, solids=(Box(2.0, 0.0, 0.2, 6.0),))
    assert not GoalField(closed, 0.25).reachable
