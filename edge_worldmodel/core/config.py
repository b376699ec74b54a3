"""Typed configuration: frozen dataclasses whose fields carry a description, a range and a read-only flag.

A field declared with ``param`` is validated when its dataclass is built. The ROS nodes declare their parameters from
the same metadata, so each parameter is described in one place.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from edge_worldmodel.core.errors import ConfigError

_KEY = "edge_worldmodel.param"


@dataclass(frozen=True)
class ParamInfo:
    """Description, range and choices of one parameter."""

    description: str
    minimum: float | None = None
    maximum: float | None = None
    read_only: bool = False
    choices: tuple[str, ...] = ()


def param(
    default: Any,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    read_only: bool = False,
    choices: tuple[str, ...] = (),
) -> Any:
    """Declare a dataclass field that is a parameter.

    Args:
        default: default value; its type is the type of the parameter.
        description: meaning of the parameter, with its unit.
        minimum: smallest allowed number.
        maximum: largest allowed number.
        read_only: whether it can only be set at start-up.
        choices: allowed strings.

    Raises:
        ConfigError: the default is mutable.
    """
    info = ParamInfo(description, minimum, maximum, read_only, choices)
    if isinstance(default, (list, dict)):
        raise ConfigError(f"default {default!r}: use a tuple, because configurations are immutable")
    return dataclasses.field(default=default, metadata={_KEY: info})


def param_infos(config_type: type) -> dict[str, ParamInfo]:
    """Return the ParamInfo of each ``param`` field of a configuration class, by field name."""
    return {f.name: f.metadata[_KEY] for f in dataclasses.fields(config_type) if _KEY in f.metadata}


@dataclass(frozen=True)
class Config:
    """Base class of all configurations: validates types, ranges and choices when it is built.

    Raises:
        ConfigError: a value is not allowed; the text names the field, the value and what is allowed.
    """

    def __post_init__(self) -> None:
        """Check each ``param`` field against its metadata."""
        infos = param_infos(type(self))
        for field in dataclasses.fields(self):
            if field.name in infos:
                value = getattr(self, field.name)
                _check_type(type(self).__name__, field.name, value, field.default)
                _check_value(type(self).__name__, field.name, value, infos[field.name])


def _check_type(owner: str, name: str, value: Any, default: Any) -> None:
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return
    if type(value) is not type(default):
        raise ConfigError(f"{owner}.{name} = {value!r}: expected {type(default).__name__}")


def _check_value(owner: str, name: str, value: Any, info: ParamInfo) -> None:
    if info.choices and value not in info.choices:
        raise ConfigError(f"{owner}.{name} = {value!r}: choose one of {', '.join(info.choices)}")
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            continue
        too_low = info.minimum is not None and number < info.minimum
        too_high = info.maximum is not None and number > info.maximum
        if too_low or too_high or not math.isfinite(number):
            raise ConfigError(f"{owner}.{name} = {value!r}: must lie in [{info.minimum}, {info.maximum}]")
