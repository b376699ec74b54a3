"""The controllers of the arena by name: our planner, its variants and the baselines."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from edge_worldmodel.evaluation.controllers.controller import (
    CONTROL_PERIOD_S,
    STOP,
    Command,
    Controller,
    ControllerError,
    ControllerInput,
    Factory,
    ImaginedScene,
    ImaginingController,
    People,
    PlaybackController,
    SteeringController,
)
from edge_worldmodel.evaluation.controllers.tuned import tuned_settings
from edge_worldmodel.sim.robots import RobotSpec

__all__ = [
    "CLAIRVOYANT",
    "CONTROL_PERIOD_S",
    "NAMES",
    "STOP",
    "Command",
    "Controller",
    "ControllerError",
    "ControllerInput",
    "ImaginedScene",
    "ImaginingController",
    "People",
    "PlaybackController",
    "SteeringController",
    "make_controller",
    "tuned_settings",
]

# A module is imported when its controller is made, because some need optional libraries.
_MODULES = {
    "ours": "ours.ours",
    "ours_frozen": "ours.variants",
    "ours_cv": "ours.variants",
    "ours_unconditioned": "ours.variants",
    "ours_calm": "ours.variants",
    "ours_direct": "ours.oracle",
    "ours_oracle": "ours.oracle",
    "ours_oracle_direct": "ours.oracle",
    "ours_oracle_state": "ours.oracle",
    "ours_oracle_state_direct": "ours.oracle",
    "ours_oracle_blur": "ours.oracle",
    "ours_oracle_blur_direct": "ours.oracle",
    "dwa": "dwa",
    "mppi_static": "mppi",
    "mppi_cv": "mppi",
    "dra_mppi": "dra_mppi",
    "orca": "orca",
    "orca_lidar": "orca_lidar",
    "pytorch_mppi": "pytorch_mppi",
    "clairvoyant": "clairvoyant",
}
CLAIRVOYANT = "clairvoyant"
NAMES = tuple(_MODULES)
"""Names of all controllers, as on the command line."""


def make_controller(
    name: str, robot: RobotSpec, max_speed_mps: float, settings: Mapping[str, Any] | None = None
) -> Controller:
    """Return the controller called ``name``.

    Args:
        name: one of NAMES.
        robot: the robot to drive.
        max_speed_mps: speed cap, the same for every controller of a comparison; the robot's own limit also holds.
        settings: configuration values that replace defaults; None: the tuned ones of config/arena/tuned.json.

    Raises:
        ControllerError: the controller or a setting does not exist, or a library or model is missing.
    """
    if name not in _MODULES:
        raise ControllerError(f"planner '{name}' does not exist: choose one of {', '.join(NAMES)}")
    module = import_module(f"{__name__}.{_MODULES[name]}")
    factory: Factory = module.FACTORIES[name]
    return factory(robot, max_speed_mps, tuned_settings(name) if settings is None else settings)
