"""Finds the files that are installed with the package: configuration, worlds and models."""

from __future__ import annotations

import sys
from pathlib import Path

from edge_worldmodel.evaluation.controllers.controller import ControllerError
from edge_worldmodel.models.placement_record import DEFAULT_VARIANT

MODEL = f"models/{DEFAULT_VARIANT}"
"""The default model of the package."""


def shipped(relative: str) -> Path:
    """Return the path of a file or folder of the package, in the source tree or in the installation.

    Raises:
        ControllerError: it is in neither.
    """
    folders = [Path(__file__).resolve().parents[3], Path(sys.prefix) / "share" / "edge_worldmodel"]
    try:
        from ament_index_python.packages import get_package_share_directory

        folders.append(Path(get_package_share_directory("edge_worldmodel")))
    except (ImportError, LookupError):
        pass  # without ROS, or not built: only the other folders are searched
    for folder in folders:
        if (folder / relative).exists():
            return folder / relative
    raise ControllerError(f"'{relative}' is not shipped: searched in {', '.join(map(str, folders))}")
