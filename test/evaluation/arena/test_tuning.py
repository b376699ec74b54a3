"""The tuning search: the same trials again, the defaults first, the best kept, a stopped search goes on."""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from pathlib import Path

import pytest

from edge_worldmodel.evaluation.arena import tasks, tuning
from edge_worldmodel.evaluation.arena.outcome import EpisodeOutcome
from edge_worldmodel.evaluation.arena.scenario import ScenarioOverrides
from edge_worldmodel.evaluation.controllers import CLAIRVOYANT, NAMES, ControllerError, make_controller, tuned
from edge_worldmodel.sim.robots import PRESETS

CONFIGS = {
    "dwa": ("dwa", "DwaConfig"),
    "mppi_static": ("mppi", "MppiConfig"),
    "mppi_cv": ("mppi", "MppiConfig"),
    "orca": ("orca", "OrcaConfig"),
    "pytorch_mppi": ("pytorch_mppi", "PytorchMppiConfig"),
}


def outcome(ending: str, time_s: float) -> EpisodeOutcome:
    return EpisodeOutcome(ending, "", time_s, 10.0, 0.1, 0.1, 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("planner", sorted(CONFIGS))
def test_the_first_trial_is_the_defaults_and_every_trial_is_allowed(planner: str) -> None:
    module, name = CONFIGS[planner]
    config = getattr(import_module(f"edge_worldmodel.evaluation.controllers.{module}"), name)
    trials = tuning.draw(planner, 30)
    assert all(getattr(config(), setting) == value for setting, value in trials[0].items())
    assert all(config(**settings) for settings in trials)
    assert tuning.draw(planner, 5) == trials[:5]


def test_all_baselines_are_searched_and_ours_is_not() -> None:
    assert set(tuning.SPACES) == {name for name in NAMES if not name.startswith("ours") and name != CLAIRVOYANT}


def test_an_arrival_is_worth_more_than_none_and_a_touch_is_worst() -> None:
    values = [
        tuning.utility(outcome(e, t), 60.0)
        for e, t in (("success", 10), ("success", 60), ("timeout", 60), ("contact", 5))
    ]
    assert values == sorted(values, reverse=True) and len(set(values)) == 4


def options(path: Path, trials: int) -> argparse.Namespace:
    scenario = ["doorway_v1"]
    return argparse.Namespace(planner=["dwa"], trials=trials, episodes=1, scenario=scenario, processes=1, json=path)


def test_keeps_the_best_trial_and_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def drive(planner, settings, scenarios, episodes, processes):
        tried.append(settings)
        if len(tried) == 3:
            raise KeyboardInterrupt
        return tuning.Trial(settings, float(settings["lookahead_m"]), 1.0, 0.0, 0.0, 10.0)

    monkeypatch.setattr(tuning, "_run_trial", drive)
    path = tmp_path / "tuned.json"
    with pytest.raises(KeyboardInterrupt):
        tuning.run(options(path, 4))
    tuning.run(options(path, 4))
    record = json.loads(path.read_text())["planners"]["dwa"]
    assert [trial["settings"] for trial in record["trials"]] == tuning.draw("dwa", 4)
    assert len(tried) == 5  # the interrupted trial was tried again, no other
    best = max(tuning.draw("dwa", 4), key=lambda settings: settings["lookahead_m"])
    assert record["settings"]["lookahead_m"] == best["lookahead_m"]


def test_controllers_are_made_with_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tuned.json"
    path.write_text(json.dumps({"schema": 1, "planners": {"dwa": {"settings": {"lookahead_m": 1.7}, "trials": []}}}))
    monkeypatch.setattr(tuned, "shipped", lambda _relative: path)
    assert make_controller("dwa", PRESETS["generic"], 0.5).config.lookahead_m == 1.7
    assert make_controller("dwa", PRESETS["generic"], 0.5, {}).config.lookahead_m == 0.8
    path.with_name("damaged.json").write_text("{")
    monkeypatch.setattr(tuned, "shipped", lambda _relative: path.with_name("damaged.json"))
    with pytest.raises(ControllerError, match="damaged.json: not a record"):
        make_controller("dwa", PRESETS["generic"], 0.5)


def test_a_task_without_settings_is_driven_with_none_and_not_with_the_tuned_ones(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(tasks, "make_controller", lambda *words: asked.append(words[3]))
    for chosen in (None, (), (("lookahead_m", 1.2),)):
        tasks._controller.__wrapped__("dwa", "crowd", 0, ScenarioOverrides(), chosen)
    assert asked == [None, {}, {"lookahead_m": 1.2}]


def test_searches_for_real_but_small(tmp_path: Path) -> None:
    path = tmp_path / "tuned.json"
    assert tuning.run(options(path, 1)) == 0
    record = json.loads(path.read_text())
    assert record["budget"] == {"trials": 1, "episodes": 1, "scenarios": ["doorway_v1"]}
    assert record["planners"]["dwa"]["trials"][0]["success"] in (0.0, 1.0)
