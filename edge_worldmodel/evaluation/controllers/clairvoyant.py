"""The clairvoyant in the arena: gives the commands of a drive that a search with knowledge of the future has found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.controllers.controller import STOP, Command, ControllerError, ControllerInput
from edge_worldmodel.sim.robots import RobotSpec


class Clairvoyant:
    """Gives one command after the other, whatever it sees; stands where there is no drive."""

    name = "clairvoyant"
    knows_people = False

    def __init__(self, robot: RobotSpec, max_speed_mps: float, settings: Mapping[str, Any]) -> None:
        """Begin without a drive.

        Raises:
            ControllerError: a setting is given.
        """
        if settings:
            raise ControllerError(f"setting '{next(iter(settings))}' does not exist: planner 'clairvoyant' has none")
        self._commands: list[Command] = []

    def reset(self, robot: RobotSpec, goal: Floats, seed: int, walls: Sequence[Floats] = ()) -> None:
        """Begin an episode without a drive."""
        self._commands = []

    def load(self, commands: Floats) -> None:
        """Take the commands (n, 2) of the episode, one per control period."""
        self._commands = [Command(*command) for command in commands.tolist()]

    def observe(self, inputs: ControllerInput) -> None:
        """Ignore what the sensors measure."""

    def act(self, inputs: ControllerInput) -> Command:
        """Return the next command."""
        return self._commands.pop(0) if self._commands else STOP


FACTORIES = {"clairvoyant": Clairvoyant}
