"""People who avoid walls, each other and the robots, by JuPedSim's anticipation velocity model.

The model is that of Xu et al., "Anticipation in pedestrian dynamics" (Transportation Research C, 2021).
"""

from __future__ import annotations

import numpy as np
import shapely

from edge_worldmodel.core.types import Floats
from edge_worldmodel.sim.crowds.crowd import CrowdState, route
from edge_worldmodel.sim.crowds.habits import Habits
from edge_worldmodel.sim.fields import WorldError
from edge_worldmodel.sim.world import Person, World

try:
    import jupedsim
except ImportError as error:
    raise WorldError("crowd model 'jupedsim' needs the package jupedsim (pip install jupedsim)") from error

_STEP_S = 0.02
_ARRIVED_M = 0.5
# A person who is slower than this for so long turns to the next waypoint, because the way is blocked.
_BLOCKED_MPS = 0.1
_BLOCKED_S = 3.0
_REACH_M = 1e-3
_GHOST_TIME_GAP_S = 0.01


class JuPedSimCrowd:
    """People on cyclic routes; each robot is represented by an agent that follows its position."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        """Place all people at their starts; robots get agents if the people react to them."""
        self._area = _walkable(world)
        shapely.prepare(self._area)
        self._inset = self._area.buffer(-0.01)
        model = jupedsim.AnticipationVelocityModel(rng_seed=int(rng.integers(2**63)))
        self._sim = jupedsim.Simulation(model=model, geometry=self._area, dt=_STEP_S)
        self._journeys: list[int] = []
        self._stages: list[list[int]] = []
        self._people = [self._add_person(world, person, rng) for person in world.people]
        self._robot_agents = self._add_robots(world) if world.crowd.reacts_to_robot else []
        self._blocked_s = np.zeros(len(self._people))
        self._habits = Habits(world.people, rng)
        self._pending_s = 0.0
        starts = self._positions()
        self.state = CrowdState(starts, np.zeros_like(starts))

    def step(self, dt_s: float, robots: Floats) -> CrowdState:
        """Advance by ``dt_s``, preferably a multiple of 0.02 s, with the robots at (r, 4: x, y, vx, vy)."""
        self._pending_s += dt_s
        before = self.state.positions
        self._follow_habits(dt_s)
        steps = int(self._pending_s / _STEP_S + 1e-6)
        self._pending_s -= steps * _STEP_S
        for k in range(steps):
            self._steer_robot_agents(robots[:, :2] + robots[:, 2:] * (k * _STEP_S))
            self._iterate()
        positions = self._positions()
        velocities = (positions - before) / dt_s
        self._turn_blocked(velocities, dt_s)
        self.state = CrowdState(positions, velocities)
        return self.state

    def _iterate(self) -> None:
        try:
            self._sim.iterate()
        except RuntimeError as error:  # somebody was pushed into a wall
            raise WorldError(f"JuPedSim cannot continue: {error}") from error

    def _positions(self) -> Floats:
        return np.array([self._sim.agent(agent).position for agent in self._people]).reshape(-1, 2)

    def _add_person(self, world: World, person: Person, rng: np.random.Generator) -> int:
        points = route(world, person, rng)
        stages = [self._sim.add_waypoint_stage(point, _ARRIVED_M) for point in points]
        journey = jupedsim.JourneyDescription(stages)
        for stage, following in zip(stages, stages[1:] + stages[:1], strict=True):
            journey.set_transition_for_stage(stage, jupedsim.Transition.create_fixed_transition(following))
        self._journeys.append(self._sim.add_journey(journey))
        self._stages.append(stages)
        parameters = jupedsim.AnticipationVelocityModelAgentParameters(
            position=person.start,
            desired_speed=person.speed_mps,
            radius=person.radius_m,
            journey_id=self._journeys[-1],
            stage_id=stages[1 % len(stages)],
        )
        return int(self._sim.add_agent(parameters))

    def _add_robots(self, world: World) -> list[int]:
        stage = self._sim.add_direct_steering_stage()
        journey = self._sim.add_journey(jupedsim.JourneyDescription([stage]))
        agents = []
        for placement in world.robots:
            # The agent of a robot is not repelled by people: it follows the robot.
            parameters = jupedsim.AnticipationVelocityModelAgentParameters(
                position=placement.start[:2],
                time_gap=_GHOST_TIME_GAP_S,
                desired_speed=0.0,
                radius=placement.spec.radius_m + world.crowd.robot_margin_m,
                strength_neighbor_repulsion=0.0,
                journey_id=journey,
                stage_id=stage,
            )
            agents.append(int(self._sim.add_agent(parameters)))
        return agents

    def _steer_robot_agents(self, targets: Floats) -> None:
        for identity, target in zip(self._robot_agents, targets, strict=False):
            agent = self._sim.agent(identity)
            agent.target = self._inside(target)
            away_m = float(np.hypot(*(np.array(agent.position) - agent.target)))
            agent.model.desired_speed = away_m / _STEP_S if away_m > _REACH_M else 0.0

    def _inside(self, point: Floats) -> tuple[float, float]:
        """Return the point, or the nearest one in the walkable area if the robot has left it."""
        if not shapely.contains_xy(self._area, point[0], point[1]):
            return tuple(shapely.shortest_line(self._inset, shapely.Point(point)).coords[0])
        return float(point[0]), float(point[1])

    def _turn_blocked(self, velocities: Floats, dt_s: float) -> None:
        slow = np.hypot(velocities[:, 0], velocities[:, 1]) < _BLOCKED_MPS
        self._blocked_s = np.where(slow & ~self._habits.standing, self._blocked_s + dt_s, 0.0)
        for i in np.flatnonzero(self._blocked_s > _BLOCKED_S).tolist():
            self._turn(i)
            self._blocked_s[i] = 0.0

    def _turn(self, person: int) -> None:
        """Send a person to the waypoint after the present one."""
        stages = self._stages[person]
        now = stages.index(self._sim.agent(self._people[person]).stage_id)
        self._sim.switch_agent_journey(self._people[person], self._journeys[person], stages[(now + 1) % len(stages)])

    def _follow_habits(self, dt_s: float) -> None:
        """Let people stop, walk on and change their minds."""
        stopping, walking, turning = self._habits.step(dt_s)
        for person in stopping.tolist():
            self._sim.agent(self._people[person]).model.desired_speed = 0.0
        for person in walking.tolist():
            self._sim.agent(self._people[person]).model.desired_speed = self._habits.speeds_mps[person]
        for person in turning.tolist():
            self._turn(person)


def _walkable(world: World) -> shapely.Polygon:
    """Return the part of the free space that contains all people."""
    solids = shapely.union_all([shapely.Polygon(solid.outline()) for solid in world.solids])
    free = shapely.box(*world.bounds).difference(solids)
    parts = free.geoms if isinstance(free, shapely.MultiPolygon) else [free]
    points = [shapely.Point(person.start) for person in world.people]
    for part in parts:
        if all(part.contains(point) for point in points):
            return part
    raise WorldError(f"{world.name}: walls separate the people: crowd model jupedsim needs one connected area")
