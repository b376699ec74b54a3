"""The share of this machine's best convolution throughput that the networks reach with ONNX Runtime on the CPU.

The best throughput is that of ONNX Runtime on single 3 x 3 convolutions of several widths and sizes. Chains of them are
timed in turn with the networks, with the same threads and precision (8 bits where the networks' convolutions are
quantised). A multiplication and an addition count as two operations.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
from tqdm import tqdm

from edge_worldmodel.backends.onnxruntime_backend import session_options
from edge_worldmodel.backends.timing import Workload
from edge_worldmodel.core.errors import EdgeWorldModelError
from edge_worldmodel.core.tensors import NETWORKS

SHAPES = ((32, 32, 16), (32, 64, 16), (32, 96, 16), (32, 128, 16), (32, 128, 8), (8, 64, 32), (1, 128, 64))
"""Batch, channels and cells per side of the single convolutions: those of the networks, and larger ones."""
_CHAINED = 4
_KERNEL = 3
_OPSET = 17


class ConvolutionError(EdgeWorldModelError):
    """The share cannot be measured, for example because package onnx is missing."""


@dataclass(frozen=True)
class TimedNetwork:
    """A network to time: its session, its inputs, and the operations of one call."""

    session: Any
    inputs: Mapping[str, np.ndarray[Any, Any]]
    operations: float

    def time_s(self, clock_s: Callable[[], float]) -> float:
        """Return the time of one call."""
        begin_s = clock_s()
        self.session.run(None, dict(self.inputs))
        return clock_s() - begin_s


def measure_share(
    networks: Mapping[str, bytes], workload: Workload, threads: int, rounds: int, cpu_time: bool = False
) -> dict[str, Any]:
    """Measure, and return the report's key convolution_share.

    Args:
        networks: ONNX files by name.
        workload: batch and steps of a tick.
        threads: of ONNX Runtime.
        rounds: how often everything is timed, in turn; the medians are used.
        cpu_time: processor time instead of elapsed time (only comparable with one thread).

    Raises:
        ConvolutionError: package onnx is missing, or shapes in a network are unknown.
    """
    onnx = _onnx()
    models = {name: onnx.load_from_string(data) for name, data in networks.items()}
    int8 = any(_is_quantised(model) for model in models.values())
    timed = {name: _network(onnx, name, model, workload.futures, threads) for name, model in models.items()}
    singles = {shape: single(shape, int8, threads) for shape in SHAPES}
    clock_s = time.process_time if cpu_time else time.perf_counter
    everything = [*timed.values(), *singles.values()]
    taken_s = _in_turn(everything, rounds, clock_s)
    rates = [work.operations / seconds for work, seconds in zip(everything, taken_s, strict=True)]
    of_network = dict(zip(timed, rates, strict=False))
    of_single = dict(zip(singles, rates[len(timed) :], strict=True))
    best = max(of_single, key=lambda shape: of_single[shape])
    calls = workload.calls()
    operations = sum(timed[name].operations * calls[name] for name in timed)
    seconds = sum(of * calls[name] for name, of in zip(timed, taken_s, strict=False))
    return {
        "share": operations / seconds / of_single[best],
        "networks": {name: rate / of_single[best] for name, rate in of_network.items()},
        "best_gflops": of_single[best] / 1e9,
        "best_shape": _named(best),
        "network_gflops": {name: rate / 1e9 for name, rate in of_network.items()},
        "single_gflops": {_named(shape): rate / 1e9 for shape, rate in of_single.items()},
        "mflop_per_call": {name: work.operations / 1e6 for name, work in timed.items()},
        "precision": "int8" if int8 else "fp32",
        "threads": threads,
        "clock": "CPU time" if cpu_time else "elapsed",
    }


def _in_turn(timed: list[TimedNetwork], rounds: int, clock_s: Callable[[], float]) -> list[float]:
    """Return the median seconds of one call of each."""
    taken: list[list[float]] = [[] for _ in timed]
    for number in tqdm(range(-2, rounds), desc="convolutions", unit="round", leave=False):
        for times, work in zip(taken, timed, strict=True):
            seconds = work.time_s(clock_s)
            times.extend([seconds] if number >= 0 else [])
    return [float(np.median(times)) for times in taken]


def _network(onnx: Any, name: str, model: Any, futures: int, threads: int) -> TimedNetwork:
    rng = np.random.default_rng(0)
    inputs = {t.name: rng.random(t.with_batch(futures), np.float32) for t in NETWORKS[name].inputs}
    session = _session(model.SerializeToString(), threads)
    return TimedNetwork(
        session, inputs, operations_of(onnx, model, {key: value.shape for key, value in inputs.items()})
    )


def operations_of(onnx: Any, model: Any, shapes: Mapping[str, tuple[int, ...]]) -> float:
    """Return the operations of all convolutions and matrix products in one call with these input shapes.

    Raises:
        ConvolutionError: the shape of such an operator's tensors is unknown.
    """
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in fixed.graph.input:
        for dimension, size in zip(value.type.tensor_type.shape.dim, shapes.get(value.name, ()), strict=False):
            dimension.dim_value = size
    for value in [*fixed.graph.output, *fixed.graph.value_info]:
        value.type.tensor_type.ClearField("shape")
    found = onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph
    sizes = {t.name: tuple(t.dims) for t in found.initializer}
    for value in [*found.input, *found.value_info, *found.output]:
        sizes[value.name] = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
    return sum(_operations(node, sizes) for node in found.node)


def _operations(node: Any, sizes: Mapping[str, tuple[int, ...]]) -> float:
    if node.op_type not in ("Conv", "ConvTranspose", "MatMul", "Gemm"):
        return 0.0
    first, second, output = (sizes.get(name, ()) for name in (node.input[0], node.input[1], node.output[0]))
    if not (first and second and output and all((*first, *second, *output))):
        shapes = f"shapes {first}, {second}, {output} are not all known"
        raise ConvolutionError(f"operator {node.name or node.op_type}: {shapes}")
    if node.op_type == "Conv":
        return 2.0 * float(np.prod(output)) * float(np.prod(second[1:]))
    if node.op_type == "ConvTranspose":
        return 2.0 * float(np.prod(first)) * float(np.prod(second[1:]))
    across = {a.name: a.i for a in node.attribute}.get("transA", 0)
    return 2.0 * float(np.prod(output)) * first[0 if across else -1]


def single(shape: tuple[int, int, int], int8: bool, threads: int) -> TimedNetwork:
    """Return a chain of equal convolutions, so long that layout changes at its ends are a small part."""
    batch, channels, cells = shape
    size = (batch, channels, cells, cells)
    session = _session(chain(size, int8), threads)
    operations = _CHAINED * 2.0 * float(np.prod(size)) * channels * _KERNEL**2
    return TimedNetwork(session, {"x": np.random.default_rng(0).random(size, np.float32)}, operations)


def _session(data: bytes, threads: int) -> Any:
    return ort.InferenceSession(data, session_options(threads), providers=["CPUExecutionProvider"])


def chain(size: tuple[int, ...], int8: bool) -> bytes:
    """Return a chain of convolutions as an ONNX file."""
    onnx = _onnx()
    helper, rng = onnx.helper, np.random.default_rng(0)
    channels = size[1]
    weights = rng.normal(0.0, 0.05, (channels, channels, _KERNEL, _KERNEL)).astype(np.float32)
    fixed = [onnx.numpy_helper.from_array(weights, "w")]
    nodes, name = [], "x"
    if int8:
        steps = np.clip(np.round(weights / 0.002), -127, 127).astype(np.int8)
        fixed = [onnx.numpy_helper.from_array(value, key) for key, value in (
            ("w8", steps), ("ws", np.full(channels, 0.002, np.float32)), ("wz", np.zeros(channels, np.int8)),
            ("s", np.float32(0.02)), ("z", np.uint8(128)),
        )]  # fmt: skip
        nodes.append(helper.make_node("DequantizeLinear", ["w8", "ws", "wz"], ["w"], axis=0))
        nodes += _rounded(helper, "x", "x0")
        name = "x0"
    for number in range(_CHAINED):
        end = f"y{number}"
        nodes.append(helper.make_node("Conv", [name, "w"], [end], pads=[1, 1, 1, 1], kernel_shape=[_KERNEL] * 2))
        name = end
        if int8:
            nodes += _rounded(helper, end, f"{end}r")
            name = f"{end}r"
    described = [helper.make_tensor_value_info(key, onnx.TensorProto.FLOAT, size) for key in ("x", name)]
    graph = helper.make_graph(nodes, "chain", described[:1], described[1:], fixed)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data


def _rounded(helper: Any, begin: str, end: str) -> list[Any]:
    """Return the two operators that round a tensor to 8 bits."""
    quantise = helper.make_node("QuantizeLinear", [begin, "s", "z"], [f"{begin}q"])
    return [quantise, helper.make_node("DequantizeLinear", [f"{begin}q", "s", "z"], [end])]


def _is_quantised(model: Any) -> bool:
    return any(node.op_type in ("QuantizeLinear", "QLinearConv", "ConvInteger") for node in model.graph.node)


def _named(shape: tuple[int, int, int]) -> str:
    batch, channels, cells = shape
    return f"{batch} x {channels} x {cells} x {cells}"


def _onnx() -> Any:
    try:
        import onnx
        import onnx.shape_inference
    except ImportError as error:
        raise ConvolutionError(
            "convolution_share needs package onnx to make convolutions: pip install 'edge_worldmodel[train]', "
            "or pip install onnx"
        ) from error
    return onnx
