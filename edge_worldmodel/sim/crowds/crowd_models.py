"""Makes the crowd that a world asks for; people who walk from waypoint to waypoint are here."""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.sim.crowds.crowd import Crowd, CrowdState, route
from edge_worldmodel.sim.crowds.replay import ReplayedCrowd
from edge_worldmodel.sim.crowds.tracks import RecordedTracks, load_tracks
from edge_worldmodel.sim.fields import WorldError
from edge_worldmodel.sim.world import World


class WaypointCrowd:
    """People who walk straight from waypoint to waypoint and avoid nothing."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        """Place all people at their starts."""
        self._routes = [np.array(route(world, person, rng)) for person in world.people]
        self._next = [1 % len(points) for points in self._routes]
        self._speeds = np.array([person.speed_mps for person in world.people])
        self._waits_m = np.array([person.waits_for_robot_m for person in world.people])
        self._waiting = self._waits_m > 0
        self._once = self._waiting.copy()
        starts = np.array([person.start for person in world.people]).reshape(-1, 2)
        self.state = CrowdState(starts, np.zeros_like(starts))

    def step(self, dt_s: float, robots: Floats) -> CrowdState:
        """Advance by ``dt_s``; a robot nearby starts the people who wait for one."""
        self._start_waiting(robots)
        moved = [self._walk(i, dt_s) for i in range(len(self._routes))]
        positions = np.array(moved).reshape(-1, 2)
        self.state = CrowdState(positions, (positions - self.state.positions) / dt_s)
        return self.state

    def _start_waiting(self, robots: Floats) -> None:
        for person in np.flatnonzero(self._waiting):
            astep_m = np.hypot(*(robots[:, :2] - self.state.positions[person]).T)
            self._waiting[person] = not (astep_m <= self._waits_m[person]).any()

    def _walk(self, person: int, dt_s: float) -> Floats:
        position, points = self.state.positions[person], self._routes[person]
        if self._waiting[person]:
            return position
        step_m = self._speeds[person] * dt_s
        for _ in range(len(points)):  # several waypoints may lie within one step
            offset = points[self._next[person]] - position
            distance_m = float(np.hypot(*offset))
            if distance_m > step_m:
                return np.asarray(position + offset * (step_m / distance_m))
            position, step_m = points[self._next[person]], step_m - distance_m
            if self._once[person] and self._next[person] == len(points) - 1:
                return position
            self._next[person] = (self._next[person] + 1) % len(points)
        return position


def make_crowd(world: World, rng: np.random.Generator) -> Crowd:
    """Return the crowd of a world."""
    if world.crowd.model == "replay":
        return ReplayedCrowd(_tracks(world))
    if world.crowd.model == "reacting_replay":
        from edge_worldmodel.sim.crowds.reacting_replay import ReactingReplay

        return ReactingReplay(_tracks(world), world)
    # Imported only where needed: a robot or a small machine lacks these libraries.
    if world.crowd.model == "orca" and world.people:
        from edge_worldmodel.sim.crowds.orca_crowd import OrcaCrowd

        return OrcaCrowd(world, rng)
    if world.crowd.model == "jupedsim" and world.people:
        from edge_worldmodel.sim.crowds.jupedsim_crowd import JuPedSimCrowd

        return JuPedSimCrowd(world, rng)
    return WaypointCrowd(world, rng)


def _tracks(world: World) -> RecordedTracks:
    if world.crowd.tracks is not None:
        tracks = world.crowd.tracks
    elif world.crowd.file is not None:
        tracks = load_tracks(world.crowd.file)
    else:
        raise WorldError(f"{world.name}: crowd model replay without tracks")
    if tracks.positions.shape[1] != len(world.people):
        raise WorldError(f"{world.name}: {tracks.positions.shape[1]} tracks for {len(world.people)} people")
    return tracks
