"""TensorRT 10.3 to 11 on an NVIDIA GPU: engines built on the device, buffers allocated once, a CUDA graph per batch."""

from __future__ import annotations

import hashlib
import importlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.backends.cuda_device import CudaDevice, Host, open_cuda_device
from edge_worldmodel.backends.engine_build import Progress, build_engine
from edge_worldmodel.backends.engine_cache import EngineCache, EngineKey
from edge_worldmodel.backends.options import BackendOptions
from edge_worldmodel.backends.tensor_checks import (
    FoundTensor,
    batch_of,
    check_network,
    require_inputs,
    require_networks,
)
from edge_worldmodel.core.errors import BackendError
from edge_worldmodel.core.tensors import NETWORKS, NetworkSpec

MODULES = ("tensorrt", "tensorrt_lean", "tensorrt_lean_bindings")
"""Modules to look for: TensorRT with its builder, then the lean runtime, which runs version-compatible engines only."""
OLDEST = (10, 3)
_MAX_LANES = 4
"""Batch sizes per network that keep a context and a graph; a limit, so that many sizes do not fill the GPU."""
_PROFILE = 0


class EngineMissingError(BackendError):
    """There is no engine for this model, and the lean runtime cannot build one."""


class EngineRefusedError(BackendError):
    """TensorRT cannot use an engine, or the engine has other tensors."""


@dataclass
class _Lane:
    """Execution context of a network for one batch size, and the function that runs it."""

    context: Any
    launch: Callable[[], None]
    graph: bool


