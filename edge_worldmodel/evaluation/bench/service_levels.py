"""Measured figures against wanted ones, and against those of an earlier release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from edge_worldmodel.core.errors import ConfigError

Figures = Mapping[str, Mapping[str, float]]
"""By part (encoder, tick, memory ...) and name (p95_s, peak_mb ...)."""


@dataclass(frozen=True)
class Verdict:
    """One service level and what was measured."""

    part: str
    name: str
    limit: float
    measured: float

    @property
    def kept(self) -> bool:
        """Tell whether the level is kept; NaN never keeps it."""
        return self.measured <= self.limit

    def line(self) -> str:
        """Say it for people."""
        mark = "kept  " if self.kept else "MISSED"
        return f"{mark}  {self.part}.{self.name}: {self.measured:.4g}, at most {self.limit:g}"


def read_levels(path: Path) -> dict[str, dict[str, float]]:
    """Read wanted figures from a YAML file.

    Raises:
        ConfigError: it cannot be read, or something in it is not a positive number.
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


def judge(figures: Figures, levels: Figures) -> list[Verdict]:
    """Compare what was measured with what is wanted.

    Raises:
        ConfigError: a level is wanted for something that was not measured; it would never be missed.
    """
    verdicts = []
    for part, wanted in levels.items():
        for name, limit in wanted.items():
            if name not in figures.get(part, {}):
                raise ConfigError(f"service level {part}.{name}: not measured; there are {_names(figures)}")
            verdicts.append(Verdict(part, name, float(limit), float(figures[part][name])))
    return verdicts


def slower(now: Figures, before: Figures, tolerance: float) -> list[str]:
    """Name what became worse by more than ``tolerance``, as a share, since an earlier run.

    Only medians and memory are compared: the tails of two runs on a busy machine differ by themselves.
    """
    worse = []
    for part, names in now.items():
        for name, value in names.items():
            earlier = before.get(part, {}).get(name)
            if name in ("p50_s", "peak_mb", "seconds") and earlier and value > earlier * (1.0 + tolerance):
                worse.append(f"{part}.{name}: {value:.4g}, {value / earlier:.2f} times the {earlier:.4g} before")
    return worse


def same_conditions(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Name what makes two reports incomparable."""
    keys = ("machine", "backend", "threads", "futures", "denoising_steps", "clock")
    return [
        f"{key}: {before.get(key)!r} before, {now.get(key)!r} now" for key in keys if now.get(key) != before.get(key)
    ]


def _names(figures: Figures) -> str:
    return ", ".join(f"{part}.{name}" for part, names in figures.items() for name in names)
