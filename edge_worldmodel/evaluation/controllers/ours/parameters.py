"""The parameters of our graph for one robot under a speed cap, for the arena in one process and for the live graph."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import yaml

from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.planner.candidates.disturbances import DisturbanceConfig
from edge_worldmodel.core.planner.robot_limits import RobotLimits
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.evaluation.controllers.controller import ControllerError
from edge_worldmodel.evaluation.controllers.local_planner import command_limits
from edge_worldmodel.models.placement_record import DEFAULT_VARIANT
from edge_worldmodel.models.shipped import shipped
from edge_worldmodel.sim.robots import RobotSpec

MODEL = f"models/{DEFAULT_VARIANT}"
"""The default model of the package."""
PLANNER, SUPERVISOR = "rollout_planner", "safety_supervisor"
_SLIP_SHARE = 0.9
_STEERING_SHARE = 0.9
"""Share of the highest curvature that plans may use; the remainder is for corrections."""
_GUST_STD_MPS = 1.5
"""Light turbulence near the ground: 15 knots at 20 feet (MIL-F-8785C)."""
_GREATEST_GUST = 3.0
"""Ratio of the greatest gust to that spread. Drag moves the robot until its controller has compensated for it."""
_AIRSPEED_MPS = 4.0
_ABOVE_PLANNER = 1.5
"""Ratio of the accelerations that the supervisor passes to the planned ones, as in config/robots."""


def graph_parameters(robot: RobotSpec, max_speed_mps: float) -> dict[str, dict[str, Any]]:
    """Return the parameters of planner and supervisor: those of config/robots for a known robot, with the speed cap.

    Raises:
        ControllerError: the file of the robot cannot be read.
    """
    parameters, path = _derived(robot), shipped(f"config/robots/{robot.name}.yaml")
    # A robot of a scenario file has no parameters but those of the simulator.
    nodes = (PLANNER, SUPERVISOR) if path.is_file() else ()
    try:
        for node in nodes:
            known = yaml.safe_load(path.read_text(encoding="utf-8"))[f"/**/{node}"]["ros__parameters"]
            # Its timing and the form of its commands are those of the real robot, not of the simulated one.
            parameters[node] = {name: value for name, value in known.items() if name in parameters[node]}
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ControllerError(f"config/robots/{robot.name}.yaml: expected parameters of our nodes: {error}") from error
    cap = command_limits(robot, max_speed_mps)
    parameters[PLANNER]["robot"]["max_speed_mps"] = cap.forward_mps
    parameters[SUPERVISOR]["max_forward_mps"] = cap.forward_mps
    return parameters


def robot_limits(parameters: dict[str, dict[str, Any]]) -> RobotLimits:
    """Return the robot limits among the parameters."""
    return _built(RobotLimits, parameters[PLANNER]["robot"])


def disturbance_config(parameters: dict[str, dict[str, Any]], chosen: Mapping[str, Any]) -> DisturbanceConfig:
    """Return the disturbances among the parameters; ``chosen`` values replace them."""
    built: DisturbanceConfig = _built(DisturbanceConfig, {**parameters[PLANNER].get("disturbance", {}), **chosen})
    return built


def supervisor_config(parameters: dict[str, dict[str, Any]]) -> SupervisorConfig:
    """Return the configuration of the supervisor among the parameters."""
    return _built(SupervisorConfig, parameters[SUPERVISOR])


def _built(kind: Any, values: dict[str, Any]) -> Any:
    try:
        return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    except (TypeError, ConfigError) as error:
        raise ControllerError(f"parameters {values} cannot be used: {error}") from error


def _derived(robot: RobotSpec) -> dict[str, dict[str, Any]]:
    """Return parameters derived from the simulator's description of a robot."""
    planner: dict[str, Any] = {
        "kind": robot.kind,
        "radius_m": robot.radius_m,
        "max_speed_mps": robot.max_speed_mps,
        "max_yaw_rate_radps": robot.max_yaw_rate_radps,
        "max_accel_mps2": 0.9 * robot.max_acceleration_mps2,
        "max_decel_mps2": 0.8 * robot.max_deceleration_mps2,
        "max_yaw_accel_radps2": 0.8 * robot.max_yaw_acceleration_radps2,
    }
    if robot.length_m:
        planner |= {"length_m": robot.length_m, "width_m": robot.width_m}
    supervisor: dict[str, Any] = {
        "footprint_radius_m": robot.radius_m,
        "max_forward_mps": robot.max_speed_mps,
        "max_reverse_mps": robot.max_reverse_mps,
        "max_yaw_rate_radps": robot.max_yaw_rate_radps,
        "max_acceleration_mps2": _ABOVE_PLANNER * max(robot.max_acceleration_mps2, robot.max_deceleration_mps2),
        "max_yaw_acceleration_radps2": _ABOVE_PLANNER * robot.max_yaw_acceleration_radps2,
        "braking_deceleration_mps2": _SLIP_SHARE * robot.max_deceleration_mps2,
    }
    if robot.kind == "ackermann":
        curvature_radpm = math.tan(robot.max_steering_rad) / robot.wheelbase_m
        planner["max_curvature_radpm"] = _STEERING_SHARE * curvature_radpm
        supervisor["max_curvature_radpm"] = curvature_radpm
    if robot.length_m:
        x, y = 0.5 * robot.length_m, 0.5 * robot.width_m
        supervisor["footprint_m"] = [x, y, -x, y, -x, -y, x, -y]
    if wind := _wind(robot):
        drag_per_s, gusts = wind["disturbance"]["gust_drag_per_s"], DisturbanceConfig(**wind["disturbance"])
        supervisor["motion_tolerance_mps"] = _GREATEST_GUST * _GUST_STD_MPS * drag_per_s * gusts.gust_hold_s
    return {PLANNER: {"robot": planner, **wind}, SUPERVISOR: supervisor}


def _wind(robot: RobotSpec) -> dict[str, dict[str, float]]:
    """Return the wind that a flying robot must expect; nothing for others."""
    if robot.kind != "quadrotor":
        return {}
    drag_per_s = (robot.drag_linear + robot.drag_quadratic * _AIRSPEED_MPS) / robot.mass_kg
    wind = {"gust_std_mps": _GUST_STD_MPS, "gust_airspeed_mps": _AIRSPEED_MPS, "gust_drag_per_s": drag_per_s}
    return {"disturbance": wind}
