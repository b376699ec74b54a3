"""Where the people of an episode will be, from the simulator's own crowd."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.arena.source import ScenarioError
from edge_worldmodel.sim.simulation import CROWD_PERIOD_S, seeded_crowd
from edge_worldmodel.sim.world import World


class PlacesAhead(Protocol):
    """Where people will be: their radii (n,), and their positions (k, n, 2) at times (k,), NaN where absent."""

    radii_m: Floats

    def at(self, times_s: Floats) -> Floats:
        """Return the positions."""
        ...


class PeopleAhead:
    """People who walk as they will in the episode if the robot drives along a given path.

    The crowd is stepped as far as somebody asks. People who wait for the robot (step-outs) are left out here, because
    they start as soon as a robot comes near: see ``StepOuts``.
    """

    def __init__(self, world: World, seed: int, robot_states: Floats) -> None:
        """Prepare the crowd.

        Args:
            world: of the episode.
            seed: of its simulation.
            robot_states: position and velocity (T, 4) of the robot, one every CROWD_PERIOD_S from the beginning of the
                simulation; after the last one it stands.
        """
        walking = np.array([person.waits_for_robot_m == 0.0 for person in world.people], bool)
        self.walking = np.flatnonzero(walking)
        """Indices of these people in the world."""
        self.radii_m = np.array([world.people[i].radius_m for i in self.walking])
        self._crowd = seeded_crowd(world, seed)
        self._robot = np.concatenate([robot_states, np.append(robot_states[-1, :2], (0.0, 0.0))[None]])
        self._positions = [self._crowd.state.positions[self.walking]]

    def at(self, times_s: Floats) -> Floats:
        """Return positions (k, n, 2) at times (k,) since the beginning of the simulation, NaN where absent."""
        if not len(self.walking):
            return np.empty((len(times_s), 0, 2))
        steps = np.floor(times_s / CROWD_PERIOD_S + 1e-9).astype(int)
        while len(self._positions) < steps.max() + 2:
            robot = self._robot[min(len(self._positions) - 1, len(self._robot) - 1)]
            state = self._crowd.step(CROWD_PERIOD_S, robot[None])
            self._positions.append(state.positions[self.walking])
        before = np.array([self._positions[step] for step in steps])
        after = np.array([self._positions[step + 1] for step in steps])
        share = (times_s / CROWD_PERIOD_S - steps)[:, None, None]
        return np.asarray(before + share * (after - before))


class StepOuts:
    """People who wait until a robot comes near and then walk straight to their last waypoint."""

    def __init__(self, world: World) -> None:
        """Collect those of a world."""
        waiting = [person for person in world.people if person.waits_for_robot_m > 0.0]
        self.radii_m = np.array([person.radius_m for person in waiting])
        self._starts = np.array([person.start for person in waiting]).reshape(-1, 2)
        ways = np.array([person.waypoints[-1] for person in waiting]).reshape(-1, 2) - self._starts
        self._lengths_m = np.hypot(ways[:, 0], ways[:, 1])
        self._directions = ways / np.maximum(self._lengths_m, 1e-9)[:, None]
        self._speeds_mps = np.array([person.speed_mps for person in waiting])
        self._near_m = np.array([person.waits_for_robot_m for person in waiting])

    def __len__(self) -> int:
        """Return how many they are."""
        return len(self.radii_m)

    def started_s(self, started_s: Floats, paths: Floats, times_s: Floats) -> Floats:
        """Return when each of them starts (..., n) if robots drive along paths; inf: not yet.

        Args:
            started_s: start times (..., n) before.
            paths: robot positions (..., k, 2).
            times_s: times (k,) of these.
        """
        away_m = np.hypot(*np.moveaxis(paths[..., None, :] - self._starts, -1, 0))
        near = away_m <= self._near_m
        first_s = np.where(near.any(axis=-2), times_s[near.argmax(axis=-2)], np.inf)
        return np.minimum(started_s, first_s)

    def at(self, started_s: Floats, times_s: Floats) -> Floats:
        """Return positions (..., k, n, 2) at times (k,), given when each of them starts (..., n)."""
        walked_m = np.maximum(times_s[:, None] - started_s[..., None, :], 0.0) * self._speeds_mps
        walked_m = np.minimum(walked_m, self._lengths_m)
        return np.asarray(self._starts + walked_m[..., None] * self._directions)


class TrueFuture:
    """Where everybody will be if the robot goes on at its present velocity, for worlds whose people do not react to it.

    Only people who step out as soon as the robot is near depend on its way.
    """

    def __init__(self, world: World, seed: int) -> None:
        """Prepare the crowd.

        Args:
            world: of the episode.
            seed: of its simulation.

        Raises:
            ScenarioError: people react to the robot, so there is not one future.
        """
        self._step_outs = StepOuts(world)
        if world.crowd.reacts_to_robot and len(world.people) > len(self._step_outs):
            raise ScenarioError("people react to the robot here, so nobody can know where they will be")
        self._people = PeopleAhead(world, seed, np.array([[*world.robots[0].start[:2], 0.0, 0.0]]))
        self._started_s = np.full(len(self._step_outs), np.inf)
        self._count = len(world.people)

    def at(self, now_s: float, ahead_s: Floats, place: Floats, velocity: Floats) -> Floats:
        """Return positions (k, n, 2) in the world frame at times (k,) after ``now_s``, NaN where absent.

        Args:
            now_s: time since the beginning of the simulation; it must not decrease from call to call.
            ahead_s: times (k,) from now.
            place: (2,) of the robot in the world frame.
            velocity: (2,) of the robot in the world frame.
        """
        times_s = now_s + ahead_s
        places = np.empty((len(times_s), self._count, 2))
        places[:, self._people.walking] = self._people.at(times_s)
        if len(self._step_outs):
            waiting = np.setdiff1d(np.arange(self._count), self._people.walking)
            self._started_s = self._step_outs.started_s(self._started_s, place[None], np.array([now_s]))
            path = place + ahead_s[:, None] * velocity
            started_s = self._step_outs.started_s(self._started_s, path, times_s)
            places[:, waiting] = self._step_outs.at(started_s, times_s)
        return places
