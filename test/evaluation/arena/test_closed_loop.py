from __future__ import annotations

import argparse
import io
import json

import numpy as np
import pytest

from edge_worldmodel.evaluation.arena import closed_loop
from edge_worldmodel.evaluation.arena.results import failures, report
from edge_worldmodel.evaluation.arena.results.failures import folder_of
from edge_worldmodel.evaluation.controllers import ControllerError


def options(tmp_path, *words):
    parser = argparse.ArgumentParser()
    closed_loop.add_arguments(parser)
    return parser.parse_args(["--planner", "dwa", "--without-clairvoyant", "--json", str(tmp_path / "f.json"), *words])


def without_times(path):
    found = json.loads(path.read_text())
    for planners in found["results"].values():
        for figures in planners.values():
            figures.pop("tick_s"), figures.pop("real_time_factor")
    return found["results"], found["episode_list"]


@pytest.fixture
def barn(tmp_path, barn_file):
    return options(tmp_path, "--scenario", "barn_v1", "--worlds", str(barn_file), "--episodes", "2", "--seed", "1")


def test_the_figures_have_all_that_was_promised(straight, barn):
    assert closed_loop.run(barn) == 1, "a damaged world was skipped"
    found = json.loads(barn.json.read_text())
    figures = found["results"]["barn_v1"]["dwa"]
    wanted = "success contact timeout time_s path_m min_distance_m intrusion_s jerk score tick_s episodes ci95"
    assert set(wanted.split()) <= set(figures)
    assert figures["success"] == figures["contact"] == 0.5
    assert set(figures["tick_s"]) == {"p50", "p99"}
    assert found["skipped"][0]["what"] == "scenario barn_v1: worlds.npz: world 3"


