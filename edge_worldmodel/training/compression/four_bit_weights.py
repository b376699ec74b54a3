"""`edge-worldmodel compress weights`: tell whether weights of four bits would make a model smaller.

ONNX Runtime has four-bit weights for matrix products only (MatMulNBits), and the networks are mostly convolutions. The
verb counts the weights that four bits could reach, and refuses when they are too few.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx

from edge_worldmodel.core.errors import ModelError
from edge_worldmodel.models.manifest import load_model

WORTHWHILE_SHARE = 0.5
"""Share of weights in matrix products below which four bits are not worth a model of their own."""
_PRODUCTS = frozenset({"Gemm", "MatMul"})


class NoMatrixProductsError(ModelError):
    """Too few weights of this model are in matrix products."""


@dataclass(frozen=True)
class WeightCounts:
    """Weights of a model by the operator that reads them, and the bytes that four bits would save."""

    products: int
    convolutions: int
    others: int
    bytes_saved: int

    @property
    def share(self) -> float:
        """Share of the weights that are in matrix products."""
        return self.products / max(1, self.products + self.convolutions + self.others)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--model", type=Path, default=Path("models/small"), help="folder of the model")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")


def run(options: argparse.Namespace) -> int:
    """Count the weights, print the figures and refuse.

    Raises:
        NoMatrixProductsError: matrix products hold less than WORTHWHILE_SHARE of the weights.
    """
    model = load_model(options.model)
    counts = count_weights(model.networks)
    print(
        f"{model.model_id}: weights in convolutions {counts.convolutions:,}, in matrix products {counts.products:,}, "
        f"elsewhere {counts.others:,}; four bits for the products would save {counts.bytes_saved / 1e3:.0f} kB"
    )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(
            json.dumps({"model_id": model.model_id, "share": counts.share, **asdict(counts)}) + "\n"
        )
    if counts.share < WORTHWHILE_SHARE:
        raise NoMatrixProductsError(
            f"model {model.model_id}: {counts.share:.1%} of its weights are in matrix products, and ONNX Runtime has "
            "four-bit weights for these only (MatMulNBits), none for Conv; use 'compress ptq'"
        )
    raise ModelError(
        f"model {model.model_id}: {counts.share:.1%} of its weights are in matrix products, enough for four bits, "
        "but writing such a model is not implemented: use onnxruntime.quantization.matmul_nbits_quantizer"
    )


def count_weights(networks: Mapping[str, bytes]) -> WeightCounts:
    """Count the weights of all networks by the operator that reads them."""
    counts = dict.fromkeys(("products", "convolutions", "others"), 0)
    saved = 0
    for data in networks.values():
        graph = onnx.load_from_string(data).graph
        sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in graph.initializer}
        widths = {tensor.name: onnx.numpy_helper.to_array(tensor).itemsize for tensor in graph.initializer}
        for node in graph.node:
            kind = "products" if node.op_type in _PRODUCTS else "convolutions" if node.op_type == "Conv" else "others"
            counts[kind] += sum(sizes.get(name, 0) for name in node.input)
            if kind == "products":
                saved += sum(int(sizes[name] * (widths[name] - 0.5)) for name in node.input[1:2] if name in sizes)
    return WeightCounts(**counts, bytes_saved=saved)
