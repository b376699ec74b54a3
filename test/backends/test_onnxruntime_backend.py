"""The ONNX Runtime backend runs what it loaded and refuses what it cannot trust."""

from __future__ import annotations

import numpy as np
import pytest

from edge_worldmodel.backends import open_backend
from edge_worldmodel.core import tensors
from edge_worldmodel.core.errors import BackendError

onnx = pytest.importorskip("onnx")


def _value(spec: tensors.TensorSpec) -> object:
    shape = ["futures" if size is None else size for size in spec.shape]
    return onnx.helper.make_tensor_value_info(spec.name, onnx.TensorProto.FLOAT, shape)


def _network(spec: tensors.NetworkSpec, nodes: list[object], constants: list[object] = ()) -> bytes:
    inputs = [_value(tensor) for tensor in spec.inputs]
    outputs = [_value(tensor) for tensor in spec.outputs]
    graph = onnx.helper.make_graph(nodes, spec.name, inputs, outputs, list(constants))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def _networks() -> dict[str, bytes]:
    """Tiny real networks with the right tensors: the denoiser returns the latent itself."""
    node = onnx.helper.make_node
    shape = onnx.numpy_helper.from_array(np.array([1, 64, 16, 16]), "shape")
    starts = onnx.numpy_helper.from_array(np.array([0]), "starts")
    ends = onnx.numpy_helper.from_array(np.array([4]), "ends")
    axes = onnx.numpy_helper.from_array(np.array([1]), "axes")
    blocks = onnx.numpy_helper.from_array(np.array([1, 1, 16, 16]), "blocks")
    encoder = [
        node("Slice", ["history", "starts", "ends", "axes"], ["cut"]),
        node("Reshape", ["cut", "shape"], ["context"]),
    ]
    decoder = [node("Tile", ["latent", "tiles"], ["future"])]
    tiles = onnx.numpy_helper.from_array(np.array([1, 1, 4, 4]), "tiles")
    return {
        "encoder": _network(tensors.NETWORKS["encoder"], encoder, [shape, starts, ends, axes, blocks]),
        "denoiser": _network(tensors.NETWORKS["denoiser"], [node("Identity", ["latent"], ["velocity"])]),
        "decoder": _network(tensors.NETWORKS["decoder"], decoder, [tiles]),
    }


@pytest.fixture(scope="module")
def networks() -> dict[str, bytes]:
    """Serialised networks by name."""
    return _networks()


def _denoiser_inputs(futures: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        spec.name: rng.standard_normal(spec.with_batch(futures)).astype(np.float32)
        for spec in tensors.NETWORKS["denoiser"].inputs
    }


@pytest.mark.parametrize("futures", [1, 32])
def test_runs_any_batch(networks: dict[str, bytes], futures: int) -> None:
    backend = open_backend("onnxruntime", 1)
    backend.load(networks)
    inputs = _denoiser_inputs(futures)
    np.testing.assert_array_equal(backend.run("denoiser", inputs)["velocity"], inputs["latent"])
    assert "ONNX Runtime" in backend.describe() and "1 thread" in backend.describe()


def test_missing_network_and_garbage_are_refused(networks: dict[str, bytes]) -> None:
    backend = open_backend("onnxruntime")
    with pytest.raises(BackendError, match="no network decoder"):
        backend.load({name: data for name, data in networks.items() if name != "decoder"})
    with pytest.raises(BackendError, match="cannot load network 'decoder'"):
        backend.load(networks | {"decoder": b"not a network"})
    with pytest.raises(BackendError, match="not loaded"):
        backend.run("denoiser", _denoiser_inputs(1))


def test_other_tensors_are_refused(networks: dict[str, bytes]) -> None:
    backend = open_backend("onnxruntime")
    with pytest.raises(BackendError, match="network 'decoder' has inputs"):
        backend.load(networks | {"decoder": networks["denoiser"]})
    spec = tensors.NETWORKS["denoiser"]
    small = tensors.NetworkSpec(
        spec.name,
        tuple(tensors.TensorSpec(t.name, (4, 8, 16, 16)) if t.name == "latent" else t for t in spec.inputs),
        (tensors.TensorSpec("velocity", (4, 8, 16, 16)),),
    )
    fixed = _network(small, [onnx.helper.make_node("Identity", ["latent"], ["velocity"])])
    with pytest.raises(BackendError, match=r"tensor 'latent': the file has tensor\(float\) \[4, 8, 16, 16\]"):
        backend.load(networks | {"denoiser": fixed})


def test_wrong_input_names_and_shapes_are_refused(networks: dict[str, bytes]) -> None:
    backend = open_backend("onnxruntime")
    backend.load(networks)
    inputs = _denoiser_inputs(1)
    with pytest.raises(BackendError, match="takes .* got"):
        backend.run("denoiser", {"latent": inputs["latent"]})
    with pytest.raises(BackendError, match="failed in ONNX Runtime"):
        backend.run("denoiser", inputs | {"noise_level": np.zeros((3, 3), np.float32)})
