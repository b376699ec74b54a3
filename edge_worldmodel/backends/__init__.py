"""Inference runtimes behind the Backend protocol of core.world_model, chosen by name and never swapped silently."""

from __future__ import annotations

from collections.abc import Callable

from edge_worldmodel.core.errors import BackendError
from edge_worldmodel.core.world_model import Backend


def _onnxruntime(threads: int) -> Backend:
    from edge_worldmodel.backends.onnxruntime_backend import OnnxRuntimeBackend  # loaded only when chosen

    return OnnxRuntimeBackend(threads)


def _deterministic(threads: int) -> Backend:
    from edge_worldmodel.backends.deterministic_backend import DeterministicBackend

    return DeterministicBackend()


BACKENDS: dict[str, Callable[[int], Backend]] = {"onnxruntime": _onnxruntime, "deterministic": _deterministic}
"""Every backend by the name that parameters use."""


def open_backend(name: str, threads: int = 1) -> Backend:
    """Return the backend called ``name``, still without networks.

    Args:
        name: a key of BACKENDS.
        threads: compute threads for one network; the deterministic backend needs none.

    Raises:
        BackendError: no such backend, or its runtime is not installed.
    """
    if name not in BACKENDS:
        raise BackendError(f"backend '{name}' does not exist: choose one of {', '.join(sorted(BACKENDS))}")
    if threads < 1:
        raise BackendError(f"backend '{name}': threads = {threads!r}, must be at least 1")
    return BACKENDS[name](threads)
