"""Finds the files that come with the package: configuration, worlds and models."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def shipped(relative: str) -> Path:
    """Return a file or folder of the package: where it was installed, or in the source tree if it is nowhere."""
    installed = [Path(prefix) for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix]
    source = Path(__file__).resolve().parents[2]
    places = [source, *(prefix / "share" / "edge_worldmodel" for prefix in (*installed, Path(sys.prefix)))]
    return next((place / relative for place in places if (place / relative).exists()), source / relative)


def models_folder() -> Path:
    """Return the folder of the shipped models."""
    return shipped("models")
