"""Compares models on the same clips, drives and noise, and times them in turn in one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge_worldmodel.backends.timing import Quantiles, Workload, measure
from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.model.world_model import Backend, WorldModel
from edge_worldmodel.core.types import Floats
from edge_worldmodel.models.manifest import load_model
from edge_worldmodel.models.placement_record import variants
from edge_worldmodel.training.data.splits import ClipSet
from edge_worldmodel.training.validation.examples import examples, simulated_clips
from edge_worldmodel.training.validation.flicker import DriveFrames, draw_frames, flicker
from edge_worldmodel.training.validation.methods import Forecaster, open_networks
from edge_worldmodel.training.validation.metrics import Scores, by_group, ratio, summarise

FUTURES = 16
"""Futures per clip and frame for quality."""
_SHOWN = ("brier_moving", "brier_reach", "brier_all", "nll_moving", "path_brier", "ece", "ap")
_DRAWS = 400


@dataclass(frozen=True)
class ComparedModel:
    """A loaded model."""

    backend: Backend
    manifest: dict[str, Any]

    @property
    def model(self) -> WorldModel:
        """The world model that runs on the backend."""
        return WorldModel(self.backend, self.manifest["model_id"])


@dataclass(frozen=True)
class ComparisonData:
    """Data to measure quality on: clips with the true future, and consecutive frames of drives."""

    clips: ClipSet
    drives: Sequence[DriveFrames]

    @staticmethod
    def simulated(clips: int, drives: int) -> ComparisonData:
        """Return simulated clips and drives that are not in the training data."""
        return ComparisonData(simulated_clips("test", clips), draw_frames(drives))


def find_model(name: str, models: Path, default: str) -> Path:
    """Return the folder of a model.

    Args:
        name: a folder, the name of a shipped model, or a precision (for the default model in that precision).
        models: folder of the shipped models.
        default: name of the default model.

    Raises:
        ConfigError: there is no such model, or several have that precision.
    """
    folders = {folder.name: folder for folder in variants(models)}
    if name in folders:
        return folders[name]
    if (Path(name) / "manifest.json").is_file():
        return Path(name)
    kinds = {folder: load_model(folder).manifest for folder in folders.values()}
    family = kinds[folders[default]].get("variant") if default in folders else None
    fitting = [f for f, kind in kinds.items() if kind.get("precision") == name and kind.get("variant") == family]
    if len(fitting) != 1:
        known = ", ".join(f"{folder.name} ({kind.get('precision')})" for folder, kind in kinds.items())
        raise ConfigError(
            f"'{name}' is neither a model folder nor the precision of one shipped model: shipped here: {known}"
        )
    return fitting[0]


def open_for_comparison(folders: Mapping[str, Path], threads: int) -> dict[str, ComparedModel]:
    """Verify and load models, check their golden vectors, and return them by the names used in reports."""
    return {name: ComparedModel(*open_networks(folder, threads)) for name, folder in folders.items()}


def compare(
    compared: Mapping[str, ComparedModel],
    material: ComparisonData,
    workload: Workload,
    rounds: int,
    clock_s: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Measure size, time and quality of all models, and compare each with the first.

    Returns:
        ``models`` with the figures of each model by name, and ``<name>_over_<first>`` for all but the first: speed
        (ratio of median tick times), size (share of the bytes), brier_loss (relative growth of the Brier score on
        moving cells, mean over 0.8 to 3.2 s, with a 95 % interval over scenes), flicker (ratio).
    """  # fmt: skip
    times = measure({name: each.backend for name, each in compared.items()}, workload, rounds, clock_s)
    scored = {name: score(each.model, material.clips, workload.steps) for name, each in compared.items()}
    models = {}
    for name, each in tqdm(compared.items(), desc="flicker", unit="model"):
        entries = each.manifest["networks"].values()
        models[name] = {
            "model_id": each.manifest["model_id"],
            "precision": each.manifest.get("precision", ""),
            "bytes": sum(entry["bytes"] for entry in entries),
            "parameters": sum(entry["parameters"] for entry in entries),
            "mflop": round(sum(entry.get("mflop", 0.0) for entry in entries), 2),
            "seconds": {part: vars(Quantiles.of(values)) for part, values in times[name].items()},
            "quality": quality(scored[name], material.clips)
            | {"flicker": flicker(each.model, material.drives, workload.steps, FUTURES)},
        }
    first = next(iter(models))
    report: dict[str, Any] = {"models": models}
    for name in list(models)[1:]:
        report[f"{name}_over_{first}"] = _over(models[name], models[first]) | loss_interval(
            scored[name], scored[first], material.clips.group
        )
    return report


