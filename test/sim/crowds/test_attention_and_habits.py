"""Some people see the robot and others do not; some stop, and some change their minds."""

from __future__ import annotations

import numpy as np
import pytest

from edge_worldmodel.sim.crowds.crowd_models import make_crowd
from edge_worldmodel.sim.crowds.habits import Habits
from edge_worldmodel.sim.crowds.tracks import RecordedTracks
from edge_worldmodel.sim.world import CrowdSpec, Person

from ..rooms import room

ROBOT = np.array([[0.0, 0.0, 0.0, 0.0]])
# Two people walk past the robot's place, 0.2 m beside its centre, in opposite directions.
_X = np.arange(-4.0, 4.0, 0.1)
TRACKS = RecordedTracks(np.stack([np.stack([_X, 0 * _X + 0.2], -1), np.stack([-_X, 0 * _X - 0.2], -1)], axis=1), 0.1)


def nearest_m(crowd, steps: int = 190) -> np.ndarray:
    """The least distance of each person to the robot's place, and the last positions."""
    states = np.array([crowd.step(0.04, ROBOT).positions for _ in range(steps)])
    return np.nanmin(np.hypot(states[..., 0], states[..., 1]), axis=0), states


@pytest.mark.parametrize("attentive", [(True, False), (False, False), (True, True)])
def test_only_attentive_people_leave_their_tracks_and_they_return(attentive):
    pytest.importorskip("pyrvo")
    people = tuple(Person((0.0, 0.0), radius_m=0.2, attentive=sees) for sees in attentive)
    world = room(people=people, crowd=CrowdSpec("reacting_replay", tracks=TRACKS))
    gaps_m, states = nearest_m(make_crowd(world, np.random.default_rng(0)))
    recorded, tracks = nearest_m(make_crowd(room(people=people, crowd=CrowdSpec("replay", tracks=TRACKS)), None))
    for person, sees in enumerate(attentive):
        if sees:
            assert gaps_m[person] > 0.45 > recorded[person]
            assert np.hypot(*(states[-1, person] - tracks[-1, person])) < 0.1
        else:
            np.testing.assert_array_equal(states[:, person], tracks[:, person])


def test_orca_people_who_do_not_see_the_robot_walk_through_its_place():
    pytest.importorskip("pyrvo")
    people = (Person((-3.0, 0.1), ((3.0, 0.1),)), Person((0.1, -3.0), ((0.1, 3.0),), attentive=False))
    gaps_m, _ = nearest_m(make_crowd(room(people=people, crowd=CrowdSpec("orca"), start=(3, 3, 0)), None), 160)
    assert gaps_m[0] > 0.4
    assert gaps_m[1] < 0.2


def test_people_stop_walk_on_and_turn_as_often_as_they_should():
    habits = Habits(
        [Person((0, 0), walks_s=4.0, stops_s=2.0), Person((0, 0), changes_mind_s=5.0)], np.random.default_rng(1)
    )
    standing_s, turns = 0.0, 0
    for _ in range(50_000):
        *_, turning = habits.step(0.04)
        standing_s += 0.04 * habits.standing[0]
        turns += len(turning)
        assert not habits.standing[1] and 0 not in turning
    assert standing_s / 2000.0 == pytest.approx(1 / 3, abs=0.06)
    assert turns == pytest.approx(400, abs=60)


def test_people_without_habits_draw_no_random_numbers():
    rng = np.random.default_rng(3)
    Habits([Person((0, 0))], rng).step(1.0)
    assert rng.uniform() == np.random.default_rng(3).uniform()


def test_people_of_jupedsim_stand_and_turn():
    pytest.importorskip("jupedsim")
    # Far apart, so that they do not disturb each other.
    ways = {"start": (-4.0, 0.0), "waypoints": ((4.0, 0.0),)}
    standing = Person(**ways, walks_s=1.0, stops_s=3.0)
    turning = Person((-4.0, 3.0), ((4.0, 3.0),), changes_mind_s=1.5)
    world = room(people=(standing, turning), crowd=CrowdSpec("jupedsim", False), start=(0.0, -3.0, 0.0))
    crowd = make_crowd(world, np.random.default_rng(2))
    states = [crowd.step(0.04, ROBOT) for _ in range(500)]
    speeds = np.array([np.hypot(*state.velocities.T) for state in states])
    assert 0.4 < (speeds[:, 0] < 0.05).mean() < 0.95
    assert (speeds[:, 0] > 0.6).any()
    forward = np.array([state.velocities[1, 0] for state in states])
    assert np.count_nonzero(np.diff(np.sign(forward[np.abs(forward) > 0.3]))) >= 4