def test_a_killed_run_goes_on_and_ends_the_same(straight, barn, monkeypatch):
    closed_loop.run(barn)
    whole = without_times(barn.json)
    journal = barn.json.with_suffix(".episodes.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + lines[1][: len(lines[1]) // 2])
    driven = []
    real = closed_loop.run_tasks
    monkeypatch.setattr(closed_loop, "run_tasks", lambda tasks, *rest: driven.extend(tasks) or real(tasks, *rest))
    closed_loop.run(barn)
    assert len(driven) == 1
    assert without_times(barn.json) == whole


def test_episodes_of_another_seed_are_not_taken_for_these(straight, barn, tmp_path, barn_file):
    closed_loop.run(barn)
    other = options(tmp_path, "--scenario", "barn_v1", "--worlds", str(barn_file), "--episodes", "2", "--seed", "2")
    plan = closed_loop.make_plan(other)
    from edge_worldmodel.evaluation.arena.journal import Journal

    assert len(Journal(other.json.with_suffix(".episodes.jsonl")).missing(plan.episodes)) == 2


def test_what_was_tuned_since_is_driven_again(straight, barn, tmp_path, monkeypatch):
    from edge_worldmodel.evaluation.arena.journal import Journal, episode_key
    from edge_worldmodel.evaluation.arena.tasks import EpisodeTask
    from edge_worldmodel.evaluation.controllers import tuned

    closed_loop.run(barn)
    journal = barn.json.with_suffix(".episodes.jsonl")
    assert not Journal(journal).missing(closed_loop.make_plan(barn).episodes)
    path = tmp_path / "tuned.json"
    path.write_text(json.dumps({"schema": 1, "planners": {"dwa": {"settings": {"lookahead_m": 1.7}}}}))
    monkeypatch.setattr(tuned, "shipped", lambda _relative: path)
    assert len(Journal(journal).missing(closed_loop.make_plan(barn).episodes)) == 2
    tuned_task, plain_task = (
        EpisodeTask("barn_v1", 0, closed_loop.ScenarioOverrides(), "dwa", 0, chosen) for chosen in (None, ())
    )
    assert episode_key(tuned_task, "") != episode_key(plain_task, "")


def test_another_model_is_driven_again(tmp_path, monkeypatch):
    from edge_worldmodel.evaluation.arena import journal
    from edge_worldmodel.evaluation.arena.tasks import EpisodeTask

    keys = set()
    for text in ("one", "two"):
        (tmp_path / "manifest.json").write_text(text)
        journal.ours_digest.cache_clear()
        monkeypatch.setattr(journal, "MODEL", str(tmp_path))
        keys |= {
            journal.episode_key(EpisodeTask("barn_v1", 0, closed_loop.ScenarioOverrides(), p, 0, ()), "")
            for p in ("ours", "dwa")
        }
    journal.ours_digest.cache_clear()
    assert len(keys) == 3, "two for ours and one for dwa, which has no model"


def test_an_interrupted_run_shows_what_it_has_and_drives_no_more(straight, barn, monkeypatch):
    real = closed_loop.run_tasks

    def interrupted(tasks, *rest):
        yield next(real(tasks, *rest))
        raise KeyboardInterrupt

    monkeypatch.setattr(closed_loop, "run_tasks", interrupted)
    assert closed_loop.run(barn) == 1
    found = json.loads(barn.json.read_text())
    assert found["unfinished"] == 1 and found["results"]["barn_v1"]["dwa"]["episodes"] == 1
    monkeypatch.setattr(closed_loop, "run_tasks", lambda tasks, *_: pytest.fail("driven") if list(tasks) else iter(()))
    barn.finished_only, barn.keep_failures = True, 0
    assert closed_loop.run(barn) == 1
    assert json.loads(barn.json.read_text())["unfinished"] == 1


def test_the_command_line_can_set_what_a_planner_has(tmp_path, barn_file):
    words = ("--scenario", "barn_v1", "--worlds", str(barn_file), "--episodes", "1", "--set", "dwa.margin_m=0.05")
    ((_, task),) = closed_loop.make_plan(options(tmp_path, *words)).episodes
    assert dict(task.settings)["margin_m"] == 0.05
    with pytest.raises(ControllerError, match="margin"):
        closed_loop.make_plan(options(tmp_path, *words[:-1], "dwa.margins=0.05"))
    with pytest.raises(SystemExit):
        options(tmp_path, *words[:-1], "dwa=3")


def test_an_unusable_scenario_is_named_and_the_others_are_driven(straight, tmp_path, barn_file):
    broken = tmp_path / "broken.yaml"
    broken.write_text("kind: [")
    words = ("--scenario", str(broken), "--scenario", "barn_v1", "--worlds", str(barn_file), "--episodes", "1")
    assert closed_loop.run(options(tmp_path, *words)) == 1
    found = json.loads((tmp_path / "f.json").read_text())
    assert list(found["results"]) == ["barn_v1"]
    assert "broken.yaml" in found["skipped"][0]["why"]


def test_two_processes_give_what_one_gives(tmp_path):
    pytest.importorskip("pyrvo")
    found = []
    for processes in ("1", "2"):
        words = ("--scenario", "circle", "--episodes", "2", "--keep-failures", "0")
        chosen = options(tmp_path, *words, "--processes", processes, "--fresh")
        chosen.without_clairvoyant = False
        assert closed_loop.run(chosen) == 0
        found.append(without_times(chosen.json))
    assert found[0] == found[1]
    figures = found[0][0]["circle"]
    assert figures["clairvoyant"]["success"] == 1.0
    assert figures["dwa"]["regret_success"] == 1.0 - figures["dwa"]["success"]


def test_a_ray_cluster_of_two_workers_gives_what_one_process_gives(tmp_path):
    pytest.importorskip("ray", reason="the optional extra 'cluster' is not installed")
    pytest.importorskip("jupedsim")
    found = []
    for more in ((), ("--ray", "--processes", "2")):
        words = ("--scenario", "doorway_v1", "--episodes", "2", "--time-limit", "3", "--keep-failures", "0", "--fresh")
        chosen = options(tmp_path, *words, *more)
        assert closed_loop.run(chosen) == 0
        found.append(without_times(chosen.json))
    assert found[0] == found[1]


def test_failures_are_kept_and_shown_on_one_page(straight, barn):
    mcap_reader = pytest.importorskip("rosbags.rosbag2")
    assert mcap_reader
    closed_loop.run(barn)
    kept = sorted(path.name for path in folder_of(barn.json).iterdir())
    assert [name.split(".")[1] for name in kept] == ["mcap", "npz"]
    parser = argparse.ArgumentParser()
    report.add_arguments(parser)
    assert report.run(parser.parse_args([str(barn.json)])) == 0
    page = barn.json.with_suffix(".html").read_text()
    assert page.count("<canvas") == 1
    assert kept[0] in page
    assert "worlds.npz: world 3" in page
    assert "http" not in page.replace("https://www.w3.org", "")


def test_failures_are_kept_while_they_are_driven_and_only_damaged_ones_again(straight, barn, monkeypatch):
    driven = []
    real = failures.run_tasks
    monkeypatch.setattr(failures, "run_tasks", lambda tasks, *rest: driven.extend(tasks) or real(tasks, *rest))
    closed_loop.run(barn)
    assert driven == []
    (kept,) = folder_of(barn.json).glob("*.npz")
    whole = kept.read_bytes()
    kept.write_bytes(whole[:100])
    closed_loop.run(barn)
    assert len(driven) == 1
    np.testing.assert_array_equal(np.load(kept)["poses"], np.load(io.BytesIO(whole))["poses"])


def test_the_kept_mcap_holds_the_scans_and_the_way(straight, barn):
    from mcap.reader import make_reader
    from rosbags.typesys import Stores, get_typestore

    closed_loop.run(barn)
    store = get_typestore(Stores.ROS2_JAZZY)
    counts: dict[str, int] = {}
    with next(folder_of(barn.json).glob("*.mcap")).open("rb") as file:
        for schema, channel, message in make_reader(file).iter_messages():
            counts[channel.topic] = counts.get(channel.topic, 0) + 1
            last = store.deserialize_cdr(message.data, schema.name)
            if channel.topic == "/odom":
                pose = last.pose.pose.position
    assert counts["/scan"] == counts["/odom"] == counts["/tf"] == counts["/cmd_vel"] > 10
    assert counts["/world"] == counts["/tf_static"] == counts["/goal_pose"] == 1
    assert pose.x > 2.0
