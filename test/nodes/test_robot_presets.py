"""Every preset of config/robots/ holds parameters that the nodes have, in their ranges, and that fit each other."""

from __future__ import annotations

import dataclasses
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from edge_worldmodel.core.planner.planner_config import PlannerConfig  # noqa: E402
from edge_worldmodel.core.planner.robot_limits import RobotLimits  # noqa: E402
from edge_worldmodel.core.safety.config import SupervisorConfig  # noqa: E402
from edge_worldmodel.nodes.parameter_files import node_parameters, preset_file  # noqa: E402
from edge_worldmodel.nodes.parameter_table import NODES  # noqa: E402
from edge_worldmodel.nodes.rollout_planner.planning_job import PlannerNodeConfig  # noqa: E402

CONFIG = Path(__file__).resolve().parents[2] / "config"
PRESETS = {path.stem: path for path in sorted((CONFIG / "robots").glob("*.yaml"))}
SCAN_HZ = {"turtlebot3_burger": 5.0, "turtlebot3_waffle": 5.0, "turtlebot4": 5.5, "turtlebot": 5.0}
"""Slowest rate of the scanner, where that is under 8 Hz."""
EVERYWHERE = ("base_frame",)
"""Parameters that a preset gives to all nodes at once."""


def flat(values, prefix=""):
    """Return parameters by their whole names, with arrays as tuples."""
    found = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = tuple(value) if isinstance(value, list) else value
    return found


def parameters(preset, node):
    """Return the parameters of a node that is launched with a preset."""
    return flat(node_parameters(node, [CONFIG / "params.yaml", PRESETS[preset]]))


def config(preset, node, kind):
    """Return one of the configurations of a node; building it checks names and ranges."""
    prefix = next(prefix for prefix, known in NODES[node] if known is kind)
    names = [prefix + field.name for field in dataclasses.fields(kind)]
    given = parameters(preset, node)
    return kind(**{name.removeprefix(prefix): given[name] for name in names if name in given})


@pytest.mark.parametrize("preset", PRESETS)
def test_every_node_knows_and_accepts_the_parameters(preset):
    for section, content in yaml.safe_load(PRESETS[preset].read_text()).items():
        node, names = section.split("/")[-1], flat(content["ros__parameters"])
        if node == "bringup":
            assert set(names) <= {"scan", "odom", "tf"}
        elif node == "**":
            assert set(names) <= set(EVERYWHERE)
        else:
            known = {prefix + field.name for prefix, kind in NODES[node] for field in dataclasses.fields(kind)}
            assert set(names) <= known, section
    for node in ("perception", "latent_cache", "rollout_planner", "safety_supervisor"):
        for _, kind in NODES[node]:
            config(preset, node, kind)
        assert {"base_frame"} <= set(parameters(preset, node)) or node == "latent_cache"


@pytest.mark.parametrize("preset", sorted(set(PRESETS) - {"generic"}))
def test_no_default_is_repeated_but_in_the_one_to_copy(preset):
    for section, content in yaml.safe_load(PRESETS[preset].read_text()).items():
        for prefix, kind in NODES.get(section.split("/")[-1], ()):
            defaults = {prefix + field.name: field.default for field in dataclasses.fields(kind)}
            given = flat(content["ros__parameters"])
            assert not [name for name in given if name in defaults and given[name] == defaults[name]], section


@pytest.mark.parametrize("preset", PRESETS)
def test_planner_and_supervisor_mean_the_same_robot(preset):
    planned = config(preset, "rollout_planner", RobotLimits)
    watched = config(preset, "safety_supervisor", SupervisorConfig)
    assert planned.max_speed_mps <= watched.max_forward_mps and -planned.min_speed_mps <= watched.max_reverse_mps
    assert planned.max_yaw_rate_radps <= watched.max_yaw_rate_radps
    assert planned.max_accel_mps2 <= watched.max_acceleration_mps2
    assert planned.max_yaw_accel_radps2 <= watched.max_yaw_acceleration_radps2
    assert watched.braking_deceleration_mps2 <= planned.max_decel_mps2, "braking is the careful figure"
    outline = watched.footprint if len(watched.footprint) else np.array([[watched.footprint_radius_m, 0.0]])
    reach = np.hypot(*(outline[:, None] - np.array([[x, 0.0] for x in planned.discs_m])).transpose(2, 0, 1))
    assert reach.min(axis=1).max() <= planned.body_radius_m + 1e-3, "the planner's discs hold the footprint"
    assert np.hypot(*outline.T).max() <= planned.radius_m + 1e-3
    car = planned.kind == "ackermann"
    assert car is (watched.max_curvature_radpm > 0.0)
    assert not car or planned.max_curvature_radpm < watched.max_curvature_radpm


@pytest.mark.parametrize("preset", PRESETS)
def test_timeouts_last_for_two_and_a_half_scans(preset):
    period_s = 1.0 / SCAN_HZ.get(preset, math.inf)
    timing = config(preset, "rollout_planner", PlannerNodeConfig)
    watched = config(preset, "safety_supervisor", SupervisorConfig)
    for timeout_s in (timing.frame_timeout_s, *watched.sensor_timeouts_s):
        assert 2.45 * period_s <= timeout_s <= max(2.55 * period_s, 0.2)
    useful_s = config(preset, "rollout_planner", PlannerConfig).validity_s - timing.min_use_s
    assert 3.0 * period_s < useful_s, "a plan outlasts a scan that is missed"


def test_a_preset_is_found_by_name_or_path_and_a_wrong_name_is_said(tmp_path):
    own = shutil.copy(PRESETS["generic"], tmp_path / "mine.yaml")
    folder = CONFIG / "robots"
    assert preset_file(folder, "jackal") == PRESETS["jackal"]
    assert preset_file(folder, str(own)) == preset_file(folder, str(tmp_path / "mine")) == own
    with pytest.raises(
        ValueError, match="robot:=turtlebot5: there is no file .* Choose one of f1tenth, generic, husky"
    ):
        preset_file(folder, "turtlebot5")
