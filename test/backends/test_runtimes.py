"""Every runtime that reads ONNX runs what it loaded and refuses what it cannot trust."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from edge_worldmodel.backends import open_backend
from edge_worldmodel.core import tensors
from edge_worldmodel.core.errors import BackendError
from edge_worldmodel.core.model.world_model import Backend

onnx = pytest.importorskip("onnx")

from . import small_networks  # noqa: E402

NEEDS = {"onnxruntime": "onnxruntime", "openvino": "openvino"}


@pytest.fixture(params=NEEDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    if importlib.util.find_spec(NEEDS[request.param]) is None:
        pytest.skip(f"{NEEDS[request.param]} is not installed: pip install --no-deps -r requirements/openvino.txt")
    return open_backend(request.param, 1)


@pytest.fixture(scope="module")
def networks() -> dict[str, bytes]:
    return small_networks.networks()


@pytest.mark.parametrize("futures", [1, 32])
@pytest.mark.parametrize("name", tensors.NETWORKS)
def test_runs_any_batch(backend: Backend, networks: dict[str, bytes], name: str, futures: int) -> None:
    backend.load(networks)
    inputs = small_networks.random_inputs(tensors.NETWORKS[name], futures)
    expected = small_networks.expected(tensors.NETWORKS[name], inputs)
    outputs = backend.run(name, inputs)
    assert set(outputs) == set(expected)
    for tensor, value in expected.items():
        np.testing.assert_allclose(outputs[tensor], value, rtol=1e-5, atol=1e-6)
    assert "1 thread" in backend.describe()


def test_results_outlive_the_next_run(backend: Backend, networks: dict[str, bytes]) -> None:
    backend.load(networks)
    spec = tensors.NETWORKS["denoiser"]
    first = backend.run("denoiser", small_networks.random_inputs(spec, 4, seed=1))["velocity"]
    kept = first.copy()
    backend.run("denoiser", small_networks.random_inputs(spec, 4, seed=2))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("damage", ["garbage", "cut", "missing", "foreign", "fixed batch", "other channels", "newer"])
def test_a_bad_model_changes_nothing(backend: Backend, networks: dict[str, bytes], damage: str) -> None:
    backend.load(networks)
    spec = tensors.NETWORKS["denoiser"]
    inputs = small_networks.random_inputs(spec, 3)
    before = backend.run("denoiser", inputs)["velocity"]
    decoder = tensors.NETWORKS["decoder"]
    latent, *others = decoder.inputs
    wide = tensors.TensorSpec(latent.name, (None, latent.shape[1] + 1, *latent.shape[2:]))
    newer = onnx.load_model_from_string(networks["decoder"])
    # Operators of the future; nobody can know what they mean.
    newer.opset_import[0].version = 99
    for node in newer.graph.node:
        node.op_type = "Imagine"
    bad, cause = {
        "newer": (networks | {"decoder": newer.SerializeToString()}, "cannot (load|read) network 'decoder'"),
        "garbage": (networks | {"decoder": b"not a network"}, "cannot (load|read) network 'decoder'"),
        "cut": (networks | {"decoder": networks["decoder"][:99]}, "network 'decoder'"),
        "missing": ({k: v for k, v in networks.items() if k != "decoder"}, "no network decoder"),
        "foreign": (networks | {"decoder": networks["denoiser"]}, "network 'decoder' has inputs"),
        "fixed batch": (
            networks | {"decoder": small_networks.network(small_networks.with_fixed_batch(decoder, 4))},
            r"tensor 'latent': the file has float32 \[4, .* \(None is the batch",
        ),
        "other channels": (
            networks
            | {"decoder": small_networks.network(tensors.NetworkSpec("decoder", (wide, *others), decoder.outputs))},
            "tensor 'latent': the file has .* use a model exported for this version",
        ),
    }[damage]
    with pytest.raises(BackendError, match=cause):
        backend.load(bad)
    np.testing.assert_array_equal(backend.run("denoiser", inputs)["velocity"], before)


def test_wrong_calls_are_refused(backend: Backend, networks: dict[str, bytes]) -> None:
    inputs = small_networks.random_inputs(tensors.NETWORKS["denoiser"], 1)
    with pytest.raises(BackendError, match="'denoiser' is not loaded; loaded: none"):
        backend.run("denoiser", inputs)
    backend.load(networks)
    with pytest.raises(BackendError, match="takes .* got"):
        backend.run("denoiser", {"latent": inputs["latent"]})
    with pytest.raises(BackendError, match="network 'denoiser' failed"):
        backend.run("denoiser", inputs | {"context": np.zeros((3, 3), np.float32)})
