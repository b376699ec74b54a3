"""ROS parameters from typed configurations: declared once, validated at start-up and on every change."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from edge_worldmodel.core.config import Config, ParamInfo, param_infos
from edge_worldmodel.core.errors import ConfigError

ConfigT = TypeVar("ConfigT", bound=Config)
_UNBOUNDED = 1e12


def declare(
    node: Node, config_type: type[ConfigT], prefix: str = "", on_change: Callable[[ConfigT], None] | None = None
) -> ConfigT:
    """Declare every field of ``config_type`` as a parameter of ``node`` and return the configuration.

    Args:
        node: the node that owns the parameters.
        config_type: a Config dataclass whose fields were declared with ``param``.
        prefix: parameter namespace, for example "planner" gives "planner.max_speed_mps".
        on_change: called with the new, valid configuration after each accepted change. It may raise
            ConfigError to refuse the change, which then alters nothing. Without it the parameters are read-only.

    Raises:
        ConfigError: a start-up value is refused; the message quotes it.
    """
    infos = param_infos(config_type)
    names = {field: f"{prefix}.{field}" if prefix else field for field in infos}
    defaults = {f.name: f.default for f in dataclasses.fields(config_type) if f.name in infos}
    for field, info in infos.items():
        descriptor = describe(info, defaults[field], read_only=info.read_only or on_change is None)
        _declare_one(node, names[field], defaults[field], descriptor)
    config = config_type(**{field: _value(node.get_parameter(name)) for field, name in names.items()})
    if on_change is not None:
        node.add_on_set_parameters_callback(_Changes(config, names, on_change))
    return config


def _declare_one(node: Node, name: str, default: Any, descriptor: ParameterDescriptor) -> None:
    """Declare one parameter; rclpy's errors become a ConfigError."""
    try:
        node.declare_parameter(name, list(default) if isinstance(default, tuple) else default, descriptor)
    except Exception as error:  # rclpy raises several unrelated classes for a bad override
        raise ConfigError(f"parameter '{name}' of node '{node.get_name()}': {error}") from error


def describe(info: ParamInfo, default: Any, read_only: bool) -> ParameterDescriptor:
    """Return the ROS descriptor of one configuration field.

    Parameter files may give a number as integer or float, and an empty array has no element type. Such parameters are
    declared with dynamic typing and checked by the configuration.
    """
    number = isinstance(default, float)
    dynamic = number or isinstance(default, tuple)
    text = info.description + (f" One of: {', '.join(info.choices)}." if info.choices else "")
    descriptor = ParameterDescriptor(description=text, read_only=read_only, dynamic_typing=dynamic)
    low = -_UNBOUNDED if info.minimum is None else float(info.minimum)
    high = _UNBOUNDED if info.maximum is None else float(info.maximum)
    bounded = info.minimum is not None or info.maximum is not None
    if bounded and number:
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif bounded and isinstance(default, int) and not isinstance(default, bool):
        descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    return descriptor


def _value(parameter: Parameter) -> Any:
    value = parameter.value
    return tuple(value) if isinstance(value, (list, tuple)) or hasattr(value, "typecode") else value


class _Changes:
    """Builds the complete new configuration and swaps it in; refuses an invalid change with the reason."""

    def __init__(self, config: Any, names: dict[str, str], on_change: Callable[[Any], None]) -> None:
        self._config = config
        self._fields = {name: field for field, name in names.items()}
        self._on_change = on_change

    def __call__(self, parameters: list[Parameter]) -> SetParametersResult:
        changes = {self._fields[p.name]: _value(p) for p in parameters if p.name in self._fields}
        if not changes:
            return SetParametersResult(successful=True)
        try:
            config = dataclasses.replace(self._config, **changes)
            self._on_change(config)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._config = config
        return SetParametersResult(successful=True)
