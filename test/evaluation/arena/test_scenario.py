from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_worldmodel.evaluation.arena.scenario import ScenarioOverrides, load_scenario
from edge_worldmodel.evaluation.arena.source import ScenarioError, shuffled
from edge_worldmodel.models.shipped import shipped
from edge_worldmodel.sim.simulation import Simulation

_DRAWN = ("crowd_v1", "corridor_v1", "crossing_v1", "doorway_v1", "stepout_v1")


_NEW = ("crowd_stops", "groups", "corridor_dense", "doorway", "junction", "carts", "circle_some", "stepout")


@pytest.mark.parametrize("name", (*_DRAWN, *_NEW))
def test_drawn_worlds_are_sound_and_differ(name):
    scenario = replace(load_scenario(name, 2), solvable=False, observe_s=0.0, clear_s=0.0)
    cases = [scenario.case(index) for index in range(6)]
    assert len({case.drawn.world.robots[0].start for case in cases}) > 1 or len({repr(c.drawn) for c in cases}) > 1
    assert all(case.drawn.world.robots[0].spec == scenario.robot for case in cases)
    assert scenario.case(3).drawn.world == cases[3].drawn.world


def test_the_crowd_has_5_to_45_people():
    scenario = load_scenario("crowd_v1", 0)
    counts = [len(scenario.case(index).drawn.world.people) for index in range(40)]
    assert 5 <= min(counts) < 12
    assert 38 < max(counts) <= 45
    many = load_scenario("crowd_v1", 0, ScenarioOverrides(people=(35, 35)))
    assert len(many.case(0).drawn.world.people) == 35


def drawn(name, index=0, **overrides):
    """The world of an episode, without the checks of its start and of a solution."""
    scenario = load_scenario(name, 4, ScenarioOverrides(**overrides))
    return replace(scenario, solvable=False, observe_s=0.0, clear_s=0.0).case(index).drawn.world


def test_the_people_of_a_scenario_are_as_its_file_says(tracks_folder):
    assert sum(person.attentive for person in drawn("circle_some").people) == 1
    assert all(person.attentive for person in drawn("circle_attentive").people)
    world = drawn("tracks_attentive", tracks=tracks_folder, time_limit_s=10.0)
    assert world.crowd.model == "reacting_replay"
    assert sum(person.attentive for person in world.people) == round(0.7 * len(world.people))
    assert {person.walks_s for person in drawn("crowd_stops").people} == {4.0}
    assert {person.changes_mind_s for person in drawn("junction").people} == {6.0}
    assert min(person.radius_m for person in drawn("carts").people) >= 0.3
    screens = [solid for solid in drawn("stepout").solids if solid.width_m == 1.2]
    assert len(screens) == 2 * len(drawn("stepout").people) == 6


def test_members_of_a_group_walk_side_by_side():
    people = drawn("groups").people
    starts = np.array([person.start for person in people])
    apart = np.hypot(*np.moveaxis(starts[:, None] - starts, -1, 0)) + 10 * np.eye(len(people))
    pairs = np.argwhere((apart < 0.71) & (apart > 0.69))
    assert len(pairs) >= 0.4 * len(people)
    for a, b in pairs[:3]:
        np.testing.assert_allclose(
            np.subtract(people[a].waypoints, people[a].start), np.subtract(people[b].waypoints, people[b].start)
        )


def test_nobody_waits_where_the_robot_could_see_it():
    scenario = load_scenario("stepout_v1", 1)
    for index in range(4):
        world = scenario.case(index).drawn.world
        simulation = Simulation(world, 0)
        before = simulation.people().positions
        simulation.advance(0.5)
        np.testing.assert_array_equal(before, simulation.people().positions)
        scan = simulation.scan()
        angles = scan.angle_min_rad + scan.angle_increment_rad * np.arange(len(scan.ranges))
        with np.errstate(invalid="ignore"):
            points = np.array(world.robots[0].start[:2]) + scan.ranges[:, None] * np.stack(
                [np.cos(angles), np.sin(angles)], axis=-1
            )
        for person in world.people:
            assert np.nanmin(np.hypot(*(points - person.start).T)) > person.radius_m + 0.05


