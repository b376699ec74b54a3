"""From the settings of a file to a checked configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from edge_worldmodel.core.config import Config, param_infos
from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.evaluation.controllers.controller import ControllerError

ConfigT = TypeVar("ConfigT", bound=Config)


def configured(kind: type[ConfigT], settings: Mapping[str, Any]) -> ConfigT:
    """Return a configuration with some values changed.

    Raises:
        ControllerError: a name that the configuration does not have, or a value that it refuses.
    """
    known = param_infos(kind)
    for name in settings:
        if name not in known:
            raise ControllerError(f"setting '{name}' does not exist: {kind.__name__} has {', '.join(known)}")
    try:
        return kind(**settings)
    except ConfigError as error:
        raise ControllerError(str(error)) from error