class TensorRtBackend:
    """One engine per network; every call launches one graph of input copies, kernels and output copies."""

    def __init__(self, options: BackendOptions, trt: Any = None, device: CudaDevice | None = None) -> None:
        """Open TensorRT and the GPU.

        Args:
            options: precision, batches and the folder of engines.
            trt: the module to use; None: the first of MODULES that is installed.
            device: the GPU; None: the first one.

        Raises:
            BackendError: TensorRT, CUDA or the GPU is missing.
        """
        self._trt = trt or _module()
        # Checked before TensorRT: without a working GPU, its runtime ends the process when it is used.
        self._device = device or open_cuda_device()
        self._options = options
        self._cache = EngineCache(options.engine_dir)
        self._log = _logger(self._trt)
        with self._device.active():
            self._runtime = self._trt.Runtime(self._log)
        # A version-compatible engine contains the runtime as code; engine_cache refuses files of other users.
        self._runtime.engine_host_code_allowed = options.version_compatible
        self._networks: dict[str, _Network] = {}
        self._lock = threading.Lock()
        self._origin: dict[str, str] = {}

    def load(self, networks: Mapping[str, bytes]) -> None:
        """Load or build all engines; networks that were loaded before stay in use if there is an error."""
        self.prepare(networks, lambda _phase, _share: True)

    def prepare(self, networks: Mapping[str, bytes], progress: Progress) -> None:
        """Load or build all engines, and report the progress of builds.

        Raises:
            EngineBuildError: a network cannot be compiled, or the build was cancelled.
            EngineMissingError: an engine is missing, and the lean runtime cannot build it.
            EngineRefusedError: an engine does not run on this device, or has other tensors.
        """
        require_networks(networks)
        engines = {name: self._engine(name, networks[name], progress) for name in NETWORKS}
        with self._device.active():
            ready = {name: self._open(NETWORKS[name], engine) for name, engine in engines.items()}
            for network in ready.values():
                network.lane(self._options.futures)
        with self._lock:
            self._networks = ready

    def is_built(self, networks: Mapping[str, bytes]) -> bool:
        """Return whether all engines are stored, so that load() takes about a second."""
        require_networks(networks)
        return all(self._cache.find(self._key(name, networks[name])).engine is not None for name in NETWORKS)

    def run(self, network: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one network on named tensors."""
        require_inputs(network, self._networks, inputs)
        batch = batch_of(network, inputs) or self._options.futures
        if batch > self._options.max_futures:
            raise BackendError(
                f"network '{network}': {batch} futures, its engine and buffers are made for at most "
                f"{self._options.max_futures}; raise max_futures (the engines are then built again)"
            )
        with self._lock, self._device.active():
            return self._networks[network].run(inputs, batch)

    def describe(self) -> str:
        """Describe version, GPU, precision, and how many batch sizes use CUDA graphs."""
        lanes = [lane for network in self._networks.values() for lane in network.lanes.values()]
        graphs = f"{sum(lane.graph for lane in lanes)} of {len(lanes)} batches as CUDA graphs"
        name = f"{self._trt.__name__.removesuffix('_bindings')} {self._trt.__version__}"
        return f"{name}, {self._device.describe()}, {self._options.precision}, {graphs}"

    def _key(self, name: str, onnx: bytes) -> EngineKey:
        options = self._options
        return EngineKey(
            name, hashlib.sha256(onnx).hexdigest(), self._trt.__version__, self._device.identity(),
            options.precision, options.futures, options.max_futures, options.version_compatible,
        )  # fmt: skip

    def _engine(self, name: str, onnx: bytes, progress: Progress) -> bytes:
        key = self._key(name, onnx)
        found = self._cache.find(key)
        if found.engine is not None:
            return found.engine
        if not hasattr(self._trt, "Builder"):
            raise EngineMissingError(
                f"network '{name}' has no engine here ({found.reason}), and {self._trt.__name__} only runs engines: "
                f"build one with version_compatible on the same GPU model with full TensorRT and copy its engine_dir, "
                f"or use backend: onnxruntime (looked for {key.file_name()})"
            )
        with self._device.active():
            engine = build_engine(self._trt, self._log, NETWORKS[name], onnx, self._options, progress)
        self._cache.keep(key, engine)
        return engine

    def _open(self, spec: NetworkSpec, plan: bytes) -> _Network:
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineRefusedError(
                f"TensorRT {self._trt.__version__} refuses the engine of network '{spec.name}': {self._log.last}; "
                "remove it from engine_dir, and it is built again"
            )
        check_network(spec, *_found(self._trt, engine))
        return _Network(spec, engine, self._device, self._options.max_futures)


class _Network:
    """Engine and buffers of one network, and an execution context per batch size."""

    def __init__(self, spec: NetworkSpec, engine: Any, device: CudaDevice, max_futures: int) -> None:
        """Allocate host and device memory for the largest batch."""
        self.lanes: dict[int, _Lane] = {}
        self._spec = spec
        self._engine = engine
        self._device = device
        tensors = (*spec.inputs, *spec.outputs)
        self._host = {tensor.name: device.pinned(tensor.with_batch(max_futures)) for tensor in tensors}
        self._address = {name: device.allocate(host.nbytes) for name, host in self._host.items()}

    def run(self, inputs: Mapping[str, NDArray[Any]], batch: int) -> dict[str, NDArray[Any]]:
        """Run the network on a batch and return the outputs by name."""
        lane = self.lane(batch)
        for tensor in self._spec.inputs:
            np.copyto(self._part(tensor.name, tensor.with_batch(batch)), inputs[tensor.name], casting="same_kind")
        lane.launch()
        self._device.wait()
        # Copies, because the next call overwrites the buffers.
        return {t.name: self._part(t.name, t.with_batch(batch)).copy() for t in self._spec.outputs}

    def lane(self, batch: int) -> _Lane:
        """Return the execution context for a batch size; the first call creates it in milliseconds."""
        if batch not in self.lanes:
            if len(self.lanes) >= _MAX_LANES:
                self.lanes.pop(next(iter(self.lanes)))
            self.lanes[batch] = self._make_lane(batch)
        return self.lanes[batch]

    def _make_lane(self, batch: int) -> _Lane:
        # A context per batch size, because a graph keeps the memory and shapes of its context.
        context = self._engine.create_execution_context()
        if context is None:
            raise EngineRefusedError(f"network '{self._spec.name}': no context, the GPU has too little free memory")
        context.set_optimization_profile_async(_PROFILE, self._device.stream)
        for tensor in self._spec.inputs:
            if not context.set_input_shape(tensor.name, tensor.with_batch(batch)):
                raise EngineRefusedError(
                    f"network '{self._spec.name}' does not take {batch} futures in '{tensor.name}'"
                )
        for name, address in self._address.items():
            if not context.set_tensor_address(name, address):
                raise EngineRefusedError(f"network '{self._spec.name}' does not take the buffer of '{name}'")
        unknown = context.infer_shapes()
        if unknown:
            raise EngineRefusedError(f"network '{self._spec.name}': TensorRT does not know the shape of {unknown}")

        def enqueue() -> None:
            self._enqueue(context, batch)

        # The first run initialises TensorRT, which cannot be recorded in a graph.
        enqueue()
        self._device.wait()
        try:
            return _Lane(context, self._device.capture(enqueue), True)
        except BackendError:
            # Some kernels cannot be recorded; running them without a graph is slower, which describe() reports.
            return _Lane(context, enqueue, False)

    def _enqueue(self, context: Any, batch: int) -> None:
        for tensor in self._spec.inputs:
            self._device.upload(self._address[tensor.name], self._part(tensor.name, tensor.with_batch(batch)))
        if not context.execute_async_v3(self._device.stream):
            raise BackendError(f"network '{self._spec.name}' failed in TensorRT at {batch} futures: see its log above")
        for tensor in self._spec.outputs:
            self._device.download(self._part(tensor.name, tensor.with_batch(batch)), self._address[tensor.name])

    def _part(self, name: str, shape: tuple[int, ...]) -> Host:
        """Return the first part of a host buffer, for a batch of this shape; it is contiguous."""
        host = self._host[name]
        return host[: shape[0]] if host.shape != shape else host


def _module() -> Any:
    """Import TensorRT.

    Raises:
        BackendError: TensorRT is not installed or too old.
    """
    for name in MODULES:
        try:
            trt = importlib.import_module(name)
        except ImportError:
            continue
        version = tuple(int(part) for part in trt.__version__.split(".")[:2])
        if version < OLDEST:
            raise BackendError(f"TensorRT {trt.__version__} is too old: this program needs 10.3 (JetPack 6.1) or newer")
        return trt
    raise BackendError(
        "backend 'tensorrt' is not installed: it comes with JetPack, elsewhere pip install tensorrt; "
        "backend: onnxruntime works everywhere"
    )


def _logger(trt: Any) -> Any:
    class Log(trt.ILogger):  # type: ignore[misc]
        """Prints warnings and errors, and keeps the last error for messages."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last = "no error was logged"

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.last = msg
            if severity not in (trt.ILogger.Severity.INFO, trt.ILogger.Severity.VERBOSE):
                print(f"TensorRT: {msg}", flush=True)

    return Log()


def _found(trt: Any, engine: Any) -> tuple[list[FoundTensor], list[FoundTensor]]:
    """Return the input and output tensors of an engine."""
    inputs: list[FoundTensor] = []
    outputs: list[FoundTensor] = []
    types = {trt.DataType.FLOAT: "float32", trt.DataType.HALF: "float16"}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        shape = tuple(None if size < 0 else int(size) for size in engine.get_tensor_shape(name))
        dtype = engine.get_tensor_dtype(name)
        group = inputs if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT else outputs
        group.append(FoundTensor(name, shape, types.get(dtype, str(dtype))))
    return inputs, outputs
