"""The parameters of our graph for one robot under a speed cap, for the arena in one process and for the live graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.planner.candidates.disturbances import DisturbanceConfig
from edge_worldmodel.core.planner.robot_limits import RobotLimits
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.evaluation.controllers.command_limits import CommandLimits, command_limits
from edge_worldmodel.evaluation.controllers.controller import ControllerError
from edge_worldmodel.models.placement_record import DEFAULT_VARIANT
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
"""Ratio of the accelerations that the supervisor passes to the planned ones."""


def graph_parameters(robot: RobotSpec, max_speed_mps: float) -> dict[str, dict[str, Any]]:
    """Return the parameters of planner and supervisor for the robot of a scenario under the speed cap.

    The planner gets the limits that the baselines get. The supervisor passes higher accelerations, because it corrects
    planned ones, and reckons with weaker brakes.
    """
    limits = command_limits(robot, max_speed_mps)
    planner = _planner_parameters(robot, limits)
    supervisor = _supervisor_parameters(robot, limits)
    wind = _wind(robot)
    if wind:
        drag_per_s, gusts = wind["disturbance"]["gust_drag_per_s"], DisturbanceConfig(**wind["disturbance"])
        supervisor["motion_tolerance_mps"] = _GREATEST_GUST * _GUST_STD_MPS * drag_per_s * gusts.gust_hold_s
    return {PLANNER: {"robot": planner, **wind}, SUPERVISOR: supervisor}


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


def _planner_parameters(robot: RobotSpec, limits: CommandLimits) -> dict[str, Any]:
    planner: dict[str, Any] = {
        "kind": robot.kind,
        "radius_m": robot.radius_m,
        "max_speed_mps": limits.forward_mps,
        "min_speed_mps": -limits.reverse_mps,
        "max_yaw_rate_radps": limits.yaw_rate_radps,
        "max_accel_mps2": limits.acceleration_mps2,
        "max_decel_mps2": limits.deceleration_mps2,
        "max_yaw_accel_radps2": limits.yaw_acceleration_radps2,
    }
    if robot.length_m:
        planner |= {"length_m": robot.length_m, "width_m": robot.width_m}
    if limits.turn_radius_m:
        planner["max_curvature_radpm"] = _STEERING_SHARE / limits.turn_radius_m
    return planner


def _supervisor_parameters(robot: RobotSpec, limits: CommandLimits) -> dict[str, Any]:
    supervisor: dict[str, Any] = {
        "footprint_radius_m": robot.radius_m,
        "max_forward_mps": limits.forward_mps,
        "max_reverse_mps": limits.reverse_mps,
        "max_yaw_rate_radps": limits.yaw_rate_radps,
        "max_acceleration_mps2": _ABOVE_PLANNER * max(limits.acceleration_mps2, limits.deceleration_mps2),
        "max_yaw_acceleration_radps2": _ABOVE_PLANNER * limits.yaw_acceleration_radps2,
        "braking_deceleration_mps2": _SLIP_SHARE * limits.deceleration_mps2,
    }
    if limits.turn_radius_m:
        supervisor["max_curvature_radpm"] = 1.0 / limits.turn_radius_m
    if robot.length_m:
        x, y = 0.5 * robot.length_m, 0.5 * robot.width_m
        supervisor["footprint_m"] = [x, y, -x, y, -x, -y, x, -y]
    return supervisor


def _wind(robot: RobotSpec) -> dict[str, dict[str, float]]:
    """Return the wind that a flying robot must expect; nothing for others."""
    if robot.kind != "quadrotor":
        return {}
    drag_per_s = (robot.drag_linear + robot.drag_quadratic * _AIRSPEED_MPS) / robot.mass_kg
    wind = {"gust_std_mps": _GUST_STD_MPS, "gust_airspeed_mps": _AIRSPEED_MPS, "gust_drag_per_s": drag_per_s}
    return {"disturbance": wind}
