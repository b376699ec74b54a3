"""Forecast methods to evaluate: an exported model with several numbers of denoising steps, and reference models.

Reference models are in models/reference, where nodes do not look for models.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.backends import open_backend
from edge_worldmodel.core.model.world_model import Backend, WorldModel
from edge_worldmodel.core.tensors import LATENT, OFF_GRID_M
from edge_worldmodel.core.types import Tensor
from edge_worldmodel.models.golden import check_golden
from edge_worldmodel.models.manifest import MANIFEST_NAME, load_model
from edge_worldmodel.models.shipped import models_folder
from edge_worldmodel.training.validation.examples import Example

FUTURES = 16
STEPS = (1, 2, 4)
TEACHER_STEPS = 16
OURS, TEACHER, DETERMINISTIC, UNCONDITIONED = "ours", "ours_teacher", "deterministic", "ours_unconditioned"
"""Names of methods. ``ours`` takes the number of steps from the model's manifest, ours_<n>_step takes n steps.
``ours_unconditioned`` is the same model without the maneuver."""

Method = Callable[[Example], Tensor]
"""From a clip to futures (N, H, 64, 64); N is 1 for methods that give a probability per cell only."""


class Forecaster:
    """Imagines futures of a clip with an exported model, for the maneuver that was really driven."""

    def __init__(
        self, model: WorldModel, steps: int, futures: int = FUTURES, seed: int = 0, *, withheld: bool = False
    ) -> None:
        """Forecast with a model.

        Args:
            model: loaded model.
            steps: denoising steps.
            futures: number of futures; 0: one future without noise.
            seed: seed of the noise.
            withheld: True to leave the maneuver out.
        """
        self._model, self._steps, self._futures, self._withheld = model, steps, futures, withheld
        self._rng = np.random.default_rng(seed)

    def __call__(self, example: Example) -> Tensor:
        """Return futures (N, H, 64, 64) of a clip."""
        return self.imagine(example.history, example.maneuver)

    def imagine(self, history: Tensor, driven: NDArray[np.float32]) -> Tensor:
        """Return futures (N, H, 64, 64) of a history (10, 64, 64) under a maneuver (H, 3)."""
        context = self._model.encode(history[None])
        noise = self._rng.standard_normal(LATENT.with_batch(self._futures)).astype(np.float32)
        if not self._futures:
            noise = np.zeros(LATENT.with_batch(1), np.float32)
        maneuver = driven[None].astype(np.float64)
        if self._withheld:
            maneuver[:] = OFF_GRID_M, OFF_GRID_M, 0.0
        latents = self._model.imagine(context, maneuver, noise, steps=self._steps).latents
        return self._model.decode(latents, context)


def our_methods(model: WorldModel, manifest: dict[str, Any], seed: int = 0) -> dict[str, Forecaster]:
    """Return the model as methods: with its own number of steps, with others, and without the maneuver."""
    own = int(manifest.get("denoise_steps", max(STEPS)))
    others = {f"{OURS}_{steps}_step": Forecaster(model, steps, seed=seed) for steps in STEPS if steps != own}
    unconditioned = Forecaster(model, own, seed=seed, withheld=True)
    return {OURS: Forecaster(model, own, seed=seed), **others, UNCONDITIONED: unconditioned}


def open_networks(directory: Path, threads: int) -> tuple[Backend, dict[str, Any]]:
    """Verify and load a model directory, check its golden vectors, and return the backend and the manifest."""
    verified = load_model(directory)
    backend = open_backend("onnxruntime", threads)
    backend.load(verified.networks)
    check_golden(backend, verified.model_id, verified.manifest)
    return backend, verified.manifest


def open_model(directory: Path, threads: int) -> tuple[WorldModel, dict[str, Any]]:
    """Return the model of a directory and its manifest, opened by ``open_networks``."""
    backend, manifest = open_networks(directory, threads)
    return WorldModel(backend, manifest["model_id"]), manifest


def reference_methods(
    given: dict[str, Path | None], threads: int, seed: int = 0, models: Path | None = None
) -> tuple[dict[str, Forecaster], list[str]]:
    """Return the teacher in 16 steps and the regression in one step, and a line of text for each that is missing.

    Args:
        given: folder by name (TEACHER or DETERMINISTIC); None: the one in models/reference, if it exists.
        threads: compute threads.
        seed: seed of the noise.
        models: folder of models; None: the shipped models.
    """
    found, missing = {}, []
    for name, folder in given.items():
        where = folder or (models or models_folder()) / "reference" / name.removeprefix(f"{OURS}_")
        if folder is None and not (where / MANIFEST_NAME).is_file():
            missing.append(f"no {name}: there is no model in {where}")
            continue
        model, _ = open_model(where, threads)
        steps, futures = (TEACHER_STEPS, FUTURES) if name == TEACHER else (1, 0)
        found[name] = Forecaster(model, steps, futures, seed)
    return found, missing
