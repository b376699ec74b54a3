"""Base class of the baselines: costmap, path to the goal and recovery, as Nav2 provides them to its controllers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.controllers.command_limits import command_limits
from edge_worldmodel.evaluation.controllers.controller import STOP, Command, ControllerInput
from edge_worldmodel.evaluation.controllers.costmap.costmap import Costmap
from edge_worldmodel.evaluation.controllers.costmap.footprint import FootprintDiscs, footprint_discs
from edge_worldmodel.evaluation.controllers.costmap.guidance import Guidance
from edge_worldmodel.evaluation.controllers.recovery import BaselineRecovery
from edge_worldmodel.sim.robots import RobotSpec

ARRIVED_M = 0.1
"""A baseline stops within this distance of the goal."""


@dataclass(frozen=True)
class NavigationState:
    """The controller input with the costmap and the ``path`` (n, 2) from the robot to the goal; odom frame."""

    inputs: ControllerInput
    costmap: Costmap
    path: Floats

    @property
    def pose(self) -> Floats:
        """Base pose (3,)."""
        return self.inputs.pose


class LocalPlanner(ABC):
    """A controller that follows a path on a costmap."""

    knows_people = False

    def __init__(self, name: str, robot: RobotSpec, max_speed_mps: float) -> None:
        """Prepare for one robot under a speed cap."""
        self.name = name
        self._max_speed_mps = max_speed_mps
        self._prepare(robot)

    def _prepare(self, robot: RobotSpec) -> None:
        self.limits = command_limits(robot, self._max_speed_mps)
        self.footprint: FootprintDiscs = footprint_discs(robot)
        self._costmap = Costmap(self.footprint)
        self._guidance = Guidance(self.footprint)
        self._recovery = BaselineRecovery(self.footprint, self.limits.reverse_mps)

    def reset(self, robot: RobotSpec, goal: Floats, seed: int, walls: Sequence[Floats] = ()) -> None:
        """Begin an episode with an empty map; ``walls`` are ignored."""
        self._prepare(robot)
        self.begin(np.random.default_rng(seed))

    def observe(self, inputs: ControllerInput) -> None:
        """Update the costmap while the robot stands."""
        self._costmap.update(inputs.sweep, inputs.pose)

    def act(self, inputs: ControllerInput) -> Command:
        """Update costmap and path, then choose a command; back up or spin when stuck."""
        self._costmap.update(inputs.sweep, inputs.pose)
        if np.hypot(*(inputs.goal - inputs.pose[:2])) < ARRIVED_M:
            return STOP
        path = self._guidance.path(self._costmap, inputs.pose[:2], inputs.goal)
        command = self.choose(NavigationState(inputs, self._costmap, path))
        return self._recovery.command(inputs.stamp_ns * 1e-9, inputs.pose, path, self._costmap) or command

    @abstractmethod
    def begin(self, rng: np.random.Generator) -> None:
        """Prepare for a new episode."""

    @abstractmethod
    def choose(self, state: NavigationState) -> Command:
        """Return the command for the next control period."""
