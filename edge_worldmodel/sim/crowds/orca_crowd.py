"""People who avoid each other by ORCA; they ignore walls.

The method is van den Berg et al., "Reciprocal n-body collision avoidance" (2011); the parameters are those of
CrowdNav (Chen et al., ICRA 2019).
"""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.sim.crowds.crowd import CrowdState, route
from edge_worldmodel.sim.fields import WorldError
from edge_worldmodel.sim.world import World

try:
    import pyrvo
except ImportError as error:
    raise WorldError("crowd model 'orca' needs the package pyrvo (pip install pyrvo)") from error

_NEIGHBOUR_M = 10.0
_NEIGHBOURS = 10
_HORIZON_S = 5.0
_EXTRA_RADIUS_M = 0.01
_ARRIVED_M = 0.05


class OrcaCrowd:
    """People who walk through their waypoints and stay at the last one."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        """Place all people at their starts; robots become agents if the people react to them."""
        self._routes = [np.array(route(world, person, rng)) for person in world.people]
        self._next = [min(1, len(points) - 1) for points in self._routes]
        self._speeds = np.array([person.speed_mps for person in world.people])
        self._radii = [person.radius_m + _EXTRA_RADIUS_M for person in world.people]
        margin_m = world.crowd.robot_margin_m
        self._robot_radii = [robot.spec.radius_m + margin_m for robot in world.robots]
        attentive = np.array([person.attentive for person in world.people], bool)
        self._attentive = attentive & world.crowd.reacts_to_robot
        starts = np.array([person.start for person in world.people]).reshape(-1, 2)
        self.state = CrowdState(starts, np.zeros_like(starts))

    def step(self, dt_s: float, robots: Floats) -> CrowdState:
        """Advance by ``dt_s`` with the robots at (r, 4: x, y, vx, vy)."""
        velocities = self._velocities(dt_s, robots if self._attentive.any() else None)
        if self._attentive.any() and not self._attentive.all():
            velocities = np.where(self._attentive[:, None], velocities, self._velocities(dt_s, None))
        self.state = CrowdState(self.state.positions + velocities * dt_s, velocities)
        return self.state

    def _velocities(self, dt_s: float, robots: Floats | None) -> Floats:
        """Return the velocities (n, 2) that the people choose; None: they see no robot."""
        # Robots move on their own, so every step uses a new simulator; it costs microseconds.
        sim = pyrvo.RVOSimulator()
        sim.set_time_step(dt_s)
        sim.set_agent_defaults(_NEIGHBOUR_M, _NEIGHBOURS, _HORIZON_S, _HORIZON_S, 0.3, 1.0)
        for person, radius_m in enumerate(self._radii):
            self._add(sim, self.state.positions[person], self.state.velocities[person], radius_m)
            sim.set_agent_max_speed(person, float(self._speeds[person]))
            sim.set_agent_pref_velocity(person, tuple(self._preferred_velocity(person).tolist()))
        if robots is not None:
            for robot, radius_m in zip(robots, self._robot_radii, strict=True):
                agent = self._add(sim, robot[:2], robot[2:], radius_m)
                sim.set_agent_pref_velocity(agent, tuple(robot[2:].tolist()))
        sim.do_step()
        return np.array([sim.get_agent_velocity(i).to_tuple() for i in range(len(self._radii))])

    @staticmethod
    def _add(sim: pyrvo.RVOSimulator, position: Floats, velocity: Floats, radius_m: float) -> int:
        agent = int(sim.add_agent(tuple(position.tolist())))
        sim.set_agent_velocity(agent, tuple(velocity.tolist()))
        sim.set_agent_radius(agent, radius_m)
        return agent

    def _preferred_velocity(self, person: int) -> Floats:
        """Return the preferred velocity (2,) of a person, towards the next waypoint."""
        points = self._routes[person]
        offset = points[self._next[person]] - self.state.positions[person]
        away_m = float(np.hypot(*offset))
        if away_m < _ARRIVED_M and self._next[person] < len(points) - 1:
            self._next[person] += 1
        return np.asarray(offset * min(self._speeds[person] / max(away_m, 1e-9), 1.0))