def score(model: WorldModel, clips: ClipSet, steps: int, seed: int = 0) -> Scores:
    """Return the scores of a model over clips; with the same seed all models get the same noise."""
    forecaster, scores = Forecaster(model, steps, FUTURES, seed), Scores()
    for example in tqdm(examples(clips), total=len(clips), desc=model.model_id, unit="clip", leave=False):
        scores.add(forecaster(example).mean(axis=0), example.truth)
    return scores


def quality(scores: Scores, clips: ClipSet) -> dict[str, float]:
    """Return the metrics of a model, each as the mean over 0.8 to 3.2 s."""
    found = summarise(scores, clips.group, draws=0)
    return {name: _mean(np.array(found[name][1:])) for name in _SHOWN if name in found}


def _over(other: Mapping[str, Any], first: Mapping[str, Any]) -> dict[str, float]:
    return {
        "speed": first["seconds"]["tick"]["p50_s"] / other["seconds"]["tick"]["p50_s"],
        "size": other["bytes"] / first["bytes"],
        "brier_loss": other["quality"]["brier_moving"] / first["quality"]["brier_moving"] - 1.0,
        "flicker": other["quality"]["flicker"] / first["quality"]["flicker"],
    }


def loss_interval(other: Scores, first: Scores, groups: NDArray[np.intp]) -> dict[str, float]:
    """Return the bounds of the 95 % bootstrap interval of brier_loss, with the same scenes for both models."""
    names, index = np.unique(groups, return_inverse=True)
    weights = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), size=_DRAWS)
    drawn = [_drawn_brier(scores, index, len(names), weights) for scores in (other, first)]
    losses = drawn[0] / drawn[1] - 1.0
    known = losses[np.isfinite(losses)]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
    return {"brier_loss_low": float(low), "brier_loss_high": float(high)}


def _drawn_brier(scores: Scores, index: NDArray[np.intp], count: int, weights: NDArray[np.int64]) -> Floats:
    sums = (np.stack(scores.sums[name])[:, 1:] for name in ("square_moving", "cells_moving"))
    return np.array([_mean(draw) for draw in ratio(*(weights @ by_group(values, index, count) for values in sums))])


def _mean(values: Floats) -> float:
    """Return the mean over the horizons with a value; NaN if there is none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def lines_of(report: Mapping[str, Any]) -> list[str]:
    """Return the comparison as lines of text."""
    lines = ["                     MB   tick ms   Brier moving    reach      ECE   flicker"]
    for name, of in report["models"].items():
        scores = of["quality"]
        lines.append(
            f"  {name:14s} {of['bytes'] / 1e6:7.2f} {1e3 * of['seconds']['tick']['p50_s']:9.2f}"
            f" {scores['brier_moving']:14.4f} {scores['brier_reach']:8.4f} {scores['ece']:8.4f}"
            f" {scores['flicker']:9.5f}"
        )
    for name, of in report.items():
        if "_over_" in name:
            lines.append(
                f"  {name}: {of['speed']:.2f} times as fast, {of['size']:.1%} of the bytes, Brier on moving cells "
                f"{of['brier_loss']:+.2%} [{of['brier_loss_low']:+.2%}, {of['brier_loss_high']:+.2%}], "
                f"flicker {of['flicker']:.3f} times"
            )
    return lines
