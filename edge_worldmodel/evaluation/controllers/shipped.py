"""Where the files lie that come with the package: configuration, worlds and models."""

from __future__ import annotations

import sys
from pathlib import Path

from edge_worldmodel.evaluation.controllers.controller import ControllerError
from edge_worldmodel.models.placement_record import DEFAULT_VARIANT

MODEL = f"models/{DEFAULT_VARIANT}"
"""The model that the package comes with."""


def shipped(relative: str) -> Path:
    """Return the path of a shipped file or folder: of the source tree, else of what is installed.

    Raises:
        ControllerError: it is in none of these places.
    """
    places = [Path(__file__).resolve().parents[3], Path(sys.prefix) / "share" / "edge_worldmodel"]
    try:
        from ament_index_python.packages import get_package_share_directory

        places.append(Path(get_package_share_directory("edge_worldmodel")))
    except (ImportError, LookupError):
        pass  # without ROS, or not built: the other places remain
    for place in places:
        if (place / relative).exists():
            return place / relative
    raise ControllerError(f"'{relative}' is not shipped here: looked in {', '.join(map(str, places))}")
