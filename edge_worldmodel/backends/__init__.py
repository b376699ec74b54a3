"""Inference runtimes behind the Backend protocol of core.world_model, chosen by name and never swapped silently."""

from __future__ import annotations

from collections.abc import Callable

from edge_worldmodel.backends.options import BackendOptions
from edge_worldmodel.core.errors import BackendError
from edge_worldmodel.core.world_model import Backend


def _onnxruntime(threads: int, options: BackendOptions) -> Backend:
    from edge_worldmodel.backends.onnxruntime_backend import OnnxRuntimeBackend  # loaded only when chosen

    return OnnxRuntimeBackend(threads, options.provider)


def _openvino(threads: int, options: BackendOptions) -> Backend:
    from edge_worldmodel.backends.openvino_backend import OpenVinoBackend

    return OpenVinoBackend(threads, options.futures)


def _deterministic(_threads: int, _options: BackendOptions) -> Backend:
    from edge_worldmodel.backends.deterministic_backend import DeterministicBackend

    return DeterministicBackend()


BACKENDS: dict[str, Callable[[int, BackendOptions], Backend]] = {
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "deterministic": _deterministic,
}
"""Every backend by the name that parameters use."""

_DEFAULTS = BackendOptions()


def open_backend(name: str, threads: int = 1, options: BackendOptions = _DEFAULTS) -> Backend:
    """Return the backend called ``name``, still without networks.

    Args:
        name: a key of BACKENDS.
        threads: compute threads for one network; the deterministic backend needs none.
        options: what the runtime may choose beside that.

    Raises:
        BackendError: no such backend, its runtime is not installed, or it lacks the asked-for provider.
    """
    if name not in BACKENDS:
        raise BackendError(f"backend '{name}' does not exist: choose one of {', '.join(sorted(BACKENDS))}")
    if threads < 1:
        raise BackendError(f"backend '{name}': threads = {threads!r}, must be at least 1")
    return BACKENDS[name](threads, options)
