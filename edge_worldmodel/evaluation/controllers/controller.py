"""The interface of controllers in the arena, the same for our planner and for the baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from edge_worldmodel.core.config import Config, param_infos
from edge_worldmodel.core.errors import ConfigError, EdgeWorldModelError
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.types import Floats, Tensor
from edge_worldmodel.sim.robots import RobotSpec

ConfigT = TypeVar("ConfigT", bound=Config)
CONTROL_PERIOD_S = 0.1
"""A controller gets new input once per period; its command holds until the next one."""


class ControllerError(EdgeWorldModelError):
    """A controller cannot be made: a name or setting does not exist, or a library, model or file is missing."""


class Command(NamedTuple):
    """Commanded speeds of the base."""

    forward_mps: float
    yaw_rate_radps: float


STOP = Command(0.0, 0.0)


@dataclass(frozen=True)
class People:
    """True state of all people, odom frame: positions (n, 2), NaN where absent, velocities (n, 2), radii_m (n,)."""

    positions: Floats
    velocities: Floats
    radii_m: Floats


@dataclass(frozen=True)
class ControllerInput:
    """The input of a controller in one control period.

    ``sweep`` is in the base frame, ``pose`` (3,) in the odom frame, ``twist`` (3,) in the base frame, ``goal`` (2,)
    in the odom frame. ``people`` is None for controllers without ``knows_people``; ``people_ahead`` returns positions
    (k, n, 2) in the odom frame at times (k,) from now, and is None for controllers without ``knows_future``.
    """

    stamp_ns: int
    sweep: Sweep
    pose: Floats
    twist: Floats
    goal: Floats
    people: People | None = None
    people_ahead: Callable[[Floats], Floats] | None = None


@dataclass(frozen=True)
class ImaginedScene:
    """The scene that a plan was chosen for.

    Attributes:
        pose: (3,) centre of the grid in the odom frame.
        futures: (H, cells, cells) occupancy probability at each imagined time, rows along y.
        path: (n, 2) planned positions in the odom frame.
    """

    pose: Floats
    futures: Tensor
    path: Floats


@runtime_checkable
class ImaginingController(Protocol):
    """A controller that shows what it imagines, for animations."""

    imagined: ImaginedScene | None
    """The newest imagined scene; None before the first."""


@runtime_checkable
class Controller(Protocol):
    """Drives one robot through a sequence of episodes."""

    name: str
    knows_people: bool
    """True if the controller is given the true people and walls, which no controller on a robot could have."""

    def reset(self, robot: RobotSpec, goal: Floats, seed: int, walls: Sequence[Floats] = ()) -> None:
        """Begin an episode.

        Args:
            robot: the robot to drive, with its true limits.
            goal: (2,) in the odom frame.
            seed: seed of all randomness of the controller in this episode.
            walls: outlines (k, 2), counter-clockwise, in the odom frame; empty without ``knows_people``.
        """
        ...

    def observe(self, inputs: ControllerInput, /) -> None:
        """Take in what the sensors measure while the robot stands, before the clock of the episode counts."""
        ...

    def act(self, inputs: ControllerInput, /) -> Command:
        """Return the command for the next control period."""
        ...


@runtime_checkable
class SteeringController(Controller, Protocol):
    """A controller that corrects its command within a control period, as the supervisor on a robot does."""

    steer_period_s: float

    def steer(self, stamp_ns: int, pose: Floats, twist: Floats) -> Command:
        """Return a corrected command.

        Args:
            stamp_ns: time of the odometry.
            pose: (3,) in the odom frame.
            twist: (3,) in the base frame.
        """
        ...


@runtime_checkable
class PlaybackController(Controller, Protocol):
    """A controller that plays the commands of a drive that is known to succeed."""

    def load(self, commands: Floats) -> None:
        """Take the commands (n, 2) of the episode, one per control period; called after ``reset``."""
        ...


Factory = Callable[[RobotSpec, float, Mapping[str, Any]], Controller]
"""Makes a controller for a robot under a speed cap with some settings replaced."""


def factory(make: Callable[[RobotSpec, float, Any], Controller], config: type[Config]) -> Factory:
    """Return the factory of a controller that is made from a robot, a speed cap and a configuration."""
    return lambda robot, max_speed_mps, settings: make(robot, max_speed_mps, configured(config, settings))


def configured(kind: type[ConfigT], settings: Mapping[str, Any]) -> ConfigT:
    """Return a configuration with some values replaced.

    Raises:
        ControllerError: the configuration has no such value, or refuses it.
    """
    known = param_infos(kind)
    for name in settings:
        if name not in known:
            raise ControllerError(f"setting '{name}' does not exist: {kind.__name__} has {', '.join(known)}")
    try:
        return kind(**settings)
    except ConfigError as error:
        raise ControllerError(str(error)) from error
