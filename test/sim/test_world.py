"""World files: the shipped ones load, damaged ones name the place, the value and the cure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from edge_worldmodel.sim.robots import PRESETS
from edge_worldmodel.sim.world import WorldError, load_world

WORLDS = sorted((Path(__file__).parents[2] / "worlds").glob("*.yaml"))


def small_world() -> dict:
    return {
        "bounds": [-3, -2, 3, 2],
        "walls": [{"box": [1.0, 1.0, 0.5, 0.5]}, {"segment": [-1, 1, 0, 1]}, {"cylinder": [0, -1, 0.2]}],
        "people": [{"start": [2.0, -1.0], "waypoints": [[-2.0, -1.4]], "speed": 0.8}],
        "robots": [{"preset": "generic", "start": [-2, 0, 0.5], "goal": [2, 0, 0], "scanner": {"beams": 90}}],
    }


def load(tmp_path: Path, tree: object) -> object:
    path = tmp_path / "room.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return load_world(path)


@pytest.mark.parametrize("path", WORLDS, ids=lambda p: p.stem)
def test_shipped_worlds_load(path):
    world = load_world(path)
    assert world.name == path.stem
    # the fault campaign gives goal after goal itself
    assert (world.robots[0].goal is None) == (path.stem == "fault_course")


def test_every_value_arrives(tmp_path):
    world = load(tmp_path, small_world())
    assert world.name == "room"
    assert len(world.solids) == 3 + 4
    assert world.people[0].speed_mps == 0.8 and world.people[0].waypoints == ((-2.0, -1.4),)
    assert world.robots[0].start == (-2.0, 0.0, 0.5)
    assert world.robots[0].spec.scanners[0].beams == 90
    assert PRESETS["generic"].scanners[0].beams == 360
    assert world.clearance(np.array([[1.0, 0.25]])) == pytest.approx([0.5])


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("bounds", [1, 2, 3], ["room.yaml.bounds", "[1, 2, 3]", "[x_min, y_min, x_max, y_max]"]),
        ("bounds", [3, -2, -3, 2], ["bounds", "x_min < x_max"]),
        ("walls", {"box": 1}, ["walls", "expected a list"]),
        ("walls.0.box", [1, 1, 0.0, 1], ["walls[0].box", "above 0"]),
        ("walls.0.box", [1, 1, "wide", 1], ["walls[0].box.length", "'wide'", "number"]),
        ("walls.0.colour", "red", ["walls[0]", "unknown key 'colour'"]),
        ("walls.0.segment", [0, 0, 1, 1], ["walls[0]", "exactly one of segment, box, cylinder"]),
        ("people.0.speed", float("nan"), ["people[0].speed", "nan", "finite"]),
        ("people.0.speed", 30, ["people[0].speed", "30", "[0.0, 3.0]"]),
        ("people.0.start", [9, 0], ["people[0].start", "outside the bounds"]),
        ("people.0.waypoints", [[1.0, 1.0]], ["people[0].waypoints[0]", "from a wall"]),
        ("people.0.start", [-2.1, 0.1], ["robots[0]", "people[0]", "overlap at the start"]),
        ("people.0.speeed", 1, ["people[0]", "unknown key 'speeed'", "did you mean 'speed'?"]),
        ("people.0.area", [0, 0, 1, 1], ["people[0]", "not both"]),
        ("robots.0.preset", "tank", ["robots[0]", "'tank'", "generic"]),
        ("robots.0.start", [0, -1, 0], ["robots[0].start", "from a wall"]),
        ("robots.0.goal", [0, -1, 0], ["robots[0].goal", "from a wall"]),
        ("robots.0.scanner", {"beams": 0}, ["robots[0]", "beams = 0"]),
        ("robots.0.scanner", {"beems": 9}, ["robots[0]", "beems"]),
        ("crowd", {"model": "sheep"}, ["crowd.model", "'sheep'", "jupedsim"]),
        ("crowd", {"model": "replay"}, ["crowd.file", "with model: replay"]),
        ("seed", -1, ["seed", "-1"]),
        ("wals", [], ["unknown key 'wals'", "did you mean 'walls'?"]),
    ],
)
def test_errors_name_place_value_and_cure(tmp_path, path, value, words):
    tree = small_world()
    *parents, last = path.split(".")
    node = tree
    for key in parents:
        node = node[int(key)] if key.isdigit() else node[key]
    node[last] = value
    with pytest.raises(WorldError) as error:
        load(tmp_path, tree)
    for word in words:
        assert word in str(error.value)


def test_files_that_are_no_world_are_named(tmp_path):
    with pytest.raises(WorldError, match=r"nowhere\.yaml.*cannot be read"):
        load_world(tmp_path / "nowhere.yaml")
    (tmp_path / "bad.yaml").write_text("bounds: [1, 2", encoding="utf-8")
    with pytest.raises(WorldError, match=r"bad\.yaml.*not valid YAML"):
        load_world(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n", encoding="utf-8")
    with pytest.raises(WorldError, match=r"list\.yaml.*expected 'key: value' pairs"):
        load_world(tmp_path / "list.yaml")


def test_a_world_file_runs_no_code(tmp_path):
    path = tmp_path / "evil.yaml"
    path.write_text("bounds: !!python/object/apply:os.getcwd []\n", encoding="utf-8")
    with pytest.raises(WorldError, match="not valid YAML"):
        load_world(path)
