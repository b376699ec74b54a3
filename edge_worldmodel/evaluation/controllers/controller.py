"""What the arena asks of every controller: look, then say how to drive; the same for ours and for the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from edge_worldmodel.core.errors import EdgeWorldModelError
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.types import Floats
from edge_worldmodel.sim.robots import RobotSpec

CONTROL_PERIOD_S = 0.1
"""All controllers are given a look this often; their command holds until the next one."""


class ControllerError(EdgeWorldModelError):
    """A controller cannot be made: unknown name or setting, or something that it needs is missing."""


class Command(NamedTuple):
    """Wanted speeds of the base."""

    forward_mps: float
    yaw_rate_radps: float


STOP = Command(0.0, 0.0)


@dataclass(frozen=True)
class People:
    """True state of everybody, odom frame: positions (n, 2), NaN where absent, velocities (n, 2), radii_m (n,)."""

    positions: Floats
    velocities: Floats
    radii_m: Floats


@dataclass(frozen=True)
class ControllerInput:
    """What a controller knows at one moment.

    ``sweep`` is in the base frame, ``pose`` (3,) in the odom frame, ``twist`` (3,) in the base frame, ``goal`` (2,)
    in the odom frame. ``people`` is there only for controllers with ``knows_people``.
    """

    stamp_ns: int
    sweep: Sweep
    pose: Floats
    twist: Floats
    goal: Floats
    people: People | None = None


@runtime_checkable
class Controller(Protocol):
    """Drives one robot through one episode after another."""

    name: str
    knows_people: bool
    """Whether it is given the true people and walls; false for everything that could run on a robot."""

    def reset(self, robot: RobotSpec, goal: Floats, seed: int, walls: Sequence[Floats] = ()) -> None:
        """Begin an episode.

        Args:
            robot: the base that is driven, with its true limits.
            goal: (2,) in the odom frame.
            seed: of everything random in this episode.
            walls: outlines (k, 2), counter-clockwise, in the odom frame; only used with ``knows_people``.
        """
        ...

    def act(self, look: ControllerInput) -> Command:
        """Decide how to drive until the next look."""
        ...


@runtime_checkable
class SteeringController(Controller, Protocol):
    """A controller that corrects its command between looks, as a supervisor on the robot does."""

    steer_period_s: float

    def steer(self, stamp_ns: int, pose: Floats, twist: Floats) -> Command:
        """Decide again, from fresh odometry alone (pose (3,) in the odom frame, twist (3,) in the base frame)."""
        ...