def test_barn_skips_damaged_worlds_by_name(barn_file):
    source = load_scenario("barn", 0, ScenarioOverrides(worlds=(barn_file,))).source
    assert [entry.subject for entry in source.skipped] == ["worlds.npz: world 3"]
    assert "not finite" in source.skipped[0].reason


def test_a_damaged_file_is_skipped_where_others_are_sound(barn_file, tmp_path):
    (tmp_path / "cut.npz").write_bytes(barn_file.read_bytes()[:300])
    source = load_scenario("barn", 0, ScenarioOverrides(worlds=(tmp_path,))).source
    assert sorted(entry.subject for entry in source.skipped) == ["cut.npz", "worlds.npz: world 3"]


def test_dynabarn_moves_along_its_key_frames_again_and_again(dynabarn_file):
    scenario = load_scenario("dynabarn_v1", 0, ScenarioOverrides(worlds=(dynabarn_file,)))
    assert [entry.subject for entry in scenario.source.skipped] == ["moving.json: world 1"]
    assert "keyframes_txyz" in scenario.source.skipped[0].reason
    positions = scenario.case(0).drawn.world.crowd.tracks.positions
    np.testing.assert_allclose(positions[20, 0], (0.0, 0.0), atol=1e-9)
    np.testing.assert_allclose(positions[60, 0], (0.0, 0.0), atol=1e-9)
    assert np.isnan(positions[39, 0]).all()


def test_tracks_are_replayed_as_recorded_and_damaged_files_skipped(tracks_folder):
    scenario = load_scenario("tracks_v1", 0, ScenarioOverrides(tracks=tracks_folder, time_limit_s=10.0))
    assert [entry.subject for entry in scenario.source.skipped] == ["cut.txt"]
    assert "line 21" in scenario.source.skipped[0].reason
    world = scenario.case(0).drawn.world
    speeds = np.hypot(*np.moveaxis(np.diff(world.crowd.tracks.positions, axis=0), -1, 0)) / 0.1
    assert np.nanmedian(speeds) == pytest.approx(1.2, abs=0.05)
    assert not world.crowd.reacts_to_robot


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("kind: crowd\npeople: [9, 3]\n", r"people = \[9, 3\]"),
        ("kind: maze\n", "choose one of"),
        ("kind: crowd\nrobot: {preset: tank}\n", "tank"),
        ("kind: crowd\npeopel: [1, 2]\n", "did you mean 'people'"),
        ("kind: [\n", "not valid YAML"),
        ("kind: barn\n", "give --worlds"),
        ("kind: tracks\n", "give --tracks"),
    ],
)
def test_a_bad_scenario_file_is_named_with_the_place(tmp_path, text, complaint):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioError, match=complaint) as error:
        load_scenario(str(path), 0)
    assert "mine.yaml" in str(error.value)


def test_an_unknown_scenario_lists_the_known_ones():
    with pytest.raises(ScenarioError, match="corridor"):
        load_scenario("nowhere", 0)


def test_every_world_is_driven_before_one_comes_again():
    assert sorted(shuffled(7, index, 3) for index in range(7)) == list(range(7))
    assert [shuffled(7, index, 3) for index in range(7, 14)] != [shuffled(7, index, 3) for index in range(7)]


def test_built_in_scenarios_are_all_there():
    names = {path.stem for path in shipped("worlds/scenarios").glob("*.yaml")}
    assert {"crowd", "corridor", "crossing", "doorway", "circle", "tracks", "barn", "dynabarn", "stepout"} <= names


def test_people_on_the_circle_cross_it_without_meeting():
    pytest.importorskip("pyrvo")
    scenario = load_scenario("circle_v1", 0)
    world = scenario.case(0).drawn.world
    simulation = Simulation(world, 0)
    nearest_m = np.inf
    for _ in range(120):
        simulation.advance(0.1)
        people = simulation.people().positions
        gaps = np.hypot(*np.moveaxis(people[:, None] - people, -1, 0)) + 10 * np.eye(len(people))
        nearest_m = min(nearest_m, gaps.min())
    goals = np.array([person.waypoints[-1] for person in world.people])
    assert np.hypot(*(simulation.people().positions - goals).T).max() < 0.3
    assert nearest_m > 0.55
