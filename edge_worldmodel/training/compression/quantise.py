"""Post-training quantisation of one network to INT8, as Q/DQ operators around the nodes computed in bytes.

Weights are symmetric per output channel and have 7 bits, so that products saturate on no processor
(compression.saturation). Activations have one scale per tensor. By default they are unsigned with a zero point, as
ONNX Runtime's VNNI kernels need them; a ReLU then costs nothing. TensorRT needs them signed and symmetric.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from edge_worldmodel.training.compression.calibration_inputs import Inputs

BETWEEN = frozenset({"Add", "Mul", "Relu", "Reshape", "Sigmoid", "Transpose"})
"""Operators that are computed in bytes when their input is in bytes."""
LOGIT_RANGE = 8.0
"""Range of log odds in INT8; beyond it a probability is within 0.0003 of 0 or 1."""
PERCENTILE = 99.99
"""Percentage of activations inside the INT8 range; the outermost are clipped. With a range for all of them the steps
are so coarse that imagined frames flicker (docs/compression.md)."""
_HALVED_NUMBERS = 1024
"""FP32 weights with at least so many numbers are stored in half precision."""


@dataclass(frozen=True)
class Recipe:
    """How to quantise one network: the nodes, and whether activations are signed and symmetric."""

    nodes: tuple[str, ...]
    signed: bool = False


class _Reader(CalibrationDataReader):
    """Gives the calibrator the recorded inputs."""

    def __init__(self, inputs: Sequence[Inputs]) -> None:
        self._inputs: Iterator[Inputs] = iter(inputs)

    def get_next(self) -> Inputs | None:
        """Return the inputs of the next call, or None after the last."""
        return next(self._inputs, None)


def prepare(network: bytes) -> onnx.ModelProto:
    """Return the network with all shapes inferred and every node named."""
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        before.write_bytes(network)
        quant_pre_process(str(before), str(after), skip_optimization=True, skip_symbolic_shape=True)
        model = onnx.load(after)
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    return model


def convolutions(model: onnx.ModelProto) -> list[str]:
    """Return the names of the convolutions."""
    return [node.name for node in model.graph.node if node.op_type == "Conv"]


def quantisable_nodes(model: onnx.ModelProto) -> list[str]:
    """Return the nodes that can be computed in bytes: convolutions, and the nodes after them that pass bytes on."""
    reached: set[str] = set()
    found = []
    for node in model.graph.node:
        follows = node.op_type in BETWEEN and any(name in reached for name in node.input)
        if node.op_type == "Conv" or follows:
            reached |= set(node.output)
            found.append(node.name)
    return found


def quantise(model: onnx.ModelProto, recipe: Recipe, inputs: Sequence[Inputs], cache: Path | None = None) -> bytes:
    """Return a network with the recipe's nodes in INT8.

    Args:
        model: network in full precision, from prepare().
        recipe: nodes to quantise.
        inputs: inputs to calibrate on.
        cache: file that keeps the calibrated ranges for further calls with the same network and inputs.
    """
    kind = QuantType.QInt8 if recipe.signed else QuantType.QUInt8
    level = logging.getLogger().level
    # A copy, because the quantiser removes the weights from its argument.
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "quantised.onnx"
        logging.getLogger().setLevel(logging.ERROR)  # it warns of choices that are intended
        with contextlib.redirect_stdout(io.StringIO()):
            quantize_static(
                copy.deepcopy(model), out, _Reader(inputs), quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv", *sorted(BETWEEN)], per_channel=True, activation_type=kind,
                weight_type=QuantType.QInt8, reduce_range=True, nodes_to_quantize=list(recipe.nodes),
                calibrate_method=CalibrationMethod.Percentile, extra_options=_options(model, recipe),
                calibration_cache_path=cache,
            )  # fmt: skip
        logging.getLogger().setLevel(level)
        quantised = onnx.load(out)
    _halve_floats(quantised)
    return bytes(quantised.SerializeToString())


def _options(model: onnx.ModelProto, recipe: Recipe) -> dict[str, Any]:
    bounds = [{"rmin": np.float32(-LOGIT_RANGE), "rmax": np.float32(LOGIT_RANGE)}]
    logits = {node.input[0]: bounds for node in model.graph.node if node.op_type == "Sigmoid"}
    return {"ActivationSymmetric": recipe.signed, "WeightSymmetric": True, "TensorQuantOverrides": logits,
            "CalibPercentile": PERCENTILE}  # fmt: skip


def _halve_floats(model: onnx.ModelProto) -> None:
    """Store large float weights in half precision; the runtime converts them when it loads the network."""
    graph = model.graph
    kept = []
    for tensor in graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or np.prod(tensor.dims) < _HALVED_NUMBERS:
            kept.append(tensor)
            continue
        name = f"{tensor.name}_half"
        kept.append(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), name))
        cast = helper.make_node("Cast", [name], [tensor.name], f"{tensor.name}_cast", to=onnx.TensorProto.FLOAT)
        graph.node.insert(0, cast)
    del graph.initializer[:]
    graph.initializer.extend(kept)
