"""What only ONNX Runtime has: execution providers, chosen and never swapped, and reproducible sessions."""

from __future__ import annotations

import numpy as np
import pytest

from edge_worldmodel.backends import onnxruntime_backend, open_backend, options
from edge_worldmodel.backends.onnxruntime_backend import PROVIDERS, ProviderMissingError, available_providers
from edge_worldmodel.backends.options import BackendOptions
from edge_worldmodel.core import tensors
from edge_worldmodel.core.errors import BackendError

pytest.importorskip("onnx")

from . import small_networks  # noqa: E402


def test_a_provider_that_is_not_installed_is_named_with_what_there_is() -> None:
    missing = sorted(set(PROVIDERS) - set(available_providers()))
    assert missing and "cpu" in available_providers()
    for name in missing:
        with pytest.raises(
            ProviderMissingError, match=f"asked for: '{name}'.*available: .*cpu.*{PROVIDERS[name][1][:8]}"
        ):
            open_backend("onnxruntime", 1, BackendOptions(provider=name))


def test_every_named_provider_has_an_entry() -> None:
    assert tuple(PROVIDERS) == options.PROVIDERS


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(BackendError, match="'gpu' does not exist: choose one of cpu, cuda, tensorrt, openvino, qnn"):
        open_backend("onnxruntime", 1, BackendOptions(provider="gpu"))


def test_a_provider_that_falls_back_to_the_cpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # What ONNX Runtime does when the CUDA build meets a machine without CUDA: it warns and takes the CPU.
    real = onnxruntime_backend.ort

    class Claiming:
        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def get_available_providers(self) -> list[str]:
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    monkeypatch.setattr(onnxruntime_backend, "ort", Claiming())
    backend = open_backend("onnxruntime", 1, BackendOptions(provider="cuda"))
    with (
        pytest.warns(UserWarning),
        pytest.raises(ProviderMissingError, match="cannot use it here.*CPUExecution.*doctor"),
    ):
        backend.load(small_networks.networks())


def test_same_inputs_give_the_same_bits() -> None:
    spec = tensors.NETWORKS["denoiser"]
    inputs = small_networks.random_inputs(spec, 8)
    runs = []
    for _ in range(2):
        backend = open_backend("onnxruntime", 2)
        backend.load(small_networks.networks())
        runs.append(backend.run("denoiser", inputs)["velocity"])
    np.testing.assert_array_equal(runs[0], runs[1])
