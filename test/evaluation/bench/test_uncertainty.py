"""The shipped model is less sure of what nobody looked at, and of what is unlike anything that it was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_worldmodel.core.tensors import GRID_CELLS, GRID_CHANNELS
from edge_worldmodel.evaluation.bench.doubt_figures import Change, as_it_is, doubt, salted, scrambled, striped
from edge_worldmodel.evaluation.forecast.junction import draw_junction, standing_maneuver
from edge_worldmodel.training.validation.methods import Forecaster, open_model

MODEL = Path(__file__).resolve().parents[3] / "models" / "small"
SCENES = 8


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    model, manifest = open_model(MODEL, threads=1)
    return Forecaster(model, int(manifest["denoise_steps"]))


def doubts(forecaster: Forecaster, change: Change) -> dict[str, float]:
    """Return means over scenes that the simulated scanner draws; the sixth frame shows what the fifth does."""
    rng, changes = np.random.default_rng(0), np.random.default_rng(1)
    found = []
    for _ in range(SCENES):
        frames = draw_junction(rng).history.reshape(-1, GRID_CHANNELS, GRID_CELLS, GRID_CELLS)
        changed = change(np.concatenate([frames, frames[-1:]]), changes)
        found.append(doubt(forecaster, changed, standing_maneuver()))
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


@pytest.fixture(scope="module")
def usual(forecaster: Forecaster) -> dict[str, float]:
    return doubts(forecaster, as_it_is)


def standing_still(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Show the first frame all the time: who walks would make free cells uncertain as well."""
    return np.repeat(frames[:1], len(frames), axis=0)


def test_futures_differ_more_and_are_less_sure_where_nothing_was_observed(forecaster: Forecaster) -> None:
    still = doubts(forecaster, standing_still)
    assert still["entropy_never"] > 1.1 * still["entropy_free"]
    assert still["spread_never"] > 1.1 * still["spread_free"]


@pytest.mark.parametrize("change", [salted(0.05), scrambled, striped])
def test_what_is_unlike_the_training_data_makes_it_less_sure_and_surprises(
    forecaster: Forecaster, usual: dict[str, float], change: Change
) -> None:
    changed = doubts(forecaster, change)
    assert changed["entropy_seen"] > 1.3 * usual["entropy_seen"]
    assert changed["surprise"] > 2.0 * usual["surprise"]
