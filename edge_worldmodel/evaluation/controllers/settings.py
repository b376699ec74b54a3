"""Makes checked configurations from settings of a file or of the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from edge_worldmodel.core.config import Config, param_infos
from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.evaluation.controllers.controller import ControllerError

ConfigT = TypeVar("ConfigT", bound=Config)


def configured(kind: type[ConfigT], settings: Mapping[str, Any]) -> ConfigT:
    """Return a configuration with some values replaced.

    Raises:
        ControllerError: the configuration has no such value, or refuses it.
    """
    known = param_infos(kind)
    for name in settings:
        if name not in known:
            raise ControllerError(f"setting '{name}' does not exist: {kind.__name__} has {', '.join(known)}")
    try:
        return kind(**settings)
    except ConfigError as error:
        raise ControllerError(str(error)) from error
