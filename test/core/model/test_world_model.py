"""Denoising: batch order, common random numbers, warm starts, stopping early, and checks on what networks return."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_worldmodel.backends.deterministic_backend import DeterministicBackend
from edge_worldmodel.core import tensors
from edge_worldmodel.core.errors import BackendError, ModelError, TensorMismatchError
from edge_worldmodel.core.model import context_channels as folding
from edge_worldmodel.core.model.world_model import WorldModel
from edge_worldmodel.core.types import WarmStart

CONTEXT = np.zeros(tensors.CONTEXT.shape, np.float32)
Arrays = Mapping[str, NDArray[np.float32]]


class Straight(DeterministicBackend):
    """A perfect straight flow to a clip that depends on maneuver only; remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[Arrays] = []

    def run(self, network: str, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        if network != "denoiser":
            return super().run(network, inputs)
        self.calls.append(inputs)
        target = inputs["maneuver"][:, -1, 0][:, None, None, None]
        return {"velocity": (inputs["latent"] - target) / inputs["noise_level"]}


def _maneuvers(count: int) -> np.ndarray:
    maneuvers = np.zeros((count, 8, 3))
    maneuvers[:, -1, 0] = np.arange(count)
    return maneuvers


def _noise(futures: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal((futures, 8, 16, 16)).astype(np.float32)


def _warm(latents: np.ndarray, level: float, model_id: str = "m", valid: bool = True) -> WarmStart:
    return WarmStart(0, 1, valid, "", model_id, 0.1, 1.0, level, latents)


def test_batch_order_is_maneuver_major_and_noise_is_shared() -> None:
    backend = Straight()
    result = WorldModel(backend, "m").imagine(CONTEXT, _maneuvers(3), _noise(4), steps=2)
    first = backend.calls[0]
    np.testing.assert_array_equal(first["latent"], np.tile(_noise(4), (3, 1, 1, 1)))
    np.testing.assert_array_equal(first["maneuver"][:, -1, 0], np.repeat([0, 1, 2], 4))
    np.testing.assert_allclose(result.latents[:, 0, 0, 0], np.repeat([0, 1, 2], 4), atol=1e-5)
    assert (result.steps, result.noise_level, len(backend.calls)) == (2, 1.0, 2)


@pytest.mark.parametrize("allowed", [1, 2, 3])
def test_stopping_early_still_lands_on_the_clip(allowed: int) -> None:
    backend = Straight()
    asked: list[int] = []

    def keep_going(done: int) -> bool:
        asked.append(done)
        return done < allowed

    result = WorldModel(backend, "m").imagine(CONTEXT, _maneuvers(2), _noise(1), steps=4, keep_going=keep_going)
    assert result.steps == allowed == len(backend.calls)
    assert asked == list(range(1, allowed + 1))
    np.testing.assert_allclose(result.latents[:, 0, 0, 0], [0, 1], atol=1e-5)


def test_warm_start_begins_at_its_noise_level() -> None:
    backend = Straight()
    seeds = np.full((2, 8, 16, 16), 5.0, np.float32)
    result = WorldModel(backend, "m").imagine(CONTEXT, _maneuvers(2), _noise(4), warm_start=_warm(seeds, 0.4), steps=2)
    first = backend.calls[0]
    assert first["noise_level"] == pytest.approx(0.4)
    np.testing.assert_allclose(first["latent"][:4], 0.6 * 5.0 + 0.4 * _noise(4), atol=1e-6)
    assert result.noise_level == pytest.approx(0.4)


@pytest.mark.parametrize(
    "warm", [_warm(_noise(2), 0.4, "other"), _warm(_noise(2), 0.4, valid=False), _warm(_noise(0), 0.4)]
)
def test_foreign_or_invalid_warm_start_is_refused(warm: WarmStart) -> None:
    with pytest.raises(ModelError, match="warm start rejected"):
        WorldModel(Straight(), "m").imagine(CONTEXT, _maneuvers(2), _noise(2), warm_start=warm, steps=1)


class Broken(DeterministicBackend):
    """Returns whatever the test wants."""

    def __init__(self, outputs: dict[str, NDArray[np.float32]]) -> None:
        self.outputs = outputs

    def run(self, network: str, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        return self.outputs


@pytest.mark.parametrize(
    ("outputs", "error", "message"),
    [
        ({"contxt": CONTEXT}, BackendError, "expected 'context'"),
        ({"context": np.full_like(CONTEXT, np.nan)}, BackendError, "NaN or Inf"),
        ({"context": CONTEXT[:, :3]}, TensorMismatchError, "'context'"),
        ({"context": CONTEXT.astype(np.float64)}, TensorMismatchError, "float64"),
    ],
)
def test_wrong_outputs_are_caught(outputs: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        WorldModel(Broken(outputs), "m").encode(np.zeros(tensors.HISTORY.shape, np.float32))


def test_wrong_input_shape_is_caught_before_the_backend() -> None:
    with pytest.raises(TensorMismatchError, match="'history'"):
        WorldModel(Straight(), "m").encode(np.zeros((1, 4, 64, 64), np.float32))


def test_folding_is_exact_and_ordered_like_pixel_unshuffle() -> None:
    frame = np.random.default_rng(0).random((2, 64, 64)).astype(np.float32)
    folded = folding.fold(frame)
    assert folded.shape == (folding.FOLDED_CHANNELS, 16, 16)
    np.testing.assert_array_equal(folding.unfold(folded), frame)
    channel, row, column, y, x = 1, 2, 3, 5, 7
    assert folded[channel * 16 + row * 4 + column, y, x] == frame[channel, y * 4 + row, x * 4 + column]


class OneFuture(DeterministicBackend):
    """Answers for the first future only."""

    def run(self, network: str, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        return {name: value[:1] for name, value in super().run(network, inputs).items()}


def test_a_runtime_that_drops_futures_is_caught() -> None:
    with pytest.raises(BackendError, match="network 'denoiser' got 8 futures and returned 1 in 'velocity'"):
        WorldModel(OneFuture(), "m").imagine(CONTEXT, _maneuvers(2), _noise(4), steps=2)
