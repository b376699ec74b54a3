"""One runtime serves while another gets ready, and nothing changes over that has not proven itself."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from edge_worldmodel.backends import open_backend
from edge_worldmodel.backends.handover import HandoverBackend
from edge_worldmodel.core import tensors
from edge_worldmodel.core.errors import BackendError

pytest.importorskip("onnx")

from . import small_networks  # noqa: E402

SPEC = tensors.NETWORKS["denoiser"]


class Slow:
    """ONNX Runtime, ready when it is let; can go wrong in every way."""

    def __init__(self, built: bool = False, fails: str = "", factor: float = 1.0) -> None:
        self.go_on = threading.Event()
        self.built, self.fails, self.factor = built, fails, factor
        self._real = open_backend("onnxruntime")

    def is_built(self, networks: Mapping[str, bytes]) -> bool:
        return self.built

    def prepare(self, networks: Mapping[str, bytes], progress: Any) -> None:
        for share in (0.04, 0.05, 0.5, 1.0):
            if not progress("decoder: Building Engine", share):
                raise BackendError("the build was cancelled")
        while not self.go_on.wait(0.01):
            if not progress("decoder: Timing", 0.0):
                raise BackendError("the build was cancelled")
        if self.fails:
            raise RuntimeError(self.fails)
        self.load(networks)

    def load(self, networks: Mapping[str, bytes]) -> None:
        self._real.load(networks)

    def run(self, network: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {k: v * np.float32(self.factor) for k, v in self._real.run(network, inputs).items()}

    def describe(self) -> str:
        return "the quick one"


def _right(backend: Any) -> None:
    inputs = small_networks.random_inputs(SPEC, 3)
    wanted = small_networks.expected(SPEC, inputs)["velocity"]
    np.testing.assert_allclose(backend.run("denoiser", inputs)["velocity"], wanted, rtol=1e-5, atol=1e-6)


def _loaded(slow: Slow) -> tuple[HandoverBackend, list[str]]:
    notes: list[str] = []
    backend = HandoverBackend(slow, open_backend("onnxruntime"), notes.append, futures=4)
    backend.load(small_networks.networks())
    return backend, notes


def test_changes_over_when_ready() -> None:
    slow = Slow()
    backend, notes = _loaded(slow)
    assert backend.describe().startswith("ONNX Runtime") and "engines are being built" in backend.describe()
    _right(backend)
    slow.go_on.set()
    assert backend.wait(20.0)
    assert backend.describe() == "the quick one"
    _right(backend)
    assert "takes minutes" in notes[0] and notes[-1] == "the quick one"
    # One note per tenth, not one per step.
    assert sum("decoder: Building Engine" in note for note in notes) == 2


def test_engines_that_are_there_are_used_at_once() -> None:
    backend, notes = _loaded(Slow(built=True))
    assert backend.describe() == "the quick one" and not notes
    _right(backend)


@pytest.mark.parametrize(
    ("slow", "cause"),
    [
        (Slow(fails="no memory left on the GPU"), "failed: no memory left on the GPU"),
        (Slow(factor=1.2), "'encoder' differs by .* from ONNX Runtime .*; its engine is not used"),
        (Slow(factor=float("nan")), "'encoder' differs by nan"),
    ],
)
def test_a_failure_leaves_what_serves_and_is_told(slow: Slow, cause: str) -> None:
    backend, notes = _loaded(slow)
    slow.go_on.set()
    assert backend.wait(20.0)
    _right(backend)
    assert backend.describe().startswith("ONNX Runtime")
    with pytest.raises(AssertionError, match=cause):
        raise AssertionError(notes[-1])
    assert notes[-1] == backend.describe()


def test_closing_ends_the_build() -> None:
    backend, _ = _loaded(Slow())
    backend.close()
    assert backend.wait(0.0)
    _right(backend)


def test_the_next_model_ends_the_build_of_the_last() -> None:
    slow = Slow()
    backend, _ = _loaded(slow)
    slow.built = True
    backend.load(small_networks.networks())
    assert backend.describe() == "the quick one"
    with pytest.raises(BackendError, match="no network decoder"):
        backend.load({"encoder": b"", "denoiser": b""})
    _right(backend)
