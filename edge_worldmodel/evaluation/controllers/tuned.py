"""Tuned settings of the baselines: the best ones found by `evaluate tune`, in config/arena/tuned.json."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from edge_worldmodel.evaluation.controllers.controller import ControllerError
from edge_worldmodel.models.shipped import shipped

TUNED = "config/arena/tuned.json"
SCHEMA = 1


def tuned_settings(planner: str) -> dict[str, Any]:
    """Return the tuned settings of a planner; {} for a planner that was not tuned.

    Raises:
        ControllerError: the file is damaged.
    """
    path = shipped(TUNED)
    return dict(_read(path).get(planner, {}).get("settings", {})) if path.exists() else {}


@lru_cache(maxsize=1)
def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        planners = record["planners"]
        if record["schema"] != SCHEMA or not isinstance(planners, dict):
            raise ValueError(f"schema {record['schema']!r}, expected {SCHEMA}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ControllerError(f"{path}: not a record of `evaluate tune`: {error}") from error
    return planners
