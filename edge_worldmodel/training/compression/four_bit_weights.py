"""`edge-worldmodel compress weights`: weights of four bits for the matrix products, as far as that gains anything.

ONNX Runtime keeps four-bit weights for MatMul (MatMulNBits) and for nothing else. The networks are convolutions;
the verb measures what share of weights and operations MatMulNBits could reach, and refuses where it is too little to
matter, instead of writing a model that is no smaller.
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
"""Share of the weights below which four bits for matrix products are not worth a model of their own."""
_PRODUCTS = frozenset({"Gemm", "MatMul"})


class NoMatrixProductsError(ModelError):
    """Four-bit weights would reach too little of this model."""


@dataclass(frozen=True)
class WeightCounts:
    """Weights of a model by the operator that reads them, and what four bits would save."""

    products: int
    convolutions: int
    others: int
    bytes_saved: int

    @property
    def share(self) -> float:
        """Return the share of the weights that are in matrix products."""
        return self.products / max(1, self.products + self.convolutions + self.others)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--model", type=Path, default=Path("models/small"), help="folder of the model")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found there")


def run(options: argparse.Namespace) -> int:
    """Measure and refuse.

    Raises:
        NoMatrixProductsError: matrix products hold less than WORTHWHILE_SHARE of the weights.
    """
    model = load_model(options.model)
    found = count_weights(model.networks)
    print(
        f"{model.model_id}: weights in convolutions {found.convolutions:,}, in matrix products {found.products:,}, "
        f"elsewhere {found.others:,}; four bits for the products would save {found.bytes_saved / 1e3:.0f} kB"
    )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"model_id": model.model_id, "share": found.share, **asdict(found)}) + "\n")
    if found.share < WORTHWHILE_SHARE:
        raise NoMatrixProductsError(
            f"model {model.model_id}: {found.share:.1%} of its weights are in matrix products, and ONNX Runtime has "
            "four-bit weights for these only (MatMulNBits), none for Conv; use 'compress ptq'"
        )
    raise ModelError(
        f"model {model.model_id}: {found.share:.1%} of its weights are in matrix products, which is worth four bits, "
        "but no model of ours was like that, and writing one is not implemented: "
        "onnxruntime.quantization.matmul_nbits_quantizer does it"
    )


def count_weights(networks: Mapping[str, bytes]) -> WeightCounts:
    """Count the weights of all networks by what reads them."""
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
