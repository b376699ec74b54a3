"""The shipped model is less sure of cells that were never observed, and of input unlike its training data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_worldmodel.core.perception.uncertainty import surprise_bits
from edge_worldmodel.core.tensors import GRID_CELLS, GRID_CHANNELS
from edge_worldmodel.evaluation.forecast.junction import draw_junction, waiting_maneuver
from edge_worldmodel.training.validation.methods import Forecaster, open_model

MODEL = Path(__file__).resolve().parents[3] / "models" / "small"
SCENES = 8
BLOCK_CELLS = 8
STRIPE_CELLS, PERIOD_CELLS, CELLS_PER_FRAME = 4, 16, 5

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Turns frames (6, 2, 64, 64), the history and the frame after it, into others of the same shape."""


def unchanged(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return frames


def with_salt(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Make 5 % of the free cells occupied, others in each frame."""
    hit = (rng.random(frames[:, 1].shape) < 0.05) & (frames[:, 1] > 0)
    return np.stack([np.maximum(frames[:, 0], hit), frames[:, 1] * ~hit], axis=1).astype(np.float32)


def blocks_mixed(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut each frame into blocks of 1.6 m and mix them."""
    side = GRID_CELLS // BLOCK_CELLS
    cut = frames.reshape(-1, GRID_CHANNELS, side, BLOCK_CELLS, side, BLOCK_CELLS).transpose(0, 2, 4, 1, 3, 5)
    mixed = np.stack([blocks[rng.permutation(side**2)] for blocks in cut.reshape(len(frames), side**2, -1)])
    whole = mixed.reshape(-1, side, side, GRID_CHANNELS, BLOCK_CELLS, BLOCK_CELLS).transpose(0, 3, 1, 4, 2, 5)
    return whole.reshape(frames.shape)


def moving_stripes(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Replace the scene by diagonal stripes that move by 1 m a frame."""
    rows, columns = np.indices((GRID_CELLS, GRID_CELLS))
    place = rows + columns + int(rng.integers(PERIOD_CELLS))
    stripes = [(place + CELLS_PER_FRAME * age) % PERIOD_CELLS < STRIPE_CELLS for age in range(len(frames))]
    return np.stack([np.stack([stripe, ~stripe]) for stripe in stripes]).astype(np.float32)


def standing_still(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Show the first frame all the time: a walking person would make free cells uncertain as well."""
    return np.repeat(frames[:1], len(frames), axis=0)


def uncertainty(forecaster: Forecaster, frames: np.ndarray) -> dict[str, float]:
    """Return entropy [bits] and spread of futures over never observed, always free and observed cells, and surprise."""
    past, later = frames[:-1], frames[-1]
    futures = forecaster.imagine(past.reshape(-1, GRID_CELLS, GRID_CELLS), waiting_maneuver())
    mean = futures.mean(axis=0)
    p = np.clip(mean, 1e-6, 1.0 - 1e-6)
    bits = -(p * np.log2(p) + (1.0 - p) * np.log2(1.0 - p))
    seen = past.any(axis=(0, 1))
    found = {"surprise": surprise_bits(mean[0], np.zeros(3), later, np.zeros(3))}
    for name, cells in (("never", ~seen), ("free", past[:, 1].all(axis=0)), ("seen", seen)):
        found[f"entropy_{name}"] = float(bits[:, cells].mean()) if cells.any() else np.nan
        found[f"spread_{name}"] = float(futures.std(axis=0)[:, cells].mean()) if cells.any() else np.nan
    return found


def mean_uncertainty(forecaster: Forecaster, change: Change) -> dict[str, float]:
    """Return means over scenes that the simulated scanner draws; the sixth frame shows the same as the fifth."""
    rng, changes = np.random.default_rng(0), np.random.default_rng(1)
    found = []
    for _ in range(SCENES):
        frames = draw_junction(rng).history.reshape(-1, GRID_CHANNELS, GRID_CELLS, GRID_CELLS)
        found.append(uncertainty(forecaster, change(np.concatenate([frames, frames[-1:]]), changes)))
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    model, manifest = open_model(MODEL, threads=1)
    return Forecaster(model, int(manifest["denoise_steps"]))


@pytest.fixture(scope="module")
def usual(forecaster: Forecaster) -> dict[str, float]:
    return mean_uncertainty(forecaster, unchanged)


def test_futures_differ_more_and_are_less_sure_where_nothing_was_observed(forecaster: Forecaster) -> None:
    still = mean_uncertainty(forecaster, standing_still)
    assert still["entropy_never"] > 1.1 * still["entropy_free"]
    assert still["spread_never"] > 1.1 * still["spread_free"]


@pytest.mark.parametrize("change", [with_salt, blocks_mixed, moving_stripes])
def test_input_unlike_the_training_data_is_less_sure_and_surprises(
    forecaster: Forecaster, usual: dict[str, float], change: Change
) -> None:
    changed = mean_uncertainty(forecaster, change)
    assert changed["entropy_seen"] > 1.3 * usual["entropy_seen"]
    assert changed["surprise"] > 2.0 * usual["surprise"]
