"""ORCA (van den Berg et al., 2011) with true positions of people and walls: a reference that no robot could run.

The implementation is `pyrvo` (RVO2). ORCA assumes that each agent takes half of every avoidance. Its velocities are
holonomic: a differential drive turns towards the velocity and drives faster the better it points there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.geometry import wrap_angle
from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.controllers.command_limits import command_limits
from edge_worldmodel.evaluation.controllers.controller import (
    STOP,
    Command,
    ControllerError,
    ControllerInput,
    People,
    factory,
)
from edge_worldmodel.evaluation.controllers.costmap.costmap import Costmap
from edge_worldmodel.evaluation.controllers.costmap.footprint import footprint_discs
from edge_worldmodel.evaluation.controllers.costmap.guidance import SPACING_M, Guidance
from edge_worldmodel.evaluation.controllers.local_planner import ARRIVED_M
from edge_worldmodel.sim.robots import RobotSpec


@dataclass(frozen=True)
class OrcaConfig(Config):
    """Parameters of ORCA and of the conversion to a differential drive."""

    horizon_s: float = param(3.0, "time for which people are avoided", minimum=0.1, maximum=20.0)
    wall_horizon_s: float = param(1.0, "time for which walls are avoided", minimum=0.1, maximum=20.0)
    neighbour_m: float = param(8.0, "people farther away are ignored", minimum=0.5, maximum=50.0)
    neighbours: int = param(12, "number of people considered", minimum=1, maximum=100)
    margin_m: float = param(0.08, "added to the robot's radius", minimum=0.0, maximum=1.0)
    lookahead_m: float = param(1.0, "distance of the target along the path", minimum=0.2, maximum=5.0)
    turn_gain_hz: float = param(2.5, "yaw rate per radian of heading error", minimum=0.1, maximum=20.0)


_STEP_S = 0.1
_FAR_M = 1e4
_ROLLING_SHARE = 0.3


class Orca:
    """One ORCA agent among people whose states are known."""

    name = "orca"
    knows_people = True

    def __init__(self, robot: RobotSpec, max_speed_mps: float, config: OrcaConfig | None = None) -> None:
        """Drive a robot under a speed cap.

        Raises:
            ControllerError: pyrvo is not installed.
        """
        try:
            import pyrvo
        except ModuleNotFoundError as error:
            raise ControllerError(
                "planner 'orca' needs the library pyrvo: pip install --no-deps -r requirements/no-deps.txt"
            ) from error
        self._library = pyrvo
        self.config = config or OrcaConfig()
        self._max_speed_mps = max_speed_mps
        self.reset(robot, np.zeros(2), 0)

    def reset(self, robot: RobotSpec, goal: Floats, seed: int, walls: Sequence[Floats] = ()) -> None:
        """Begin an episode among walls; nothing is random."""
        self._limits = command_limits(robot, self._max_speed_mps)
        footprint = footprint_discs(robot)
        # Agents of RVO2 are discs: a rectangle gets the radius of the discs that cover it.
        self._radius_m = footprint.radius_m + self.config.margin_m
        self._costmap, self._guidance = Costmap(footprint), Guidance(footprint)
        self._begin_simulation(walls)

    def _begin_simulation(self, walls: Sequence[Floats]) -> None:
        """Make a simulator with the robot among walls, each an outline (n, 2) or a line (2, 2)."""
        cfg, self._people = self.config, 0
        self._simulator = self._library.RVOSimulator(
            _STEP_S, cfg.neighbour_m, cfg.neighbours, cfg.horizon_s, cfg.wall_horizon_s, self._radius_m,
            self._limits.forward_mps,
        )  # fmt: skip
        for outline in walls:
            self._simulator.add_obstacle([(float(x), float(y)) for x, y in outline])
        self._simulator.process_obstacles()
        # Agent 0 is the robot, agent i + 1 is person i.
        self._simulator.add_agent((0.0, 0.0))

    def observe(self, inputs: ControllerInput) -> None:
        """Update the costmap while the robot stands."""
        self._costmap.update(inputs.sweep, inputs.pose)

    def act(self, inputs: ControllerInput) -> Command:
        """Let RVO2 choose a velocity and convert it to a command.

        Raises:
            ControllerError: the input contains no people.
        """
        self._costmap.update(inputs.sweep, inputs.pose)
        people = self._see(inputs)
        if np.hypot(*(inputs.goal - inputs.pose[:2])) < ARRIVED_M:
            return STOP
        path = self._guidance.path(self._costmap, inputs.pose[:2], inputs.goal)
        ahead = path[min(len(path) - 1, round(self.config.lookahead_m / SPACING_M))] - inputs.pose[:2]
        wanted = ahead * (self._limits.forward_mps / max(float(np.hypot(*ahead)), 1e-6))
        self._place_people(people)
        return self._drive(inputs, self._velocity(inputs, wanted))

    def _see(self, inputs: ControllerInput) -> People:
        """Return the people around the robot."""
        if inputs.people is None:
            raise ControllerError("planner 'orca' needs the positions of the people, but the input has none")
        return inputs.people

    def _velocity(self, inputs: ControllerInput, wanted: Floats) -> Floats:
        simulator = self._simulator
        yaw, speed = float(inputs.pose[2]), float(inputs.twist[0])
        simulator.set_agent_position(0, (float(inputs.pose[0]), float(inputs.pose[1])))
        simulator.set_agent_velocity(0, (speed * math.cos(yaw), speed * math.sin(yaw)))
        simulator.set_agent_pref_velocity(0, (float(wanted[0]), float(wanted[1])))
        simulator.do_step()
        chosen = simulator.get_agent_velocity(0)
        return np.array([chosen.x, chosen.y])

    def _place_people(self, people: People) -> None:
        """Update the agents of the people; absent people are placed far away."""
        simulator = self._simulator
        for i in range(self._people, len(people.positions)):
            index = simulator.add_agent((_FAR_M + i, _FAR_M))
            simulator.set_agent_radius(index, float(people.radii_m[i]))
            simulator.set_agent_max_speed(index, 3.0)
        self._people = max(self._people, len(people.positions))
        for i, (position, velocity) in enumerate(zip(people.positions, people.velocities, strict=True)):
            absent = bool(np.isnan(position).any())
            place = (_FAR_M + i, _FAR_M) if absent else (float(position[0]), float(position[1]))
            speed = (0.0, 0.0) if absent or np.isnan(velocity).any() else (float(velocity[0]), float(velocity[1]))
            simulator.set_agent_position(i + 1, place)
            simulator.set_agent_velocity(i + 1, speed)
            simulator.set_agent_pref_velocity(i + 1, speed)

    def _drive(self, inputs: ControllerInput, velocity: Floats) -> Command:
        speed = float(np.hypot(*velocity))
        if speed < 1e-3:
            return STOP
        error = float(wrap_angle(math.atan2(velocity[1], velocity[0]) - inputs.pose[2]))
        turn = self.config.turn_gain_hz * error
        limit = self._limits.yaw_rate_radps
        # A car turns only while it rolls, so its speed keeps a minimum.
        slowest = _ROLLING_SHARE if self._limits.turn_radius_m else 0.0
        return Command(speed * max(max(math.cos(error), 0.0) ** 2, slowest), min(max(turn, -limit), limit))


FACTORIES = {"orca": factory(Orca, OrcaConfig)}
