"""The real thing, where there is a GPU with TensorRT: `scripts/with-ros python -m pytest -m gpu test/backends`."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from edge_worldmodel.backends import open_backend
from edge_worldmodel.backends.cuda_device import open_cuda_device
from edge_worldmodel.backends.handover import HandoverBackend
from edge_worldmodel.backends.options import BackendOptions
from edge_worldmodel.backends.tensorrt_backend import TensorRtBackend
from edge_worldmodel.backends.timing import Workload, measure
from edge_worldmodel.core import tensors
from edge_worldmodel.core.errors import BackendError
from edge_worldmodel.models.manifest import load_model

MODEL = Path(__file__).resolve().parents[2] / "models" / "small"
TOLERANCE = {"exported": 1e-3, "fp16": 2e-2}

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def networks() -> dict[str, bytes]:
    pytest.importorskip("tensorrt", reason="TensorRT is not installed")
    try:
        open_cuda_device()
    except BackendError as error:
        pytest.skip(str(error))
    return load_model(MODEL).networks


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("version_compatible", [False, True])
def test_computes_what_onnx_runtime_computes(
    networks: dict[str, bytes], tmp_path: Path, precision: str, version_compatible: bool
) -> None:
    import tensorrt

    if precision == "fp16" and int(tensorrt.__version__.split(".")[0]) >= 11:
        pytest.skip("TensorRT 11 takes half precision only from the file")
    options = BackendOptions(precision=precision, engine_dir=tmp_path, version_compatible=version_compatible)
    reference, backend = open_backend("onnxruntime", 2), TensorRtBackend(options)
    for one in (reference, backend):
        one.load(networks)
    rng = np.random.default_rng(0)
    for futures in (1, 32, 64, 5, 32):
        for name, spec in tensors.NETWORKS.items():
            inputs = {t.name: rng.random(t.with_batch(futures), np.float32) for t in spec.inputs}
            wanted, found = reference.run(name, inputs), backend.run(name, inputs)
            for tensor, value in wanted.items():
                assert np.abs(found[tensor] - value).max() <= TOLERANCE[precision] * np.abs(value).max()
    assert "0 of" not in backend.describe()


def test_changes_over_from_onnx_runtime_and_finds_its_engines_again(networks: dict[str, bytes], tmp_path: Path) -> None:
    options = BackendOptions(engine_dir=tmp_path)
    notes: list[str] = []
    backend = open_backend("tensorrt", 2, options, notes.append)
    assert isinstance(backend, HandoverBackend)
    backend.load(networks)
    assert backend.describe().startswith("ONNX Runtime")
    assert backend.wait(600.0), notes
    assert backend.describe().startswith("tensorrt"), notes
    again = open_backend("tensorrt", 2, options)
    again.load(networks)
    assert again.describe().startswith("tensorrt")
    contenders = {"onnxruntime": open_backend("onnxruntime", 2), "tensorrt": again}
    contenders["onnxruntime"].load(networks)
    ticks = {
        n: float(np.median(of["tick"])) for n, of in measure(contenders, Workload(), 20, time.perf_counter).items()
    }
    print(f"{backend.describe()}: {ticks}")
    assert ticks["tensorrt"] < ticks["onnxruntime"]
