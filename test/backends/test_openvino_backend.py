"""What only OpenVINO has: no report to the internet from a robot, and batches that it must not shorten."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_worldmodel.backends import open_backend
from edge_worldmodel.backends.options import BackendOptions
from edge_worldmodel.core import tensors
from edge_worldmodel.models.manifest import load_model

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = """
import os, sys
def forbidden(*_): raise SystemExit("importing OpenVINO started a process")
os.fork = forbidden
from edge_worldmodel.backends import open_backend
open_backend("openvino")
import openvino.tools.ovc.telemetry_utils as used
assert used.tm.__name__ == "openvino.tools.ovc.telemetry_stub", used.tm
assert sys.modules["openvino_telemetry"] is None
"""


pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="openvino is not installed: pip install --no-deps -r requirements/openvino.txt",
)


def test_no_telemetry() -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    run = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("threads", [1, 2])
def test_the_shipped_model_computes_what_onnx_runtime_computes(threads: int) -> None:
    # With an open batch OpenVINO answered for one future, after a batch of 1 or with one thread even without an error.
    networks = load_model(REPOSITORY / "models" / "small").networks
    backends = [open_backend(name, threads, BackendOptions(futures=4)) for name in ("onnxruntime", "openvino")]
    for backend in backends:
        backend.load(networks)
    rng = np.random.default_rng(0)
    for futures in (1, 4, 9):
        for name, spec in tensors.NETWORKS.items():
            inputs = {t.name: rng.random(t.with_batch(futures), np.float32) for t in spec.inputs}
            wanted, found = (backend.run(name, inputs) for backend in backends)
            for tensor in spec.outputs:
                assert found[tensor.name].shape == tensor.with_batch(futures)
                np.testing.assert_allclose(found[tensor.name], wanted[tensor.name], rtol=1e-4, atol=1e-5)


def test_compiled_batches_stay_few(monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_worldmodel.backends import openvino_backend

    from . import small_networks

    monkeypatch.setattr(openvino_backend, "_MAX_COMPILED", 4)
    backend = openvino_backend.OpenVinoBackend(1, futures=2)
    backend.load(small_networks.networks())
    spec = tensors.NETWORKS["denoiser"]
    for futures in (*range(1, 8), 2):
        inputs = small_networks.random_inputs(spec, futures)
        velocity = backend.run("denoiser", inputs)["velocity"]
        np.testing.assert_allclose(velocity, small_networks.expected(spec, inputs)["velocity"], rtol=1e-5, atol=1e-6)
    assert len(backend._requests) == 4
