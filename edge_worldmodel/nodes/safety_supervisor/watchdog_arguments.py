"""The watchdog's command line, from the parameters of the supervisor that it watches. For the launch files.

The watchdog neither reads parameter files nor expands names: everything is written out here.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.nodes.safety_supervisor.command_output import DRIVE_BASES, CommandOutputConfig

_NODE = "safety_supervisor"
_DEFAULTS = {
    **{
        field.name: field.default
        for kind in (SupervisorConfig, CommandOutputConfig)
        for field in dataclasses.fields(kind)
    },
    "realtime_priority": 0,
}
_LIMITS = (
    *("max_forward_mps", "max_reverse_mps", "max_lateral_mps", "max_yaw_rate_radps"),
    *("max_acceleration_mps2", "max_yaw_acceleration_radps2"),
)


def watchdog_arguments(
    parameters: Mapping[str, Any], namespace: str = "", cmd_vel: str = "cmd_vel"
) -> list[str] | None:
    """Return the arguments of the program ``watchdog``.

    Args:
        parameters: of the supervisor, by name; what is not there has its default.
        namespace: of supervisor and watchdog.
        cmd_vel: topic of the drive base, relative to the namespace or absolute.

    Returns:
        The words after the program's name; None when the supervisor commands an autopilot, which needs no watchdog.
    """
    values = {**_DEFAULTS, **parameters}
    if values["output"] not in DRIVE_BASES:
        return None
    prefix = "/" + namespace.strip("/")
    topics = {"command": "supervisor/command", "verdict": "supervisor/verdict", "state": "watchdog/state"}
    arguments = {
        "namespace": prefix,
        **{name: _absolute(topic, prefix) for name, topic in {**topics, "drive": cmd_vel}.items()},
        "kind": values["output"],
        "frame": values["base_frame"],
        "enclave": "/",
        "priority": values["realtime_priority"],
        "period-s": 1.0 / values["rate_hz"],
        "max-sink-mps": values["landing_speed_mps"] if values["vehicle"] == "drone" else 0.0,
        **{name.replace("_", "-"): values[name] for name in _LIMITS},
    }
    return [word for name, value in arguments.items() for word in (f"--{name}", str(value))]


def supervisor_parameters(files: Iterable[str | Path], namespace: str = "") -> dict[str, Any]:
    """Return what parameter files say about the supervisor in a namespace; later files and sections win."""
    found: dict[str, Any] = {}
    full_name = _absolute(_NODE, "/" + namespace.strip("/"))
    for file in files:
        for pattern, values in _sections(yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {}):
            if re.fullmatch(pattern, full_name):
                found.update(values)
    return found


def _sections(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield a pattern of node names and the parameters for them, for each section of a parameter file."""
    for key, branch in tree.items():
        if key == "ros__parameters":
            steps = {"**": "(/[^/]+)*", "*": "/[^/]+"}
            yield "".join(steps.get(step, "/" + re.escape(step)) for step in path.split("/") if step), branch or {}
        elif isinstance(branch, Mapping):
            yield from _sections(branch, f"{path}/{key}")


def _absolute(name: str, prefix: str) -> str:
    return name if name.startswith("/") else f"{prefix.rstrip('/')}/{name}"
