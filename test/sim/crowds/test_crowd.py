"""People walk their ways at their speeds, as told or as recorded."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge_worldmodel.sim.crowds.crowd_models import WaypointCrowd, make_crowd
from edge_worldmodel.sim.crowds.replay import ReplayedCrowd
from edge_worldmodel.sim.crowds.tracks import RecordedTracks
from edge_worldmodel.sim.shapes import Box, Cylinder
from edge_worldmodel.sim.simulation import Simulation
from edge_worldmodel.sim.world import CrowdSpec, Person, WorldError

from ..rooms import BOUNDS, room

NO_ROBOTS = np.zeros((0, 4))
ASIDE = (-4.0, -3.0, 0.0)


def walk(crowd: object, steps: int, dt_s: float = 0.1) -> np.ndarray:
    return np.array([crowd.step(dt_s, NO_ROBOTS).positions for _ in range(steps)])


def test_waypoints_are_walked_at_the_given_speed_over_and_over():
    person = Person(start=(0.0, 0.0), waypoints=((2.0, 0.0), (2.0, 1.0)), speed_mps=0.5)
    positions = walk(WaypointCrowd(room(people=(person,), start=ASIDE), np.random.default_rng(0)), 110)[:, 0]
    assert positions[39] == pytest.approx([2.0, 0.0])
    assert positions[59] == pytest.approx([2.0, 1.0])
    beyond_the_start_m = 50 * 0.05 - np.hypot(2.0, 1.0)
    assert positions[109] == pytest.approx([beyond_the_start_m, 0.0])


def test_one_without_a_way_stands():
    crowd = WaypointCrowd(room(people=(Person(start=(1.0, 2.0)),)), np.random.default_rng(0))
    assert (walk(crowd, 10) == [1.0, 2.0]).all()


def test_an_area_is_roamed_and_not_left():
    person = Person(start=(0.0, 0.0), area=(-1.0, -1.0, 2.0, 2.0), speed_mps=1.0)
    positions = walk(WaypointCrowd(room(people=(person,), start=ASIDE), np.random.default_rng(0)), 600)[:, 0]
    assert (positions >= -1.0).all() and (positions <= 2.0).all()
    assert np.ptp(positions, axis=0).min() > 2.0


def test_an_area_without_room_is_an_error():
    person = Person(start=(-4.0, 0.0), area=(1.0, 1.0, 2.0, 2.0))
    with pytest.raises(WorldError, match="too few free points"):
        WaypointCrowd(room(Box(1.5, 1.5, 1.5, 1.5), people=(person,), start=ASIDE), np.random.default_rng(0))


def test_tracks_are_replayed_between_their_frames(tmp_path):
    tracks = np.array([[[0.0, 0.0], [np.nan] * 2], [[1.0, 0.0], [2.0, 2.0]], [[1.0, 1.0], [2.0, 3.0]]])
    crowd = ReplayedCrowd(RecordedTracks(tracks, 0.5))
    state = crowd.step(0.25, NO_ROBOTS)
    assert state.positions[0] == pytest.approx([0.5, 0.0]) and state.velocities[0] == pytest.approx([2.0, 0.0])
    assert np.isnan(state.positions[1]).all()
    assert crowd.step(0.5, NO_ROBOTS).positions == pytest.approx(np.array([[1.0, 0.5], [2.0, 2.5]]))
    assert np.isnan(crowd.step(0.5, NO_ROBOTS).positions).all()


def test_replayed_people_come_and_go_in_the_simulation(tmp_path):
    tracks = np.full((10, 1, 2), np.nan)
    tracks[4:8] = [2.0, 0.0]
    np.savez(tmp_path / "tracks.npz", positions=tracks, dt_s=0.4)
    crowd = CrowdSpec(model="replay", file=tmp_path / "tracks.npz")
    simulation = Simulation(room(crowd=crowd, people=(Person(start=(2.0, 0.0)),)))
    seen = []
    for _ in range(9):
        seen.append(float(simulation.scan().ranges[180]))
        simulation.advance(0.4)
    assert seen[0] == pytest.approx(5.0) and seen[5] == pytest.approx(1.75) and seen[8] == pytest.approx(5.0)


@pytest.mark.parametrize("content", ["text", "missing", "shape", "none"])
def test_damaged_tracks_are_named(tmp_path, content):
    path = tmp_path / "tracks.npz"
    if content == "text":
        path.write_text("hello", encoding="utf-8")
    elif content == "missing":
        np.savez(path, positions=np.zeros((3, 1, 2)))
    elif content == "shape":
        np.savez(path, positions=np.zeros((3, 2)), dt_s=0.4)
    with pytest.raises(WorldError, match=r"tracks"):
        make_crowd(room(crowd=CrowdSpec(model="replay", file=path)), np.random.default_rng(0))


class TestJuPedSim:
    """People who react."""

    @pytest.fixture(autouse=True)
    def _needs_jupedsim(self):
        pytest.importorskip("jupedsim")

    SOLIDS = (Box(0.0, 1.0, 1.5, 1.0), Cylinder(-2.0, -1.0, 0.4))
    PEOPLE = tuple(Person(start=(x, 3.2), waypoints=((-x, -3.2),), speed_mps=1.0) for x in (-3.0, -1.0, 1.0, 3.0)) + (
        Person(start=(4.0, 0.0), area=(-4.0, -3.0, 4.0, 3.0), speed_mps=0.7),
    )

    def crowd(self, seed: int = 0, **settings: object) -> object:
        spec = CrowdSpec(model="jupedsim", **settings)
        return make_crowd(
            room(*self.SOLIDS, people=self.PEOPLE, crowd=spec, start=(-4.0, 0.0, 0.0)), np.random.default_rng(seed)
        )

    def test_they_stay_inside_out_of_walls_and_apart(self):
        crowd = self.crowd()
        world = room(*self.SOLIDS)
        robots = np.array([[-4.0, 0.0, 0.0, 0.0]])
        for _ in range(1500):
            state = crowd.step(0.04, robots)
            assert world.clearance(state.positions).min() > 0.1
            assert (np.abs(state.positions) < BOUNDS[2:]).all()
            apart = np.hypot(*(state.positions[:, None] - state.positions[None]).transpose(2, 0, 1))
            assert apart[~np.eye(len(apart), dtype=bool)].min() > 0.4
            assert np.hypot(*state.velocities.T).max() < 1.3

    def test_they_keep_walking(self):
        crowd = self.crowd()
        robots = np.array([[-4.0, 0.0, 0.0, 0.0]])
        speeds = np.array([np.hypot(*crowd.step(0.04, robots).velocities.T) for _ in range(1500)])
        assert (speeds.mean(axis=0) > 0.5).all()

    def test_the_same_seed_walks_the_same_ways(self):
        robots = np.array([[-4.0, 0.0, 0.0, 0.0]])
        runs = []
        for seed in (1, 1, 2):
            crowd = self.crowd(seed)
            runs.append(np.array([crowd.step(0.04, robots).positions for _ in range(400)]))
        assert np.array_equal(runs[0], runs[1]) and not np.array_equal(runs[0], runs[2])

    @pytest.mark.parametrize("reacts", [True, False])
    def test_they_walk_around_a_robot_only_when_they_react(self, reacts):
        walker = Person(start=(-4.0, 0.0), waypoints=((4.0, 0.0),), speed_mps=1.0)
        spec = CrowdSpec(model="jupedsim", reacts_to_robot=reacts)
        world = room(people=(walker,), crowd=spec, start=(0.0, 0.05, 0.0))
        simulation = Simulation(world)
        nearest_m = np.inf
        for _ in range(1400):
            simulation.step()
            nearest_m = min(nearest_m, np.hypot(*(simulation.people().positions[0] - simulation.pose()[:2])))
        assert bool(simulation.contact_events) is not reacts
        assert bool(nearest_m > 0.5) is reacts
        assert not reacts or simulation.people().positions[0, 0] > 2.0

    def test_they_turn_around_where_the_way_is_blocked(self):
        # a corridor as wide as one person, and a robot that fills it
        walls = (Box(0.0, 2.3, 10.0, 3.4), Box(0.0, -2.3, 10.0, 3.4))
        walker = Person(start=(-4.0, 0.0), waypoints=((4.0, 0.0),), speed_mps=1.0)
        simulation = Simulation(
            room(*walls, people=(walker,), crowd=CrowdSpec(model="jupedsim"), start=(0.0, 0.0, 0.0))
        )
        xs = []
        for _ in range(3000):
            simulation.step()
            xs.append(simulation.people().positions[0, 0])
        assert max(xs) < -0.4 and min(xs[1600:]) < -2.0
        assert not simulation.contact_events

    def test_people_in_parted_rooms_are_refused(self):
        people = (Person(start=(-3.0, 0.0)), Person(start=(3.0, 0.0)))
        world = room(Box(0.0, 0.0, 0.2, 8.0), people=people, crowd=CrowdSpec(model="jupedsim"), start=(-1.0, 2.0, 0.0))
        with pytest.raises(WorldError, match="separate the people"):
            make_crowd(dataclasses.replace(world), np.random.default_rng(0))
