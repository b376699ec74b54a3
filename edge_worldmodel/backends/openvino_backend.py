"""OpenVINO on the CPU (extra `openvino`), with the same ONNX files.

Importing openvino starts a process that reports to an analytics server on the internet. The package that does this is
blocked before the import; OpenVINO then works without it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.backends.tensor_checks import (
    FoundTensor,
    batch_of,
    check_network,
    require_inputs,
    require_networks,
)
from edge_worldmodel.core.errors import BackendError
from edge_worldmodel.core.tensors import NETWORKS

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: "not installed"

try:
    import openvino as ov
except ImportError as error:
    raise BackendError(
        "backend 'openvino' is not installed: pip install 'edge_worldmodel[openvino]', or use backend: onnxruntime"
    ) from error

_DEVICE = "CPU"
_MAX_COMPILED = 24
"""Limit of compiled models, for three networks and eight batches, so that many batch sizes do not fill the memory."""
_PORT_TYPES = {"f32": "float32", "f16": "float16"}


class OpenVinoBackend:
    """One compiled model per network and batch size.

    The batch is fixed, because with a dynamic one OpenVINO 2026.4.1 adds batch and context wrongly and returns one
    future instead of all. Further batch sizes are compiled when they first occur.
    """

    def __init__(self, threads: int = 1, futures: int = 32) -> None:
        """Use ``threads`` threads for one network and expect batches of ``futures``."""
        self._threads = threads
        self._futures = futures
        self._core = ov.Core()
        self._models: dict[str, Any] = {}
        self._requests: dict[tuple[str, int], Any] = {}

    def load(self, networks: Mapping[str, bytes]) -> None:
        """Read every network, compare its tensors with the tensor table and compile it for the expected batch.

        Networks that were loaded before stay in use if there is an error.

        Raises:
            BackendError: a network is missing, cannot be read, or has other tensors.
        """
        require_networks(networks)
        models = {name: self._read(name, networks[name]) for name in NETWORKS}
        for name, model in models.items():
            check_network(NETWORKS[name], _found(model.inputs), _found(model.outputs))
        requests = {(n, self._futures): self._compile(n, model, self._futures) for n, model in models.items()}
        self._models, self._requests = models, requests

    def run(self, network: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one network on named tensors."""
        require_inputs(network, self._models, inputs)
        request = self._request(network, batch_of(network, inputs) or self._futures)
        try:
            # Inputs are read in place; infer() waits, so they are kept long enough.
            request.infer({name: np.ascontiguousarray(value) for name, value in inputs.items()}, share_inputs=True)
            # Copies, because the request reuses its output memory.
            return {tensor.name: request.get_tensor(tensor.name).data.copy() for tensor in NETWORKS[network].outputs}
        except Exception as error:  # OpenVINO raises RuntimeError for all errors
            raise BackendError(f"network '{network}' failed in OpenVINO: {error}") from error

    def describe(self) -> str:
        """Describe version, device and threads."""
        return f"OpenVINO {ov.get_version().split('-')[0]}, {_DEVICE}, {self._threads} thread(s)"

    def _request(self, network: str, futures: int) -> Any:
        key = (network, futures)
        if key not in self._requests:
            if len(self._requests) >= _MAX_COMPILED:
                self._requests.pop(next(iter(self._requests)))
            self._requests[key] = self._compile(network, self._models[network], futures)
        return self._requests[key]

    def _read(self, name: str, data: bytes) -> Any:
        try:
            return self._core.read_model(model=data)
        except Exception as error:
            raise BackendError(f"OpenVINO cannot read network '{name}' ({len(data)} bytes): {error}") from error

    def _compile(self, name: str, model: Any, futures: int) -> Any:
        try:
            fixed = model.clone()
            fixed.reshape({tensor.name: list(tensor.with_batch(futures)) for tensor in NETWORKS[name].inputs})
            return self._core.compile_model(fixed, _DEVICE, compile_properties(self._threads)).create_infer_request()
        except Exception as error:
            raise BackendError(f"OpenVINO cannot compile network '{name}' for {futures} futures: {error}") from error


def compile_properties(threads: int) -> dict[str, Any]:
    """Return OpenVINO's settings for a network."""
    return {
        # One request at a time, with the lowest latency.
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": str(threads),
        # Threads are not pinned, because other nodes use the same cores.
        "ENABLE_CPU_PINNING": "NO",
        # Processors with bfloat16 would use it, with other results than those that were evaluated.
        "INFERENCE_PRECISION_HINT": "f32",
    }


def _found(ports: list[Any]) -> list[FoundTensor]:
    return [
        FoundTensor(
            port.any_name,
            tuple(None if size.is_dynamic else size.get_length() for size in port.partial_shape),
            _PORT_TYPES.get(port.element_type.get_type_name(), port.element_type.get_type_name()),
        )
        for port in ports
    ]
