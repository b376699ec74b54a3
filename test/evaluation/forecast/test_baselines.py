"""Baselines: they do what their names say, and calibration helps them."""

from __future__ import annotations

import numpy as np
import pytest

from edge_worldmodel.evaluation.forecast.baselines import Baseline, constant_velocity, fit_logistic, persistence
from edge_worldmodel.training.validation.metrics import make_truth


def _scene(cells_per_frame: float, row: int = 32, steps: int = 8):
    """A 3 x 3 blob going in +x past a wall; frames 0.2 s apart, futures 0.4 s apart."""
    frames = [_frame(row, 20 + cells_per_frame * index) for index in range(-4, 1)]
    futures = [_frame(row, 20 + 2 * cells_per_frame * index) for index in range(1, steps + 1)]
    history = np.stack([plane for occupied in frames for plane in (occupied, ~occupied)]).astype(np.float32)
    occupied = np.stack(futures)
    moving = occupied.copy()
    moving[:, 5] = False
    present = frames[-1].copy()
    present[5] = False
    return history, make_truth(occupied, np.ones_like(occupied), moving, present, present)


def _frame(row: int, column: float) -> np.ndarray:
    frame = np.zeros((64, 64), bool)
    frame[5] = True
    left = round(column)
    frame[row - 1 : row + 2, left - 1 : left + 2] = True
    return frame


def test_persistence_is_the_present_frame() -> None:
    history, _ = _scene(1.0)
    forecast = Baseline(persistence).forecast(history)
    np.testing.assert_array_equal(forecast, np.broadcast_to(history[-2], forecast.shape))


def test_constant_velocity_finds_what_goes_straight_on() -> None:
    history, truth = _scene(1.0)
    forecast = Baseline(constant_velocity).forecast(history)
    np.testing.assert_array_equal(forecast > 0, truth.occupied)


def test_constant_velocity_leaves_what_stands() -> None:
    history, truth = _scene(0.0)
    np.testing.assert_array_equal(Baseline(constant_velocity).forecast(history) > 0, truth.occupied)


@pytest.mark.parametrize("raw", [persistence, constant_velocity])
def test_calibration_lowers_the_error_on_unseen_clips(raw) -> None:
    rng = np.random.default_rng(0)
    clips = [
        _scene(speed, row) for speed, row in zip(rng.uniform(-1.4, 1.4, 30), rng.integers(12, 60, 30), strict=True)
    ]
    hard, soft = Baseline(raw), Baseline(raw)
    soft.fit(clips[:20])
    errors = [
        sum(float(((baseline.forecast(history) - truth.occupied)[7] ** 2).sum()) for history, truth in clips[20:])
        for baseline in (hard, soft)
    ]
    assert errors[1] < errors[0]
    forecast = soft.forecast(clips[25][0])
    assert ((forecast > 0) & (forecast < 1)).all()


def test_logistic_regression_recovers_its_weights() -> None:
    rng = np.random.default_rng(0)
    features = np.stack([np.ones(20_000), rng.normal(size=20_000)], axis=1)
    truth = (rng.random(20_000) < 1 / (1 + np.exp(-(features @ [-1.0, 2.0])))).astype(float)
    np.testing.assert_allclose(fit_logistic(features, truth), [-1.0, 2.0], atol=0.1)
