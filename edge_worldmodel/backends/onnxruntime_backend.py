"""ONNX Runtime: the default on the CPU, and other execution providers if the installed build has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from edge_worldmodel.backends.tensor_checks import FoundTensor, check_network, require_inputs, require_networks
from edge_worldmodel.core.errors import BackendError
from edge_worldmodel.core.tensors import NETWORKS

try:
    import onnxruntime as ort
except ImportError as error:  # pragma: no cover - depends on the installation
    raise BackendError("backend 'onnxruntime' is not installed: pip install onnxruntime") from error

PROVIDERS: dict[str, tuple[str, str]] = {
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "tensorrt": ("TensorrtExecutionProvider", "onnxruntime-gpu"),
    "openvino": ("OpenVINOExecutionProvider", "onnxruntime-openvino"),
    "qnn": ("QNNExecutionProvider", "onnxruntime-qnn"),
    "coreml": ("CoreMLExecutionProvider", "onnxruntime (macOS)"),
}
"""By the name used in parameters: ONNX Runtime's name of the execution provider, and the package that has it."""

DISABLED_OPTIMISERS = ("WeightBiasQuantization",)
"""Disabled because it quantises the weights of layers that the model keeps in full precision."""
_CPU = PROVIDERS["cpu"][0]
_TENSOR_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16"}
_ASSIGNMENT = "session.record_ep_graph_assignment_info"


class ProviderMissingError(BackendError):
    """The requested execution provider is not in the installed ONNX Runtime, or does not work on this machine."""


class OnnxRuntimeBackend:
    """One inference session per network."""

    def __init__(self, threads: int = 1, provider: str = "cpu", as_written: bool = False) -> None:
        """Use one of PROVIDERS.

        Args:
            threads: threads inside one operator.
            provider: name of the execution provider.
            as_written: compute operator by operator as in the file, INT8 in floating point; slow, but with the same
                results on every processor.

        Raises:
            BackendError: no such provider.
            ProviderMissingError: the installed ONNX Runtime lacks it.
        """
        self._provider = _provider(provider)
        self._threads = threads
        self._as_written = as_written
        self._sessions: dict[str, Any] = {}

    def load(self, networks: Mapping[str, bytes]) -> None:
        """Create the sessions and compare their tensors with the tensor table.

        Networks that were loaded before stay in use if there is an error.

        Raises:
            BackendError: a network is missing, cannot be read, or has other tensors.
            ProviderMissingError: ONNX Runtime did not use the provider.
        """
        require_networks(networks)
        sessions = {name: self._open(name, networks[name]) for name in NETWORKS}
        for name, session in sessions.items():
            check_network(NETWORKS[name], _found(session.get_inputs()), _found(session.get_outputs()))
        self._sessions = sessions

    def run(self, network: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one network on named tensors."""
        require_inputs(network, self._sessions, inputs)
        names = [tensor.name for tensor in NETWORKS[network].outputs]
        try:
            return dict(zip(names, self._sessions[network].run(names, dict(inputs)), strict=True))
        except Exception as error:  # ONNX Runtime raises many kinds of error
            raise BackendError(f"network '{network}' failed in ONNX Runtime: {error}") from error

    def describe(self) -> str:
        """Describe version, provider and threads, and how many operators run on the CPU instead of the provider."""
        noted = self._sessions.values() if self._provider != _CPU else ()
        shares = sum((_nodes_by_provider(session) for session in noted), Counter[str]())
        elsewhere = sum(count for name, count in shares.items() if name != self._provider)
        left = f", {elsewhere} of {sum(shares.values())} operators on the CPU" if elsewhere else ""
        return f"ONNX Runtime {ort.__version__}, {self._provider}, {self._threads} thread(s){left}"

    def _open(self, name: str, data: bytes) -> Any:
        options = session_options(self._threads, note_assignment=self._provider != _CPU)
        if self._as_written:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            session = ort.InferenceSession(
                data, options, providers=[self._provider], disabled_optimizers=list(DISABLED_OPTIMISERS)
            )
        except Exception as error:
            raise BackendError(f"ONNX Runtime cannot load network '{name}' ({len(data)} bytes): {error}") from error
        # If a provider's libraries cannot be loaded, ONNX Runtime only warns and uses the CPU.
        if session.get_providers()[0] != self._provider:
            raise ProviderMissingError(
                f"ONNX Runtime has {self._provider} but cannot use it here, and took {session.get_providers()}: "
                "its libraries or its device are missing (run edge-worldmodel doctor); provider: cpu works"
            )
        return session


def available_providers() -> list[str]:
    """Return the keys of PROVIDERS that the installed ONNX Runtime has."""
    installed = set(ort.get_available_providers())
    return [name for name, (provider, _) in PROVIDERS.items() if provider in installed]


def _provider(name: str) -> str:
    if name not in PROVIDERS:
        raise BackendError(f"execution provider '{name}' does not exist: choose one of {', '.join(PROVIDERS)}")
    provider, package = PROVIDERS[name]
    if provider not in ort.get_available_providers():
        raise ProviderMissingError(
            f"ONNX Runtime {ort.__version__} as installed here has no {provider} (asked for: '{name}'); "
            f"available: {', '.join(available_providers())}. It comes with the package {package}"
        )
    return provider


def session_options(threads: int, note_assignment: bool = False) -> Any:
    """Return the session options for a network.

    Args:
        threads: threads inside one operator.
        note_assignment: record which operator runs on which provider, for describe().
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    # The networks are chains of operators: there is nothing to run in parallel.
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # All optimisations, also layout changes for this processor (docs/runtime.md): sessions are created on the
    # device and never shipped.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    # The arena keeps the memory of a tick allocated, so that no tick waits for the system allocator.
    options.enable_cpu_mem_arena = True
    # The memory pattern plans one block per input shape; the batch rarely changes between ticks.
    options.enable_mem_pattern = True
    # The same recording and seed must give the same plan, bit for bit.
    options.use_deterministic_compute = True
    # Spinning idle threads would take cores from other nodes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if note_assignment:
        options.add_session_config_entry(_ASSIGNMENT, "1")
    return options


def _nodes_by_provider(session: Any) -> Counter[str]:
    """Count operators by the provider that runs them; empty before ONNX Runtime 1.24."""
    counts: Counter[str] = Counter()
    for part in getattr(session, "get_provider_graph_assignment_info", list)():
        counts[part.ep_name] += len(part.get_nodes())
    return counts


def _found(described: list[Any]) -> list[FoundTensor]:
    # Dynamic dimensions are text or None.
    return [
        FoundTensor(
            tensor.name,
            tuple(size if isinstance(size, int) else None for size in tensor.shape),
            _TENSOR_TYPES.get(tensor.type, tensor.type),
        )
        for tensor in described
    ]
