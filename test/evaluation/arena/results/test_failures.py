from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import pytest

from edge_worldmodel.evaluation.arena.episode import Episode
from edge_worldmodel.evaluation.arena.journal import Journal
from edge_worldmodel.evaluation.arena.results import failures
from edge_worldmodel.evaluation.arena.scenario import ScenarioOverrides, load_scenario
from edge_worldmodel.evaluation.arena.tasks import EpisodeResult, EpisodeTask

from ..conftest import Straight

pytest.importorskip("rosbags")


@pytest.fixture
def contact(barn_file):
    """Return a contact with a wall, with its trace."""
    overrides = ScenarioOverrides(worlds=(barn_file,))
    scenario = load_scenario("barn_v1", 0, overrides)
    case = next(case for case in map(scenario.case, range(2)) if case.drawn.label == "world 2")
    outcome, trace = Episode(scenario, case, Straight()).run()
    assert outcome.ending == "contact"
    return EpisodeResult(EpisodeTask("barn_v1", 0, overrides, "dwa", case.index), outcome, "", trace, case)


@pytest.fixture
def keeper(tmp_path):
    options = argparse.Namespace(json=tmp_path / "f.json", keep_failures=1, processes=1, ray=None)
    return failures.FailureKeeper(options, Journal(tmp_path / "f.episodes.jsonl"))


def test_the_worst_of_several_failures_is_kept(contact, keeper):
    episodes = []
    for index, energy_j in enumerate((5.0, 50.0, 20.0)):
        task = replace(contact.task, index=index)
        done = replace(contact, task=task, outcome=replace(contact.outcome, energy_j=energy_j))
        episodes.append((f"key {index}", task))
        keeper._journal.add(f"key {index}", done)
        keeper.add(f"key {index}", done)
    folder = failures.folder_of(keeper._options.json)
    assert sorted(path.stem[-4:] for path in folder.glob("*.npz")) == ["0000", "0001"], "0002 is milder than 0001"
    assert keeper.complete(episodes) == 1
    assert [path.stem[-4:] for path in folder.glob("*.npz")] == ["0001"]


def test_imagined_scenes_are_written_and_older_files_without_them_are_read(contact, tmp_path):
    moments = len(contact.trace.stamps_ns)
    imagined = np.arange(moments * 64 * 64, dtype=np.uint8).reshape(moments, 64, 64)
    trace = replace(
        contact.trace, imagined=imagined, imagined_poses=np.zeros((moments, 3)), plans=np.ones((moments, 2, 2))
    )
    path = tmp_path / "a.npz"
    failures.write(path, replace(contact, trace=trace))
    np.testing.assert_array_equal(failures.read(path).trace.imagined, imagined)
    with np.load(path) as arrays:
        older = {name: arrays[name] for name in arrays if name not in ("imagined", "imagined_poses", "plans")}
    np.savez(path, **older)
    assert len(failures.read(path).trace.imagined) == 0


def test_the_mcap_holds_what_was_imagined(contact, tmp_path):
    from mcap.reader import make_reader
    from rosbags.typesys import Stores, get_typestore

    moments = len(contact.trace.stamps_ns)
    imagined = np.zeros((moments, 64, 64), np.uint8)
    imagined[2:, 0, 1] = 255
    centres = np.zeros((moments, 3))
    centres[0] = np.nan
    trace = replace(contact.trace, imagined=imagined, imagined_poses=centres, plans=np.ones((moments, 2, 2)))
    failures.write(tmp_path / "a.npz", replace(contact, trace=trace))
    store = get_typestore(Stores.ROS2_JAZZY)
    with (tmp_path / "a.mcap").open("rb") as file:
        messages = list(make_reader(file).iter_messages(topics=["/imagined", "/plan"]))
    grids = [store.deserialize_cdr(m.data, s.name) for s, c, m in messages if c.topic == "/imagined"]
    assert [grid.data.reshape(64, 64)[0, 1] for grid in grids] == [0, 100]
    assert grids[0].info.origin.position.x == pytest.approx(-32 * grids[0].info.resolution)
    assert sum(c.topic == "/plan" for _, c, _ in messages) == 2
