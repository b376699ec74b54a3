"""What a forecast must beat: a frozen world and constant velocity, each raw and with a calibrated spread.

Calibration is a logistic regression per horizon on blurred copies of the raw forecast, fitted by likelihood on all
known cells of validation clips; the width of the blur is chosen the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.model.motion_forecast import motion_forecast
from edge_worldmodel.core.tensors import GRID_CELLS, GRID_CHANNELS, HORIZON_STEPS
from edge_worldmodel.training.validation.metrics import Truth

Tensor = NDArray[np.float32]
Floats = NDArray[np.float64]
Raw = Callable[[Tensor], tuple[Tensor, Tensor]]
"""history (10, 64, 64) -> standing (H, 64, 64) and moving (H, 64, 64) occupancy, hard."""

_WIDTHS_CELLS = (0.8, 1.5, 2.5, 4.0, 6.0)
_CELLS_PER_FRAME = 400


def persistence(history: Tensor) -> tuple[Tensor, Tensor]:
    """Everything stays where it is seen now."""
    present = history[-GRID_CHANNELS]
    standing = np.broadcast_to(present, (HORIZON_STEPS, GRID_CELLS, GRID_CELLS))
    return standing, np.zeros_like(standing)


def constant_velocity(history: Tensor) -> tuple[Tensor, Tensor]:
    """Clusters that moved during the history go on at their velocity; all else stays."""
    now, *moving = motion_forecast(history)
    standing = history[-GRID_CHANNELS] * (1.0 - now)
    return np.broadcast_to(standing, (HORIZON_STEPS, GRID_CELLS, GRID_CELLS)), np.stack(moving)


class Baseline:
    """A raw forecast, or the same with a calibrated spread once it is fitted."""

    def __init__(self, raw: Raw) -> None:
        """Use a raw forecast."""
        self._raw = raw
        self._fits: list[tuple[float, Floats]] | None = None

    def fit(self, clips: Iterable[tuple[Tensor, Truth]], seed: int = 0) -> None:
        """Choose spread and probabilities on validation clips of (history, truth)."""
        rng = np.random.default_rng(seed)
        samples: list[list[list[Floats]]] = [[[] for _ in _WIDTHS_CELLS] for _ in range(HORIZON_STEPS)]
        truths: list[list[Floats]] = [[] for _ in range(HORIZON_STEPS)]
        for history, truth in clips:
            standing, moving = self._raw(history)
            for step in range(HORIZON_STEPS):
                rows, columns = _sample(truth.known[step], rng)
                truths[step].append(truth.occupied[step][rows, columns].astype(float))
                for number, width in enumerate(_WIDTHS_CELLS):
                    table = _features(standing[step], moving[step], history, width)
                    samples[step][number].append(table[rows, columns])
        self._fits = [_choose(samples[step], np.concatenate(truths[step])) for step in range(HORIZON_STEPS)]

    def forecast(self, history: Tensor) -> Tensor:
        """Return occupancy probability (H, 64, 64) from a history (10, 64, 64)."""
        return self.spread(*self._raw(history), history)

    def spread(self, standing: Tensor, moving: Tensor, history: Tensor) -> Tensor:
        """Return the probability (H, 64, 64) of a raw forecast; only the newest frame of the history is looked at."""
        if self._fits is None:
            return np.maximum(standing, moving)
        steps = []
        for step, (width, weights) in enumerate(self._fits):
            steps.append(_logistic(_features(standing[step], moving[step], history, width) @ weights))
        return np.stack(steps).astype(np.float32)


def _features(standing: Tensor, moving: Tensor, history: Tensor, width_cells: float) -> Floats:
    """Return (64, 64, 6): what each cell's probability may depend on."""
    free = history[-1]
    unknown = 1.0 - np.maximum(history[-GRID_CHANNELS], free)
    blurred = [cv2.GaussianBlur(np.ascontiguousarray(grid), (0, 0), width_cells) for grid in (standing, moving)]
    planes = [np.ones_like(free), standing, blurred[0], moving, np.log(blurred[1] + 1e-3), unknown]
    return np.stack(planes, axis=-1).astype(np.float64)


def _sample(known: NDArray[np.bool_], rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    rows, columns = np.nonzero(known)
    chosen = rng.permutation(len(rows))[:_CELLS_PER_FRAME]
    return rows[chosen], columns[chosen]


def _choose(candidates: list[list[Floats]], truth: Floats) -> tuple[float, Floats]:
    best: tuple[float, float, Floats] | None = None
    for width, parts in zip(_WIDTHS_CELLS, candidates, strict=True):
        features = np.concatenate(parts)
        weights = fit_logistic(features, truth)
        p = np.clip(_logistic(features @ weights), 1e-6, 1 - 1e-6)
        loss = float(-np.mean(truth * np.log(p) + (1 - truth) * np.log(1 - p)))
        if best is None or loss < best[0]:
            best = (loss, width, weights)
    assert best is not None
    return best[1], best[2]


def fit_logistic(features: Floats, truth: Floats, rounds: int = 12) -> Floats:
    """Return logistic regression weights by Newton's method with a small ridge, so that empty features stay at 0."""
    weights = np.zeros(features.shape[1])
    ridge = 1e-2 * np.eye(features.shape[1])
    for _ in range(rounds):
        p = _logistic(features @ weights)
        gradient = features.T @ (p - truth) + ridge @ weights
        curvature = (features * (p * (1 - p))[:, None]).T @ features + ridge
        weights -= np.linalg.solve(curvature, gradient)
    return weights


def _logistic(x: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -30.0, 30.0))))
