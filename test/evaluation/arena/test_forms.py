from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from edge_worldmodel.evaluation.arena import closed_loop, forms
from edge_worldmodel.evaluation.arena.scenario import ScenarioOverrides, built_in_scenarios
from edge_worldmodel.evaluation.arena.source import ScenarioError
from edge_worldmodel.evaluation.controllers import NAMES

ALL_INPUTS = ScenarioOverrides(worlds=(Path("w"),), tracks=Path("t"))


def options(*words):
    parser = argparse.ArgumentParser()
    closed_loop.add_arguments(parser)
    return parser.parse_args(list(words))


@pytest.mark.parametrize("name", forms.FORMS)
def test_a_form_names_what_there_is(name):
    form = forms.load_form(name, ALL_INPUTS)
    assert set(form.episodes) <= set(built_in_scenarios())
    assert set(form.planners) <= set(NAMES)
    assert all(indices and len(set(indices)) == len(indices) for indices in form.episodes.values())


def test_the_short_form_has_every_scenario_of_the_present_arena():
    present = {name for name in built_in_scenarios() if not name.endswith(("_v1", "_published"))}
    assert set(forms.load_form("short", ALL_INPUTS).episodes) == present
    without_files = set(forms.load_form("short", ScenarioOverrides()).episodes)
    assert present - without_files == {"barn", "dynabarn", "tracks", "tracks_attentive"}


def test_a_form_fixes_seed_and_episodes(straight):
    plan = closed_loop.make_plan(options("--tiny"))
    form = forms.load_form("tiny", ScenarioOverrides())
    driven = {(task.scenario, task.index) for _, task in plan.episodes}
    assert driven == {(name, index) for name, indices in form.episodes.items() for index in indices}
    assert {task.planner for _, task in plan.episodes} == {*form.planners, "clairvoyant"}
    assert {task.seed for _, task in plan.episodes} == {form.seed}


def test_a_form_can_drive_other_planners(straight):
    plan = closed_loop.make_plan(options("--tiny", "--planner", "orca", "--without-clairvoyant"))
    assert {task.planner for _, task in plan.episodes} == {"orca"}


def test_what_a_form_fixes_is_not_given_beside_it():
    with pytest.raises(ScenarioError, match="--scenario, --seed"):
        closed_loop.make_plan(options("--short", "--scenario", "crowd", "--seed", "0"))
    with pytest.raises(ScenarioError, match="--short"):
        closed_loop.make_plan(options("--scenario", "crowd"))


def test_results_of_a_form_are_kept_for_each_commit(monkeypatch):
    for found, name in (("a" * 40, "short-aaaaaaaaaaaa.json"), ("b" * 40 + "-dirty", "short-bbbbbbbbbbbb-dirty.json")):
        monkeypatch.setattr(closed_loop, "commit", lambda found=found: found)
        assert closed_loop._json_path("short").name == name


def test_a_damaged_form_is_named(tmp_path, monkeypatch):
    (tmp_path / "tiny.yaml").write_text("seed: x\nepisodes: {crowd: [0]}\n")
    monkeypatch.setattr(forms, "shipped", lambda _relative: tmp_path)
    with pytest.raises(ScenarioError, match="tiny.yaml"):
        forms.load_form("tiny", ScenarioOverrides())
