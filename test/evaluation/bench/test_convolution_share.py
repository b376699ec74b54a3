"""Operations are counted as arithmetic says, and the share of the best convolution is measured on the shipped model."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from edge_worldmodel.backends.timing import Workload
from edge_worldmodel.evaluation.bench import convolution_share
from edge_worldmodel.models.manifest import load_model
from edge_worldmodel.models.placement_record import DEFAULT_VARIANT
from edge_worldmodel.models.shipped import models_folder


@pytest.mark.parametrize("int8", [False, True])
def test_a_chain_has_the_operations_that_are_said_and_runs(int8: bool) -> None:
    shape = (2, 8, 6)
    work = convolution_share.single(shape, int8, threads=1)
    # 4 convolutions, each output element one product and one sum for each of 8 channels x 9 taps
    assert work.operations == 4 * (2 * 8 * 6 * 6) * (8 * 9) * 2
    data = convolution_share.chain((2, 8, 6, 6), int8)
    counted = convolution_share.operations_of(onnx, onnx.load_from_string(data), {"x": (2, 8, 6, 6)})
    assert counted == work.operations and work.time_s(lambda: 0.0) == 0.0
    (found,) = work.session.run(None, dict(work.inputs))
    assert np.isfinite(found).all() and found.std() > 0.0


def test_matrix_products_and_unknown_shapes() -> None:
    helper, tensor = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [helper.make_node("MatMul", ["a", "b"], ["c"])]
    values = {
        name: helper.make_tensor_value_info(name, tensor, size) for name, size in (("a", ("n", 5)), ("b", (5, 7)))
    }
    graph = helper.make_graph(nodes, "g", list(values.values()), [helper.make_tensor_value_info("c", tensor, ("n", 7))])
    model = helper.make_model(graph)
    assert convolution_share.operations_of(onnx, model, {"a": (3, 5), "b": (5, 7)}) == 2 * 3 * 5 * 7
    with pytest.raises(convolution_share.ConvolutionError, match="MatMul: shapes"):
        convolution_share.operations_of(onnx, model, {})


def test_the_share_of_the_shipped_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution_share, "SHAPES", ((4, 32, 16), (1, 64, 16)))
    model = load_model(models_folder() / DEFAULT_VARIANT)
    told = convolution_share.measure_share(model.networks, Workload(4, 1), threads=1, rounds=2)
    assert set(told["networks"]) == set(model.networks) and 0.0 < told["share"] < 10.0
    assert told["best_gflops"] == max(told["single_gflops"].values()) and told["best_shape"] in told["single_gflops"]
    assert told["mflop_per_call"]["encoder"] > 10.0
