"""Compares measured figures with service levels, and with the report of an earlier release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from edge_worldmodel.core.errors import ConfigError

Figures = Mapping[str, Mapping[str, float]]
"""Values by part (encoder, tick, memory) and name (p95_s, peak_mb)."""


@dataclass(frozen=True)
class LevelCheck:
    """One service level with the measured value."""

    part: str
    name: str
    limit: float
    measured: float

    @property
    def kept(self) -> bool:
        """Return whether the measured value is at most the limit; NaN is not."""
        return self.measured <= self.limit

    def line(self) -> str:
        """Return the check as a line for people."""
        mark = "kept  " if self.kept else "MISSED"
        return f"{mark}  {self.part}.{self.name}: {self.measured:.4g}, at most {self.limit:g}"


def read_levels(path: Path) -> dict[str, dict[str, float]]:
    """Read service levels from a YAML file.

    Raises:
        ConfigError: the file cannot be read, is empty, or a value is not a positive number.
    """
    try:
        data = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if not isinstance(data, dict) or not data:
        raise ConfigError(f"{path} holds no service levels")
    for part, wanted in data.items():
        for name, limit in wanted.items() if isinstance(wanted, dict) else ((None, wanted),):
            if name is None or isinstance(limit, bool) or not isinstance(limit, int | float) or not limit > 0:
                raise ConfigError(f"{path}: {part}.{name} = {limit!r}, must be a number above 0")
    return data


def judge(figures: Figures, levels: Figures) -> list[LevelCheck]:
    """Compare measured figures with service levels.

    Raises:
        ConfigError: there is a level for a figure that was not measured, so that it could never be missed.
    """
    checks = []
    for part, wanted in levels.items():
        for name, limit in wanted.items():
            if name not in figures.get(part, {}):
                raise ConfigError(f"service level {part}.{name}: not measured; there are {_names(figures)}")
            checks.append(LevelCheck(part, name, float(limit), float(figures[part][name])))
    return checks


def slower(now: Figures, before: Figures, tolerance: float) -> list[str]:
    """Return a line for each median, memory and load time that grew by more than the share ``tolerance``.

    Higher percentiles are not compared: on a busy machine they differ from run to run.
    """
    lines = []
    for part, names in now.items():
        for name, value in names.items():
            earlier = before.get(part, {}).get(name)
            if name in ("p50_s", "peak_mb", "seconds") and earlier and value > earlier * (1.0 + tolerance):
                lines.append(f"{part}.{name}: {value:.4g}, {value / earlier:.2f} times the {earlier:.4g} before")
    return lines


def differing_conditions(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Return a line for each condition in which two reports differ, so that they cannot be compared."""
    keys = ("machine", "backend", "threads", "futures", "denoising_steps", "clock")
    return [
        f"{key}: {before.get(key)!r} before, {now.get(key)!r} now" for key in keys if now.get(key) != before.get(key)
    ]


def _names(figures: Figures) -> str:
    return ", ".join(f"{part}.{name}" for part, names in figures.items() for name in names)
