"""Finds the shipped models, in the source tree or where they were installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def models_folder() -> Path:
    """Return the folder of the shipped models: the first place that has one, else the one in the source tree."""
    installed = [Path(prefix) for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix]
    places = [Path(__file__).resolve().parents[2], *(prefix / "share" / "edge_worldmodel" for prefix in installed)]
    places.append(Path(sys.prefix) / "share" / "edge_worldmodel")
    return next((place / "models" for place in places if (place / "models").is_dir()), places[0] / "models")
