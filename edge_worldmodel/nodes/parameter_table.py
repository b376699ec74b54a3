"""Writes docs/parameters.md from the parameter declarations: `python -m edge_worldmodel.nodes.parameter_table`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from edge_worldmodel.core.cache.latent_cache import LatentCacheConfig
from edge_worldmodel.core.config import Config, ParamInfo, param_infos
from edge_worldmodel.core.perception.config import PerceptionConfig
from edge_worldmodel.core.planner.attention import AttentionConfig
from edge_worldmodel.core.planner.candidates.disturbances import DisturbanceConfig
from edge_worldmodel.core.planner.effort import EffortConfig, ThermalConfig
from edge_worldmodel.core.planner.planner_config import PlannerConfig
from edge_worldmodel.core.planner.recovery import RecoveryConfig
from edge_worldmodel.core.planner.robot_limits import RobotLimits
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.nodes.latent_cache.scene_store_config import SceneStoreConfig
from edge_worldmodel.nodes.perception.perception_node import PerceptionTopics
from edge_worldmodel.nodes.recording.player_node import PlayerConfig
from edge_worldmodel.nodes.recording.recorder_node import RecorderConfig
from edge_worldmodel.nodes.rollout_planner.planning_job import PlannerNodeConfig
from edge_worldmodel.nodes.ros.managed_node import ManagedNodeConfig
from edge_worldmodel.nodes.ros.model import ModelConfig
from edge_worldmodel.nodes.safety_supervisor.command_output import CommandOutputConfig
from edge_worldmodel.nodes.safety_supervisor.safety_supervisor_node import SupervisorNodeConfig
from edge_worldmodel.nodes.sim.sim_node import SimConfig
from edge_worldmodel.nodes.verdict_view.verdict_view_node import VerdictViewConfig

NODES: dict[str, tuple[tuple[str, type[Config]], ...]] = {
    "perception": (("", ManagedNodeConfig), ("", PerceptionTopics), ("", PerceptionConfig), ("", ModelConfig)),
    "latent_cache": (("", ManagedNodeConfig), ("", LatentCacheConfig), ("", SceneStoreConfig)),
    "rollout_planner": (
        ("", ManagedNodeConfig),
        ("robot.", RobotLimits),
        ("", PlannerConfig),
        ("disturbance.", DisturbanceConfig),
        ("", AttentionConfig),
        ("effort.", EffortConfig),
        ("heat.", ThermalConfig),
        ("recovery.", RecoveryConfig),
        ("", PlannerNodeConfig),
        ("", ModelConfig),
    ),
    "safety_supervisor": (("", SupervisorConfig), ("", CommandOutputConfig), ("", SupervisorNodeConfig)),
    "sim": (("", SimConfig),),
    "player": (("", PlayerConfig),),
    "recorder": (("", RecorderConfig),),
    "verdict_view": (("", VerdictViewConfig),),
}


def table() -> str:
    """Return the whole document."""
    sections = "\n".join(_section(node, groups) for node, groups in NODES.items())
    intro = (
        "# Parameters\n\nEvery parameter of every node, written by `make docs` from the code that declares them."
        " Units are suffixes of the names.\n"
    )
    return f"{intro}\n{sections}"


def _section(node: str, groups: tuple[tuple[str, type[Config]], ...]) -> str:
    rows = [row for prefix, config in groups for row in _rows(prefix, config)]
    head = f"## {node}\n\n| parameter | default | range | meaning |\n|---|---|---|---|\n"
    return head + "\n".join(rows) + "\n"


def _rows(prefix: str, config: type[Config]) -> Iterator[str]:
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    for name, info in param_infos(config).items():
        yield f"| `{prefix}{name}` | {_default(defaults[name])} | {_range(info)} | {_sentence(info.description)} |"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:].rstrip(".") + "."


def _default(value: Any) -> str:
    if isinstance(value, tuple):
        return f"`[{', '.join(str(item) for item in value)}]`"
    return "`''`" if value == "" else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _range(info: ParamInfo) -> str:
    if info.choices:
        return ", ".join(info.choices)
    if info.minimum is None and info.maximum is None:
        return ""
    low = "" if info.minimum is None else f"{info.minimum:g}"
    high = "" if info.maximum is None else f"{info.maximum:g}"
    return f"{low} .. {high}"


if __name__ == "__main__":
    print(table(), end="")
