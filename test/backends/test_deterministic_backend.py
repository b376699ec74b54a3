"""The deterministic backend keeps the contract of the real networks."""

from __future__ import annotations

import numpy as np
import pytest

from edge_worldmodel.backends import BACKENDS, open_backend
from edge_worldmodel.core import tensors
from edge_worldmodel.core.errors import BackendError
from edge_worldmodel.core.model.context_channels import present_frame
from edge_worldmodel.core.model.world_model import WorldModel


def _history(rng: np.random.Generator) -> np.ndarray:
    return (rng.random(tensors.HISTORY.shape) < 0.2).astype(np.float32)


def test_context_carries_the_present_frame_exactly(rng: np.random.Generator) -> None:
    history = _history(rng)
    context = WorldModel(open_backend("deterministic"), "m").encode(history)
    np.testing.assert_array_equal(present_frame(context), history[0, -2:])


def test_world_stays_frozen_and_unknown_differs_between_futures(rng: np.random.Generator) -> None:
    model = WorldModel(open_backend("deterministic"), "m")
    occupied, free = np.zeros((2, 64, 64), np.float32)
    occupied[10, 20] = 1.0
    free[30:, :] = 1.0
    history = np.tile(np.stack([occupied, free]), (5, 1, 1))[None]
    context = model.encode(history)
    noise = rng.standard_normal((3, 8, 16, 16)).astype(np.float32)
    future = model.decode(model.imagine(context, np.zeros((2, 8, 3)), noise, steps=3).latents, context)
    assert future.shape == (6, 8, 64, 64)
    assert (future[:, :, 10, 20] == 1.0).all()
    assert (future[:, :, 30:] == 0.0).all()
    assert future[:, :, :30].std(axis=0).max() > 0.01
    np.testing.assert_array_equal(future[:3], future[3:])


@pytest.mark.parametrize("start", [1.0, 0.7, 0.3])
def test_denoising_ends_at_the_same_clip_from_any_level(start: float, rng: np.random.Generator) -> None:
    backend = open_backend("deterministic")
    noise = rng.standard_normal((2, 8, 16, 16)).astype(np.float32)
    context = np.zeros(tensors.CONTEXT.shape, np.float32)
    latent = np.float32((1 - start) * 0.25 + start) * noise
    inputs = {"latent": latent, "context": context, "maneuver": np.zeros((2, 8, 3), np.float32)}
    velocity = backend.run("denoiser", inputs | {"noise_level": np.array([start], np.float32)})["velocity"]
    np.testing.assert_allclose(latent - start * velocity, 0.25 * noise, atol=1e-6)


def test_table_of_backends() -> None:
    assert set(BACKENDS) == {"onnxruntime", "openvino", "tensorrt", "deterministic"}
    with pytest.raises(
        BackendError, match="'abacus' does not exist: choose one of deterministic, onnxruntime, openvino, tensorrt"
    ):
        open_backend("abacus")
    with pytest.raises(BackendError, match="threads = 0"):
        open_backend("onnxruntime", 0)


def test_wrong_names_are_refused() -> None:
    backend = open_backend("deterministic")
    with pytest.raises(BackendError, match="'dreamer' does not exist"):
        backend.run("dreamer", {})
    with pytest.raises(BackendError, match="takes"):
        backend.run("encoder", {"histroy": np.zeros(1, np.float32)})
