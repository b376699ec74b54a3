"""Golden vectors: outputs of each network for fixed inputs, to check that this device computes the model correctly.

A correct file can still give wrong results: products of bytes saturate on some processors
(docs/adr/0017-a-device-proves-that-it-computes-the-model.md), and drivers and kernels have defects.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.errors import ModelError
from edge_worldmodel.core.model.world_model import Backend
from edge_worldmodel.core.tensors import HISTORY, MANEUVER, MOTION, NETWORKS, NOISE_LEVEL

FUTURES = 2
PLACES = 128
TOLERANCES = {"fp32": 0.02, "fp16": 0.02, "int8": 0.06}
"""Allowed error by precision, see golden_error(); measured errors: docs/runtime.md, "Golden vectors"."""
_GOLDEN_RATIO = 0.6180339887


class GoldenMismatchError(ModelError):
    """The runtime's outputs on this device differ from the model's golden vectors."""


class GoldenMissingError(ModelError):
    """The model has no golden vectors, so its results on this device cannot be checked."""


def golden_inputs(network: str, futures: int) -> dict[str, NDArray[np.float32]]:
    """Return the fixed inputs of a network: sines, because random numbers change between versions of numpy."""
    inputs = {}
    for tensor in NETWORKS[network].inputs:
        shape = tensor.with_batch(futures)
        values = np.sin(np.arange(math.prod(shape)) * 12.9898 + 78.233).reshape(shape)
        if tensor.name in (HISTORY.name, MOTION.name):
            values = (values > 0.8).astype(np.float64)
        elif tensor.name == NOISE_LEVEL.name:
            values = np.array([0.75])
        elif tensor.name == MANEUVER.name:
            values = 3.0 * values
        inputs[tensor.name] = values.astype(np.float32)
    return inputs


def golden_vectors(reference: Backend, precision: str) -> dict[str, dict[str, Any]]:
    """Return the golden vectors of every network, in the form of the manifest.

    Args:
        reference: backend with the networks loaded, which computes them exactly as written.
        precision: precision of the networks, a key of TOLERANCES.
    """
    found = {}
    for name in NETWORKS:
        values = _at_places(reference, name, FUTURES, PLACES)
        rounded = [float(f"{value:.5g}") for value in values]
        found[name] = {"futures": FUTURES, "tolerance": TOLERANCES[precision], "values": rounded}
    return found


def golden_error(backend: Backend, network: str, golden: Mapping[str, Any]) -> float:
    """Return the RMS difference between outputs and golden values, divided by the standard deviation of these."""
    expected = np.array(golden["values"], np.float64)
    found = _at_places(backend, network, int(golden["futures"]), len(expected))
    return float(np.sqrt(np.mean((found - expected) ** 2)) / max(float(expected.std()), 1e-6))


def check_golden(backend: Backend, model_id: str, manifest: Mapping[str, Any]) -> None:
    """Run every network once on its golden inputs and compare.

    Args:
        backend: backend with the model's networks loaded.
        model_id: name of the model, for the message.
        manifest: manifest of the model, from load_model().

    Raises:
        GoldenMissingError: a network has no golden vectors.
        GoldenMismatchError: a network's outputs are wrong on this device.
        BackendError: a network cannot be run.
    """
    for name in NETWORKS:
        golden = manifest["networks"][name].get("golden")
        if golden is None:
            raise GoldenMissingError(
                f"model {model_id}: network '{name}' has no golden vectors in manifest.json, so its "
                "results cannot be checked; add them with 'edge-worldmodel export --golden DIR' on a "
                "machine that you trust"
            )
        error = golden_error(backend, name, golden)
        # "not <=", so that NaN fails.
        if not error <= golden["tolerance"]:
            raise GoldenMismatchError(
                f"model {model_id}: network '{name}' computes something else on this device: its outputs differ from "
                f"the model's golden vectors by {error:.1%} of their spread (allowed: {golden['tolerance']:.1%}), with "
                f"{backend.describe()}; use another model or runtime ('edge-worldmodel place' tries them all)"
            )


def is_golden(value: Any) -> bool:
    """Return whether the field ``golden`` of a manifest is well formed."""
    if not isinstance(value, dict):
        return False
    futures, tolerance, values = value.get("futures"), value.get("tolerance"), value.get("values")
    return (
        type(futures) is int
        and 1 <= futures <= 64
        and _is_number(tolerance)
        and 0.0 < tolerance < 1.0
        and isinstance(values, list)
        and 8 <= len(values) <= 4096
        and all(map(_is_number, values))
    )


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _at_places(backend: Backend, network: str, futures: int, count: int) -> NDArray[np.float64]:
    """Return the output at ``count`` places spread over all axes."""
    output = backend.run(network, golden_inputs(network, futures))[NETWORKS[network].outputs[0].name].ravel()
    # Steps by the golden ratio: equal steps would hit the same rows or channels again and again.
    places = (np.arange(1, count + 1) * _GOLDEN_RATIO % 1.0 * output.size).astype(int)
    return np.asarray(output[places], np.float64)
