"""The TensorRT path against NVIDIA's own bindings, without a GPU: every name and call, buffers, graphs and engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_worldmodel.backends import open_backend, tensorrt_backend
from edge_worldmodel.backends.engine_build import BuildCancelledError, EngineBuildError, PrecisionError
from edge_worldmodel.backends.options import BackendOptions
from edge_worldmodel.backends.tensorrt_backend import (
    EngineMissingError,
    EngineRefusedError,
    TensorRtBackend,
)
from edge_worldmodel.core import tensors
from edge_worldmodel.core.errors import BackendError

pytest.importorskip("onnx")

from . import small_networks, tensorrt_api  # noqa: E402

DENOISER = tensors.NETWORKS["denoiser"]


@pytest.fixture(scope="module")
def networks() -> dict[str, bytes]:
    return small_networks.networks()


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tensorrt_api.bindings("full", tmp_path_factory.mktemp("libraries"))


@pytest.fixture
def device() -> tensorrt_api.HostDevice:
    return tensorrt_api.HostDevice()


def _options(folder: Path, **changes: Any) -> BackendOptions:
    return BackendOptions(**({"futures": 4, "max_futures": 9, "engine_dir": folder} | changes))


def _agrees(backend: Any, futures: int, seed: int = 0) -> None:
    for name, spec in tensors.NETWORKS.items():
        inputs = small_networks.random_inputs(spec, futures, seed)
        for tensor, value in small_networks.expected(spec, inputs).items():
            found = backend.run(name, inputs)[tensor]
            assert found.shape == value.shape
            np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-6)


def test_builds_loads_and_computes(full: Any, device: Any, networks: dict[str, bytes], tmp_path: Path) -> None:
    trt = tensorrt_api.stand_in_for(full, device)
    backend = TensorRtBackend(_options(tmp_path), trt, device)
    assert not backend.is_built(networks)
    backend.load(networks)
    for futures in (1, 4, 9, 4):
        _agrees(backend, futures, seed=futures)
    assert full.__version__ in backend.describe() and "7 of 7 batches as CUDA graphs" in backend.describe()
    assert len(trt.builds) == 3 and backend.is_built(networks)
    again = TensorRtBackend(_options(tmp_path), trt, device)
    again.load(networks)
    _agrees(again, 4)
    assert len(trt.builds) == 3, "engines in the folder are not built again"


def test_the_lean_runtime_runs_engines_and_cannot_build(
    full: Any, device: Any, networks: dict[str, bytes], tmp_path: Path
) -> None:
    lean = tensorrt_api.stand_in_for(tensorrt_api.bindings("lean", tmp_path), device)
    options = _options(tmp_path, version_compatible=True)
    backend = TensorRtBackend(options, lean, device)
    with pytest.raises(EngineMissingError, match=r"'encoder' has no engine here \(none was built yet\).*only runs eng"):
        backend.load(networks)
    # An engine of an older TensorRT serves a newer runtime when it was built to be compatible.
    older = tensorrt_api.stand_in_for(full, device, version="10.3.0")
    TensorRtBackend(options, older, device).load(networks)
    assert all("VERSION_COMPATIBLE" in build["flags"] for build in older.builds)
    backend.load(networks)
    _agrees(backend, 4)
    with pytest.raises(EngineMissingError):
        TensorRtBackend(_options(tmp_path), lean, device).load(networks)


def test_the_stand_ins_let_nothing_unreal_through(full: Any, device: Any) -> None:
    trt = tensorrt_api.stand_in_for(full, device)
    with pytest.raises(AssertionError, match=r"IExecutionContext.execute_async_v3: 2 not in \[\(1, 1\)\]"):
        tensorrt_api.check_arity(full.IExecutionContext, "execute_async_v3", 2)
    with pytest.raises(AssertionError, match=r"Builder.__init__: 2 not in"):
        trt.Builder(None, None)
    with pytest.raises(AssertionError, match=r"IBuilderConfig has no int8_calibration"):
        trt.Builder(None).create_builder_config().int8_calibration = None


def test_memory_is_allocated_once_and_a_call_is_one_launch(
    full: Any, device: Any, networks: dict[str, bytes], tmp_path: Path
) -> None:
    backend = TensorRtBackend(_options(tmp_path), tensorrt_api.stand_in_for(full, device), device)
    backend.load(networks)
    tables = sum(len(spec.inputs) + len(spec.outputs) for spec in tensors.NETWORKS.values())
    assert device.log.count("pinned") == tables
    device.log.clear()
    inputs = small_networks.random_inputs(DENOISER, 4)
    first = backend.run("denoiser", inputs)["velocity"]
    kept = first.copy()
    backend.run("denoiser", small_networks.random_inputs(DENOISER, 4, seed=5))
    assert device.log == ["launch", "wait"] * 2
    np.testing.assert_array_equal(first, kept)


def test_lanes_stay_few_and_too_many_futures_are_refused(
    full: Any, device: Any, networks: dict[str, bytes], tmp_path: Path
) -> None:
    backend = TensorRtBackend(_options(tmp_path), tensorrt_api.stand_in_for(full, device), device)
    backend.load(networks)
    for futures in (1, 2, 3, 4, 5, 6, 1, 9):
        _agrees(backend, futures)
    assert all(len(network.lanes) <= 4 for network in backend._networks.values())
    with pytest.raises(BackendError, match="10 futures, its engine and buffers are made for at most 9"):
        backend.run("denoiser", small_networks.random_inputs(DENOISER, 10))


def test_without_graphs_it_runs_and_says_so(full: Any, networks: dict[str, bytes], tmp_path: Path) -> None:
    device = tensorrt_api.HostDevice(can_capture=False)
    backend = TensorRtBackend(_options(tmp_path), tensorrt_api.stand_in_for(full, device), device)
    backend.load(networks)
    _agrees(backend, 4)
    assert "0 of 3 batches as CUDA graphs" in backend.describe()


def test_profiles_and_settings_come_from_the_tensor_table(
    full: Any, device: Any, networks: dict[str, bytes], tmp_path: Path
) -> None:
    trt = tensorrt_api.stand_in_for(full, device)
    TensorRtBackend(_options(tmp_path), trt, device).load(networks)
    for spec, build in zip(tensors.NETWORKS.values(), trt.builds, strict=True):
        batched = {t.name: tuple(t.with_batch(n) for n in (1, 4, 9)) for t in spec.inputs if None in t.shape}
        assert build["profiles"] == ([batched] if batched else [])
        assert build["pools"] == {"WORKSPACE": 256 << 20} and build["threads"] == 1
        assert build["strongly_typed"] and build["flags"] == set()


def test_half_precision_is_a_flag_in_10_and_a_type_in_11(
    full: Any, device: Any, networks: dict[str, bytes], tmp_path: Path
) -> None:
    options = _options(tmp_path, precision="fp16")
    eleven = tensorrt_api.stand_in_for(full, device, version="11.4.0.106")
    with pytest.raises(PrecisionError, match="has no half-precision tensor: use an FP16 variant.*TensorRT 10"):
        TensorRtBackend(options, eleven, device).load(networks)
    if not hasattr(full.BuilderFlag, "FP16"):
        pytest.skip(f"TensorRT {full.__version__} has no FP16 flag; the other half needs the bindings of version 10")
    ten = tensorrt_api.stand_in_for(full, device, version="10.3.0")
    TensorRtBackend(options, ten, device).load(networks)
    assert all(build["flags"] == {"FP16"} and not build["strongly_typed"] for build in ten.builds)


def test_int8_needs_a_quantised_file(full: Any, device: Any, networks: dict[str, bytes], tmp_path: Path) -> None:
    trt = tensorrt_api.stand_in_for(full, device)
    backend = TensorRtBackend(_options(tmp_path, precision="int8"), trt, device)
    with pytest.raises(PrecisionError, match=r"'encoder' is not quantised \(no Q/DQ"):
        backend.load(networks)
    backend.load({name: small_networks.network(spec, quantised=True) for name, spec in tensors.NETWORKS.items()})
    assert all(build["strongly_typed"] for build in trt.builds) and len(trt.builds) == 3


@pytest.mark.parametrize("damage", ["garbage", "foreign", "missing", "refused", "cancelled"])
def test_a_bad_model_changes_nothing(
    full: Any, device: Any, networks: dict[str, bytes], tmp_path: Path, damage: str
) -> None:
    trt = tensorrt_api.stand_in_for(full, device)
    backend = TensorRtBackend(_options(tmp_path), trt, device)
    backend.load(networks)
    other = small_networks.network(tensors.NETWORKS["decoder"], quantised=True)
    cases: dict[str, tuple[dict[str, bytes], type[BackendError], str]] = {
        "garbage": (networks | {"decoder": b"no"}, EngineBuildError, "cannot read network 'decoder': In node -1"),
        "foreign": (networks | {"decoder": networks["denoiser"]}, BackendError, "network 'decoder' has inputs"),
        "missing": ({"encoder": networks["encoder"]}, BackendError, "no network decoder, denoiser"),
        "refused": (networks | {"decoder": other}, EngineBuildError, "cannot compile network 'decoder'"),
        "cancelled": (networks | {"decoder": other}, BuildCancelledError, "'decoder': the build was cancelled"),
    }
    bad, error, cause = cases[damage]
    trt.refuse = damage == "refused"
    with pytest.raises(error, match=cause):
        backend.prepare(bad, lambda phase, share: damage != "cancelled")
    _agrees(backend, 4)


def test_an_engine_that_does_not_run_here_is_named(
    full: Any, device: Any, networks: dict[str, bytes], tmp_path: Path
) -> None:
    trt = tensorrt_api.stand_in_for(full, device)
    backend = TensorRtBackend(_options(tmp_path), trt, device)
    for name, data in networks.items():
        backend._cache.keep(backend._key(name, data), b"an engine of elsewhere")
    with pytest.raises(EngineRefusedError, match="refuses the engine of network 'encoder'.*built again"):
        backend.load(networks)


def test_missing_pieces_are_named(monkeypatch: pytest.MonkeyPatch, device: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(tensorrt_backend, "MODULES", ())
    with pytest.raises(BackendError, match="'tensorrt' is not installed: it comes with JetPack"):
        open_backend("tensorrt", 1, _options(tmp_path))
    monkeypatch.setattr(tensorrt_backend, "MODULES", ("old_tensorrt",))
    monkeypatch.setitem(__import__("sys").modules, "old_tensorrt", type("Old", (), {"__version__": "8.6.1"}))
    with pytest.raises(BackendError, match=r"TensorRT 8.6.1 is too old: this program needs 10.3"):
        open_backend("tensorrt", 1, _options(tmp_path))
