"""Tiny real ONNX networks with exactly the tensors of the tensor table, and what they compute, in numpy.

Every output is the sum of its inputs' means, times a fixed ramp over everything but the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info
from onnx.numpy_helper import from_array

from edge_worldmodel.core import tensors

Spec = tensors.NetworkSpec
Inputs = Mapping[str, np.ndarray]


def networks() -> dict[str, bytes]:
    """Return every network, serialised, by name."""
    return {name: network(spec) for name, spec in tensors.NETWORKS.items()}


def network(spec: Spec, quantised: bool = False) -> bytes:
    """Return one network; ``quantised`` with 8 bits in its ramp, written as Q/DQ."""
    nodes: list[Any] = []
    constants: list[Any] = []
    for tensor in spec.inputs:
        axes = list(range(1 if None in tensor.shape else 0, len(tensor.shape)))
        nodes.append(make_node("ReduceMean", [tensor.name], [f"{tensor.name}_mean"], axes=axes, keepdims=0))
    for output in spec.outputs:
        constants += [from_array(ramp(output), f"{output.name}_ramp"), from_array(column(output), "column")]
        nodes.append(make_node("Sum", [f"{tensor.name}_mean" for tensor in spec.inputs], ["sum"]))
        nodes.append(make_node("Reshape", ["sum", "column"], ["batch"]))
        factor = _quantise(nodes, constants, f"{output.name}_ramp") if quantised else f"{output.name}_ramp"
        nodes.append(make_node("Mul", ["batch", factor], [output.name]))
    return serialised(spec, nodes, constants)


def _quantise(nodes: list[Any], constants: list[Any], name: str) -> str:
    constants += [from_array(np.float32(1.5 / 127), "scale"), from_array(np.int8(0), "zero")]
    nodes.append(make_node("QuantizeLinear", [name, "scale", "zero"], ["bytes"]))
    nodes.append(make_node("DequantizeLinear", ["bytes", "scale", "zero"], ["coarse"]))
    return "coarse"


def serialised(spec: Spec, nodes: list[Any], constants: list[Any] = ()) -> bytes:
    """Return a network with the tensors of ``spec`` around ``nodes``."""
    described = [[_value(tensor) for tensor in group] for group in (spec.inputs, spec.outputs)]
    graph = make_graph(nodes, spec.name, *described, list(constants))
    model = make_model(graph, opset_imports=[make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def ramp(tensor: tensors.TensorSpec) -> np.ndarray:
    """Return the fixed factor of an output, with a batch of 1."""
    shape = (1, *(size or 1 for size in tensor.shape[1:]))
    return np.linspace(0.5, 1.5, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def column(tensor: tensors.TensorSpec) -> np.ndarray:
    """Return the shape that makes the batch broadcast over an output."""
    return np.array([-1] + [1] * (len(tensor.shape) - 1), np.int64)


def expected(spec: Spec, inputs: Inputs) -> dict[str, np.ndarray]:
    """Compute a network in numpy."""
    total = sum(
        inputs[t.name].mean(axis=tuple(range(1 if None in t.shape else 0, len(t.shape))), dtype=np.float64)
        for t in spec.inputs
    )
    return {t.name: np.reshape(total, column(t)).astype(np.float32) * ramp(t) for t in spec.outputs}


def random_inputs(spec: Spec, futures: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Draw inputs for a batch of futures."""
    rng = np.random.default_rng(seed)
    return {t.name: rng.standard_normal(t.with_batch(futures)).astype(np.float32) for t in spec.inputs}


def with_fixed_batch(spec: Spec, futures: int) -> Spec:
    """Return the same network for one batch only: what a careless export makes."""

    def fixed(group: tuple[tensors.TensorSpec, ...]) -> tuple[tensors.TensorSpec, ...]:
        return tuple(tensors.TensorSpec(t.name, t.with_batch(futures)) for t in group)

    return Spec(spec.name, fixed(spec.inputs), fixed(spec.outputs))


def _value(spec: tensors.TensorSpec) -> Any:
    shape = ["futures" if size is None else size for size in spec.shape]
    return make_tensor_value_info(spec.name, onnx.TensorProto.FLOAT, shape)
