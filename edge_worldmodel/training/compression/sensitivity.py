"""Measures how sensitive each layer is to quantisation: the error at the network's output when only it is in INT8."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from tqdm import tqdm

from edge_worldmodel.backends.onnxruntime_backend import session_options
from edge_worldmodel.training.compression.calibration_inputs import Inputs
from edge_worldmodel.training.compression.quantise import Recipe, convolutions, quantisable_nodes, quantise

REST = "everything between the convolutions"
_INPUTS = 12
"""Number of inputs to measure on, spread over those given."""


@dataclass(frozen=True)
class Sensitivity:
    """RMS error at a network's output, relative to the output's standard deviation, when only ``layer`` is in INT8."""

    network: str
    layer: str
    error: float


def measure_sensitivity(
    models: Mapping[str, onnx.ModelProto], inputs: Mapping[str, Sequence[Inputs]], *, signed: bool = False
) -> list[Sensitivity]:
    """Return the error of each convolution alone and of all other nodes together, the largest first.

    Args:
        models: networks by name, as returned by ``quantise.prepare``.
        inputs: inputs by network, for calibration and measurement.
        signed: whether INT8 activations are signed and symmetric.
    """
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, model in models.items():
            cache, layers = Path(folder) / f"{name}.json", convolutions(model)
            used = _spread(inputs[name])
            exact = _outputs(bytes(model.SerializeToString()), used)
            rest = tuple(node for node in quantisable_nodes(model) if node not in layers)
            alone = {layer: (layer,) for layer in layers} | ({REST: rest} if rest else {})
            for layer, nodes in tqdm(alone.items(), desc=f"sensitivity of {name}", unit="layer"):
                rough = _outputs(quantise(model, Recipe(nodes, signed), used, cache), used)
                found.append(Sensitivity(name, layer, float(np.sqrt(np.mean((rough - exact) ** 2)) / exact.std())))
    return sorted(found, key=lambda sensitivity: -sensitivity.error)


def _spread(inputs: Sequence[Inputs]) -> list[Inputs]:
    return [inputs[int(i)] for i in np.unique(np.linspace(0, len(inputs) - 1, _INPUTS).astype(int))]


def _outputs(network: bytes, inputs: Sequence[Inputs]) -> np.ndarray:
    options = session_options(1)
    # Without optimisation, because it would also quantise weights of other layers that lie between quantised ones.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, each)[0].ravel() for each in inputs])
