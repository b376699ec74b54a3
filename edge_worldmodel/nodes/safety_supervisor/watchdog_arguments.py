"""The watchdog's command line, from the parameters of the supervisor that it watches. For the launch files.

The watchdog neither reads parameter files nor expands names: everything is written out here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.nodes.parameter_files import absolute
from edge_worldmodel.nodes.safety_supervisor.command_output import DRIVE_BASES, CommandOutputConfig

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
        **{name: absolute(topic, prefix) for name, topic in {**topics, "drive": cmd_vel}.items()},
        "kind": values["output"],
        "frame": values["base_frame"],
        "enclave": "/",
        "priority": values["realtime_priority"],
        "period-s": 1.0 / values["rate_hz"],
        "max-sink-mps": values["landing_speed_mps"] if values["vehicle"] == "drone" else 0.0,
        **{name.replace("_", "-"): values[name] for name in _LIMITS},
    }
    return [word for name, value in arguments.items() for word in (f"--{name}", str(value))]
