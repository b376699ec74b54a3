"""ONNX Runtime on the CPU: the embedded default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from edge_worldmodel.core.errors import BackendError
from edge_worldmodel.core.tensors import NETWORKS, NetworkSpec, TensorSpec

try:
    import onnxruntime as ort
except ImportError as error:  # pragma: no cover - depends on the installation
    raise BackendError("backend 'onnxruntime' is not installed: pip install onnxruntime") from error

PROVIDER = "CPUExecutionProvider"


class OnnxRuntimeBackend:
    """One inference session per network, made from verified bytes."""

    def __init__(self, threads: int = 1) -> None:
        """Use ``threads`` threads inside one operator."""
        self._threads = threads
        self._sessions: dict[str, Any] = {}

    def load(self, networks: Mapping[str, bytes]) -> None:
        """Make a session per network and compare its tensors with the tensor table.

        Raises:
            BackendError: a network is missing, cannot be read, or has other tensors.
        """
        missing = sorted(set(NETWORKS) - set(networks))
        if missing:
            raise BackendError(f"the model has no network {', '.join(missing)}; got {', '.join(sorted(networks))}")
        sessions = {name: self._open(name, networks[name]) for name in NETWORKS}
        for name, session in sessions.items():
            _check_tensors(NETWORKS[name], session)
        self._sessions = sessions

    def run(self, network: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one network on named tensors."""
        session = self._sessions.get(network)
        if session is None:
            raise BackendError(f"network '{network}' is not loaded; loaded: {', '.join(self._sessions) or 'none'}")
        expected = {tensor.name for tensor in NETWORKS[network].inputs}
        if set(inputs) != expected:
            raise BackendError(f"network '{network}' takes {sorted(expected)}, got {sorted(inputs)}")
        names = [tensor.name for tensor in NETWORKS[network].outputs]
        try:
            return dict(zip(names, session.run(names, dict(inputs)), strict=True))
        except Exception as error:  # ONNX Runtime raises many classes; one cause for the caller
            raise BackendError(f"network '{network}' failed in ONNX Runtime: {error}") from error

    def describe(self) -> str:
        """Say which runtime, provider and thread count are in use."""
        return f"ONNX Runtime {ort.__version__}, {PROVIDER}, {self._threads} thread(s)"

    def _open(self, name: str, data: bytes) -> Any:
        try:
            return ort.InferenceSession(data, _session_options(self._threads), providers=[PROVIDER])
        except Exception as error:
            raise BackendError(f"ONNX Runtime cannot load network '{name}' ({len(data)} bytes): {error}") from error


def _session_options(threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    # The arena keeps the few MB of one tick allocated, so no tick waits for the system allocator.
    options.enable_cpu_mem_arena = True
    # The memory pattern plans one block per input shape; the batch of futures is the same from tick to tick.
    options.enable_mem_pattern = True
    # Same recording and seed must give the same plan, bit for bit.
    options.use_deterministic_compute = True
    # Idle threads that spin would take the core from the other nodes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _check_tensors(spec: NetworkSpec, session: Any) -> None:
    for direction, wanted, found in (
        ("inputs", spec.inputs, session.get_inputs()),
        ("outputs", spec.outputs, session.get_outputs()),
    ):
        names = {tensor.name for tensor in found}
        if names != {tensor.name for tensor in wanted}:
            expected = sorted(tensor.name for tensor in wanted)
            raise BackendError(f"network '{spec.name}' has {direction} {sorted(names)}, expected {expected}")
        shapes = {tensor.name: (tensor.shape, tensor.type) for tensor in found}
        for tensor in wanted:
            _check_tensor(spec.name, tensor, *shapes[tensor.name])


def _check_tensor(network: str, wanted: TensorSpec, shape: list[Any], kind: str) -> None:
    # Symbolic dimensions come as text or None; only what is written as a number can disagree.
    fits = len(shape) == len(wanted.shape) and all(
        not isinstance(have, int) or want is None or have == want
        for want, have in zip(wanted.shape, shape, strict=True)
    )
    fixed_batch = any(want is None and isinstance(have, int) for want, have in zip(wanted.shape, shape, strict=False))
    if not fits or fixed_batch or kind != "tensor(float)":
        raise BackendError(
            f"network '{network}', tensor '{wanted.name}': the file has {kind} {shape}, "
            f"expected tensor(float) {list(wanted.shape)} (None is the batch of futures)"
        )
