"""Inference runtimes behind the Backend protocol of core.model.world_model, chosen by name, never swapped silently."""

from __future__ import annotations

from collections.abc import Callable

from edge_worldmodel.backends.options import BackendOptions
from edge_worldmodel.core.errors import BackendError
from edge_worldmodel.core.model.world_model import Backend

Note = Callable[[str], None]
"""Called with a message when a backend changes the runtime that it uses."""
Factory = Callable[[int, BackendOptions, Note], Backend]


def _onnxruntime(threads: int, options: BackendOptions, _note: Note) -> Backend:
    from edge_worldmodel.backends.onnxruntime_backend import OnnxRuntimeBackend  # imported only when chosen

    return OnnxRuntimeBackend(threads, options.provider)


def _openvino(threads: int, options: BackendOptions, _note: Note) -> Backend:
    from edge_worldmodel.backends.openvino_backend import OpenVinoBackend

    return OpenVinoBackend(threads, options.futures)


def _tensorrt(threads: int, options: BackendOptions, note: Note) -> Backend:
    from edge_worldmodel.backends.handover import HandoverBackend
    from edge_worldmodel.backends.onnxruntime_backend import OnnxRuntimeBackend
    from edge_worldmodel.backends.tensorrt_backend import TensorRtBackend

    return HandoverBackend(TensorRtBackend(options), OnnxRuntimeBackend(threads), note, options.futures)


def _deterministic(_threads: int, _options: BackendOptions, _note: Note) -> Backend:
    from edge_worldmodel.backends.deterministic_backend import DeterministicBackend

    return DeterministicBackend()


BACKENDS: dict[str, Factory] = {
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "tensorrt": _tensorrt,
    "deterministic": _deterministic,
}
"""Every backend by the name that parameters use."""

_DEFAULTS = BackendOptions()


def open_backend(
    name: str, threads: int = 1, options: BackendOptions = _DEFAULTS, note: Note = lambda _: None
) -> Backend:
    """Return the backend called ``name``, without networks.

    Args:
        name: a key of BACKENDS.
        threads: compute threads for one network; the deterministic backend needs none.
        options: further settings.
        note: called when the backend changes its runtime (tensorrt does, after its first build).

    Raises:
        BackendError: no such backend, its runtime is not installed, or it lacks the asked-for provider.
    """
    if name not in BACKENDS:
        raise BackendError(f"backend '{name}' does not exist: choose one of {', '.join(sorted(BACKENDS))}")
    if threads < 1:
        raise BackendError(f"backend '{name}': threads = {threads!r}, must be at least 1")
    return BACKENDS[name](threads, options, note)
