"""What the live graph is told, and how its episodes end; the graph itself is replaced here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from edge_worldmodel.evaluation.arena import live_episode
from edge_worldmodel.evaluation.arena.scenario import load_scenario
from edge_worldmodel.evaluation.arena.source import ScenarioError
from edge_worldmodel.evaluation.controllers.ours.parameters import graph_parameters
from edge_worldmodel.sim.world import load_world

REPOSITORY = Path(__file__).resolve().parents[3]


class Graph:
    """Shows one set of figures after another, then has ended."""

    def __init__(self, *figures):
        self.figures = list(figures)

    def running(self):
        return bool(self.figures)

    def statistics(self):
        return self.figures.pop(0)


@pytest.fixture
def live(monkeypatch):
    monkeypatch.setattr("edge_worldmodel.evaluation.live.live_graph.share", lambda: REPOSITORY)
    monkeypatch.setattr(live_episode.time, "sleep", lambda _s: None)


def test_the_graph_gets_the_same_world_seed_and_parameters(live, tmp_path):
    scenario = load_scenario("crossing_v1", 3)
    case = scenario.case(1)
    arguments = live_episode.launch_arguments(scenario, case, tmp_path)
    assert load_world(Path(arguments["world"])) == case.drawn.world
    assert arguments["seed"] == str(case.simulation_seed)
    robot = yaml.safe_load(Path(arguments["robot"] + ".yaml").read_text())
    said = {node.removeprefix("/**/"): values["ros__parameters"] for node, values in robot.items()}
    assert said == graph_parameters(scenario.robot, scenario.max_speed_mps)
    params = yaml.safe_load(Path(arguments["params_file"]).read_text())
    assert params["/**/sim"]["ros__parameters"]["goal_tolerance_m"] == scenario.goal_tolerance_m
    assert params["/**/rollout_planner"]["ros__parameters"]["maneuvers"] == 8


def test_a_robot_that_no_preset_has_is_refused_by_name(live, tmp_path):
    scenario = load_scenario("circle_v1", 0)
    with pytest.raises(ScenarioError, match="circle0.*live graph"):
        live_episode.launch_arguments(scenario, scenario.case(0), tmp_path)


@pytest.mark.parametrize(
    ("figures", "ending"),
    [
        (({}, {"plans": 3}, {"plans": 9, "goal_reached": True, "contacts": 0}), "success"),
        (({"plans": 3}, {"plans": 9, "goal_reached": True, "contacts": 1}), "contact"),
        (({"plans": 3},) * 3, "error"),
    ],
)
def test_endings(live, figures, ending):
    found, _, error = live_episode._watch(Graph(*figures), 60.0)
    assert found == ending
    assert bool(error) == (ending == "error")


def test_the_time_limit_counts_from_the_first_plan(live, monkeypatch):
    clock = iter(np.arange(0.0, 100.0, 10.0))
    monkeypatch.setattr(live_episode.time, "monotonic", lambda: next(clock))
    figures = [{"plans": 0}] * 3 + [{"plans": 1}] * 6
    assert live_episode._watch(Graph(*figures), 30.0)[:2] == ("timeout", 30.0)
