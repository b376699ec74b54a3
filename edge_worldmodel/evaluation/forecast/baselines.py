"""The forecasts to compare with: persistence and constant velocity, each raw and calibrated.

Calibration is a logistic regression per horizon on blurred copies of the raw forecast, fitted on known cells of
validation clips. The width of the blur with the highest likelihood is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.model.motion_forecast import motion_forecast
from edge_worldmodel.core.tensors import GRID_CELLS, GRID_CHANNELS, HORIZON_STEPS
from edge_worldmodel.core.types import Floats, Tensor
from edge_worldmodel.training.validation.metrics import Truth

Raw = Callable[[Tensor], tuple[Tensor, Tensor]]
"""History (10, 64, 64) -> occupancy 0 or 1 (H, 64, 64) by static cells, and by movers."""

_WIDTHS_CELLS = (0.8, 1.5, 2.5, 4.0, 6.0)
_CELLS_PER_FRAME = 400
_NEWTON_STEPS = 12


def persistence(history: Tensor) -> tuple[Tensor, Tensor]:
    """Forecast that every cell stays as it is observed now."""
    present = history[-GRID_CHANNELS]
    static = np.broadcast_to(present, (HORIZON_STEPS, GRID_CELLS, GRID_CELLS))
    return static, np.zeros_like(static)


def constant_velocity(history: Tensor) -> tuple[Tensor, Tensor]:
    """Forecast that clusters which moved during the history go on at their velocity; all else stays."""
    now, *movers = motion_forecast(history)
    static = history[-GRID_CHANNELS] * (1.0 - now)
    return np.broadcast_to(static, (HORIZON_STEPS, GRID_CELLS, GRID_CELLS)), np.stack(movers)


class Baseline:
    """A raw forecast; calibrated once it is fitted."""

    def __init__(self, raw: Raw) -> None:
        """Use a raw forecast."""
        self._raw = raw
        self._fits: list[tuple[float, Floats]] | None = None

    def fit(self, clips: Iterable[tuple[Tensor, Truth]]) -> None:
        """Calibrate on validation clips: histories (10, 64, 64) with the truth."""
        rng = np.random.default_rng(0)
        samples: list[list[list[Floats]]] = [[[] for _ in _WIDTHS_CELLS] for _ in range(HORIZON_STEPS)]
        truths: list[list[Floats]] = [[] for _ in range(HORIZON_STEPS)]
        for history, truth in clips:
            static, movers = self._raw(history)
            for step in range(HORIZON_STEPS):
                rows, columns = _sample(truth.known[step], rng)
                truths[step].append(truth.occupied[step][rows, columns].astype(float))
                for number, width in enumerate(_WIDTHS_CELLS):
                    table = _features(static[step], movers[step], history, width)
                    samples[step][number].append(table[rows, columns])
        self._fits = [_choose(samples[step], np.concatenate(truths[step])) for step in range(HORIZON_STEPS)]

    def forecast(self, history: Tensor) -> Tensor:
        """Return occupancy probability (H, 64, 64) from a history (10, 64, 64)."""
        return self.spread(*self._raw(history), history)

    def spread(self, static: Tensor, movers: Tensor, history: Tensor) -> Tensor:
        """Return the probability (H, 64, 64) of a raw forecast.

        Args:
            static: occupancy by static cells (H, 64, 64).
            movers: occupancy by movers (H, 64, 64).
            history: (10, 64, 64), of which only the newest frame is used.
        """
        if self._fits is None:
            return np.maximum(static, movers)
        steps = []
        for step, (width, weights) in enumerate(self._fits):
            steps.append(_logistic(_features(static[step], movers[step], history, width) @ weights))
        return np.stack(steps).astype(np.float32)


def _features(static: Tensor, movers: Tensor, history: Tensor, width_cells: float) -> Floats:
    """Return the features (64, 64, 6) of each cell for the regression."""
    free = history[-1]
    unknown = 1.0 - np.maximum(history[-GRID_CHANNELS], free)
    blurred = [cv2.GaussianBlur(np.ascontiguousarray(grid), (0, 0), width_cells) for grid in (static, movers)]
    planes = [np.ones_like(free), static, blurred[0], movers, np.log(blurred[1] + 1e-3), unknown]
    return np.stack(planes, axis=-1).astype(np.float64)


def _sample(known: NDArray[np.bool_], rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    rows, columns = np.nonzero(known)
    chosen = rng.permutation(len(rows))[:_CELLS_PER_FRAME]
    return rows[chosen], columns[chosen]


def _choose(candidates: list[list[Floats]], truth: Floats) -> tuple[float, Floats]:
    fits = []
    for width, parts in zip(_WIDTHS_CELLS, candidates, strict=True):
        features = np.concatenate(parts)
        weights = fit_logistic(features, truth)
        p = np.clip(_logistic(features @ weights), 1e-6, 1 - 1e-6)
        fits.append((float(-np.mean(truth * np.log(p) + (1 - truth) * np.log(1 - p))), width, weights))
    return min(fits, key=lambda fit: fit[0])[1:]


def fit_logistic(features: Floats, truth: Floats) -> Floats:
    """Return the weights (F,) of a logistic regression by Newton's method.

    A small ridge keeps the weights of constant zero features at 0.

    Args:
        features: (n, F).
        truth: (n,) of 0 and 1.
    """
    weights = np.zeros(features.shape[1])
    ridge = 1e-2 * np.eye(features.shape[1])
    for _ in range(_NEWTON_STEPS):
        p = _logistic(features @ weights)
        gradient = features.T @ (p - truth) + ridge @ weights
        curvature = (features * (p * (1 - p))[:, None]).T @ features + ridge
        weights -= np.linalg.solve(curvature, gradient)
    return weights


def _logistic(x: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -30.0, 30.0))))
