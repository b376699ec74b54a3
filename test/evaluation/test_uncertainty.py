"""The shipped model is less sure of what nobody looked at, and of what is unlike anything that it was trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_worldmodel.core.belief import surprise_bits
from edge_worldmodel.core.tensors import GRID_CELLS, GRID_CHANNELS, HISTORY_FRAMES
from edge_worldmodel.evaluation.forecast_methods import FUTURES, Forecaster, open_model
from edge_worldmodel.evaluation.junction import draw_junction, standing_maneuver

MODEL = Path(__file__).resolve().parents[2] / "models" / "small"
SCENES = 8
BLOCK = 8
Frames = np.ndarray
"""(5, 2, 64, 64)."""


def salted(frames: Frames, rng: np.random.Generator) -> Frames:
    """Take one free cell in twenty for occupied, others in each frame."""
    hit = (rng.random(frames[:, 1].shape) < 0.05) & (frames[:, 1] > 0)
    return np.stack([np.maximum(frames[:, 0], hit), frames[:, 1] * ~hit], axis=1).astype(np.float32)


def scrambled(frames: Frames, rng: np.random.Generator) -> Frames:
    """Cut each frame into blocks of 1.6 m and mix them."""
    side = GRID_CELLS // BLOCK
    cut = frames.reshape(-1, 2, side, BLOCK, side, BLOCK).transpose(0, 2, 4, 1, 3, 5)
    blocks = cut.reshape(-1, side**2, 2, BLOCK**2)
    mixed = np.stack([frame[rng.permutation(side**2)] for frame in blocks])
    return mixed.reshape(-1, side, side, 2, BLOCK, BLOCK).transpose(0, 3, 1, 4, 2, 5).reshape(frames.shape)


def striped(frames: Frames, rng: np.random.Generator) -> Frames:
    """Put diagonal stripes in their place that move by 1 m a frame."""
    rows, columns = np.indices((GRID_CELLS, GRID_CELLS))
    phase = int(rng.integers(16))
    stripes = [(rows + columns + 5 * age + phase) % 16 < 4 for age in range(len(frames))]
    return np.stack([np.stack([stripe, ~stripe]) for stripe in stripes]).astype(np.float32)


def as_it_is(frames: Frames, rng: np.random.Generator) -> Frames:
    return frames


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    model, manifest = open_model(MODEL, threads=1)
    return Forecaster(model, int(manifest["denoise_steps"]))


def bits(probability: np.ndarray) -> np.ndarray:
    p = np.clip(probability, 1e-6, 1.0 - 1e-6)
    return -(p * np.log2(p) + (1.0 - p) * np.log2(1.0 - p))


def scenes() -> list[Frames]:
    rng = np.random.default_rng(0)
    shape = HISTORY_FRAMES, GRID_CHANNELS, GRID_CELLS, GRID_CELLS
    return [draw_junction(rng).history.reshape(shape) for _ in range(SCENES)]


def unsureness(forecaster: Forecaster, change: Callable[[Frames, np.random.Generator], Frames]) -> tuple[float, float]:
    """Return the entropy of what is imagined where something was seen, and the surprise of a sixth frame, in bits."""
    rng = np.random.default_rng(1)
    entropies, surprises = [], []
    for frames in scenes():
        # The sixth frame shows what the fifth did: what stands in the scene is most of it.
        changed = change(np.concatenate([frames, frames[-1:]]), rng)
        futures = forecaster.imagine(changed[:-1].reshape(-1, GRID_CELLS, GRID_CELLS), standing_maneuver())
        assert len(futures) == FUTURES
        mean = futures.mean(axis=0)
        entropies.append(bits(mean)[:, changed[:-1].any(axis=(0, 1))].mean())
        surprises.append(surprise_bits(mean[0], np.zeros(3), changed[-1], np.zeros(3)))
    return float(np.mean(entropies)), float(np.mean(surprises))


def test_futures_differ_more_and_are_less_sure_where_nothing_was_observed(forecaster: Forecaster) -> None:
    entropy, spread = [], []
    for frames in scenes():
        futures = forecaster.imagine(frames.reshape(-1, GRID_CELLS, GRID_CELLS), standing_maneuver())
        never, free = ~frames.any(axis=(0, 1)), frames[:, 1].all(axis=0)
        assert never.sum() > 100 < free.sum()
        for values, found in ((bits(futures.mean(axis=0)), entropy), (futures.std(axis=0), spread)):
            found.append((values[:, never].mean(), values[:, free].mean()))
    for found in (entropy, spread):
        never, free = np.mean(found, axis=0)
        # Somebody walks through the free cells, so they are not certain either.
        assert never > 1.1 * free


@pytest.mark.parametrize("change", [salted, scrambled, striped])
def test_what_is_unlike_the_training_data_makes_it_less_sure_and_surprises(
    forecaster: Forecaster, change: Callable[[Frames, np.random.Generator], Frames]
) -> None:
    usual, changed = unsureness(forecaster, as_it_is), unsureness(forecaster, change)
    assert changed[0] > 1.3 * usual[0], "entropy of what is imagined"
    assert changed[1] > 2.0 * usual[1], "surprise by what comes next"
