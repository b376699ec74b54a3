"""No quantised network that is shipped or written can overflow 16 bits, on any processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_worldmodel.models.manifest import load_model
from edge_worldmodel.training.compression.saturation import INT16, SaturationError, check_saturation, pair_sums

MODELS = Path(__file__).resolve().parents[3] / "models"
INT8_MODELS = [path.parent for path in sorted(MODELS.glob("*/manifest.json")) if "int8" in path.parent.name]


def _network(operator: str, weights: np.ndarray, **attributes: int) -> bytes:
    """Return a network of one quantised layer."""
    constants = [
        numpy_helper.from_array(weights.astype(np.int8), "bytes"),
        numpy_helper.from_array(np.float32(1), "one"),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["bytes", "one"], ["weights"]),
        helper.make_node(operator, ["x", "weights"], ["y"], "layer", **attributes),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy")
    return bytes(helper.make_model(helper.make_graph(nodes, "one", [x], [y], constants)).SerializeToString())


def _multiply_add(activations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Do what VPMADDUBSW does: products of unsigned and signed bytes, two neighbours added, saturated to 16 bits."""
    products = activations.astype(np.int64) * weights.astype(np.int64)
    return np.clip(products.reshape(-1, 2).sum(axis=1), INT16.min, INT16.max)


@pytest.mark.parametrize("folder", INT8_MODELS, ids=lambda folder: folder.name)
def test_no_shipped_network_can_overflow(folder: Path) -> None:
    networks = load_model(folder).networks
    sums = {name: pair_sums(data) for name, data in networks.items()}
    assert {name: len(each) for name, each in sums.items()} == {"encoder": 11, "denoiser": 11, "decoder": 6}
    check_saturation(networks)


@pytest.mark.parametrize("folder", INT8_MODELS, ids=lambda folder: folder.name)
def test_shipped_weights_survive_the_instruction_in_any_order(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for data in load_model(folder).networks.values():
        graph = onnx.load_from_string(data).graph
        for tensor in graph.initializer:
            weights = numpy_helper.to_array(tensor)
            if weights.dtype != np.int8 or weights.ndim != 4:
                continue
            rows = weights.reshape(len(weights), -1).astype(np.int64)
            rows = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2)))
            for row in (rng.permutation(rows, axis=1), np.sort(rows, axis=1)):
                for activations in (np.full(row.size, 255), rng.integers(0, 256, row.size)):
                    exact = (activations * row.ravel()).reshape(-1, 2).sum(axis=1)
                    np.testing.assert_array_equal(_multiply_add(activations, row.ravel()), exact)


def test_weights_of_eight_bits_are_refused_with_the_layer() -> None:
    weights = np.zeros((4, 3, 3, 3))
    weights[2, 0, 0, 0], weights[2, 2, 1, 1] = 100, 29
    assert [(each.lowest, each.highest) for each in pair_sums(_network("Conv", weights))] == [(0, 255 * 129)]
    with pytest.raises(SaturationError, match="network 'decoder': 1 layer.* first layer: .* 0 to 32895 .*range"):
        check_saturation({"decoder": _network("Conv", weights)})
    weights[2, 2, 1, 1] = 28
    check_saturation({"decoder": _network("Conv", weights)})
    # In another channel it is another sum.
    weights[1, 0, 0, 0] = 127
    check_saturation({"decoder": _network("Conv", weights)})


@pytest.mark.parametrize(
    ("operator", "shape", "places", "attributes"),
    [
        ("MatMul", (5, 3), ((0, 1), (4, 1)), {}),
        ("Gemm", (5, 3), ((0, 1), (4, 1)), {}),
        ("Gemm", (3, 5), ((1, 0), (1, 4)), {"transB": 1}),
        ("ConvTranspose", (5, 3, 2, 2), ((0, 1, 0, 0), (4, 1, 1, 1)), {}),
    ],
)
def test_products_of_every_kind_add_up_over_their_inputs(
    operator: str, shape: tuple[int, ...], places: tuple, attributes: dict
) -> None:
    weights = np.zeros(shape)
    for place in places:
        weights[place] = -120
    assert pair_sums(_network(operator, weights, **attributes))[0].lowest == -240 * 255
    weights[places[0]] = 0
    assert not pair_sums(_network(operator, weights, **attributes))[0].saturates
