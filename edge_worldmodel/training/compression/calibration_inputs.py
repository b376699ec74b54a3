"""Inputs to calibrate quantisation on, recorded while the networks imagine futures of training clips."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge_worldmodel.core.model.world_model import Backend, WorldModel
from edge_worldmodel.core.tensors import LATENT, NETWORKS
from edge_worldmodel.core.types import WarmStart
from edge_worldmodel.training.data.shards import ShardSet
from edge_worldmodel.training.data.splits import ClipSet, to_clips
from edge_worldmodel.training.validation.examples import examples

Inputs = dict[str, NDArray[Any]]
STEPS = 4
"""Denoising steps from noise; clips are also imagined in a single step."""
_FUTURES = 4
_WARM_LEVEL = 0.5
_SHARDS = 8


class RecordingBackend:
    """A backend that records the inputs of every network."""

    def __init__(self, backend: Backend) -> None:
        """Wrap ``backend``, which has networks loaded."""
        self._backend = backend
        self.recorded: dict[str, list[Inputs]] = {name: [] for name in NETWORKS}

    def load(self, networks: Mapping[str, bytes]) -> None:
        """Load the networks of another model."""
        self._backend.load(networks)

    def run(self, network: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Record the inputs and pass them on."""
        self.recorded[network].append(dict(inputs))
        return self._backend.run(network, inputs)

    def describe(self) -> str:
        """Describe the wrapped runtime."""
        return self._backend.describe()


def collect_inputs(backend: Backend, clips: ClipSet, seed: int = 0) -> dict[str, list[Inputs]]:
    """Return the inputs of each network while futures of ``clips`` are imagined, from noise and from warm starts.

    Args:
        backend: backend with the networks in full precision loaded.
        clips: training clips; quality is measured on others.
        seed: seed of the noise.
    """
    recorder, rng = RecordingBackend(backend), np.random.default_rng(seed)
    model = WorldModel(recorder, "calibration")
    for example in tqdm(examples(clips), total=len(clips), desc="calibration", unit="clip"):
        noise = rng.standard_normal(LATENT.with_batch(_FUTURES)).astype(np.float32)
        context = model.encode(example.history[None])
        maneuver = example.maneuver[None].astype(np.float64)
        for steps in (1, STEPS):
            cold = model.imagine(context, maneuver, noise, steps=steps).latents
            model.decode(cold, context)
        warm = WarmStart(0, 0, True, "", "calibration", 0.0, 1.0, _WARM_LEVEL, cold)
        model.imagine(context, maneuver, noise[::-1].copy(), warm_start=warm, steps=2)
    return recorder.recorded


def sample_clips(data: Path, split: str, count: int) -> ClipSet:
    """Return ``count`` clips of a split, spread evenly over a few of its shards, without reading all of them."""
    shards = ShardSet(data, split)
    chosen = np.unique(np.linspace(0, len(shards) - 1, min(_SHARDS, len(shards))).astype(int))
    parts = []
    for shard in chosen:
        arrays = shards.load(int(shard))
        index = np.unique(np.linspace(0, len(arrays["history"]) - 1, -(-count // len(chosen))).astype(int))
        parts.append({name: values[index] for name, values in arrays.items()})
    return to_clips(parts, f"{data}, split '{split}'")
