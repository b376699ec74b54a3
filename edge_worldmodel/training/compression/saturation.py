"""Finds quantised weights whose products saturate on some processors.

x86 without VNNI multiplies unsigned activations by signed weights with VPMADDUBSW, which adds two neighbouring products
in 16 bits and saturates (Intel, "Lower Numerical Precision Deep Learning Inference and Training", 2018). The runtime
chooses the layout and so the neighbours; therefore any two weights of an output channel must fit together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edge_worldmodel.core.errors import ModelError

WEIGHT_LIMIT = 64
"""Largest weight in 7 bits: 255 * (64 + 64) = 32640 fits into 16 bits."""
ACTIVATION_LIMIT = 255
INT16 = np.iinfo(np.int16)
_PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


class SaturationError(ModelError):
    """Products of a quantised network saturate on processors without VNNI."""


@dataclass(frozen=True)
class PairSum:
    """Lowest and highest sum of two products in a layer."""

    layer: str
    lowest: int
    highest: int

    @property
    def saturates(self) -> bool:
        """Return whether a sum can leave the range of 16 bits."""
        return self.lowest < INT16.min or self.highest > INT16.max


def pair_sums(network: bytes) -> list[PairSum]:
    """Return the extreme sums of two products for every quantised convolution and matrix product.

    Activations count as 255, their largest value: signed ones are shifted to unsigned before the multiplication.
    """
    graph = onnx.load_from_string(network).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    found = []
    for node in graph.node:
        maker = makers.get(node.input[1]) if node.op_type in _PRODUCTS else None
        if maker is None or maker.op_type != "DequantizeLinear" or maker.input[0] not in constants:
            continue
        weights = numpy_helper.to_array(constants[maker.input[0]])
        if weights.dtype == np.int8:
            found.append(_worst(node.name, _by_output(weights, node)))
    return found


def check_saturation(networks: Mapping[str, bytes]) -> None:
    """Raise an error if products saturate on some processors.

    Raises:
        SaturationError: names the first layer whose products saturate.
    """
    for name, data in networks.items():
        overflowing = [each for each in pair_sums(data) if each.saturates]
        if overflowing:
            first = overflowing[0]
            raise SaturationError(
                f"network '{name}': {len(overflowing)} layer(s) overflow 16 bits on processors without VNNI, first "
                f"{first.layer}: two products add up to {first.lowest} to {first.highest} (allowed: {INT16.min} to "
                f"{INT16.max}); quantise its weights to {-WEIGHT_LIMIT} to {WEIGHT_LIMIT} (reduce_range)"
            )


def _by_output(weights: NDArray[np.int8], node: onnx.NodeProto) -> NDArray[np.int64]:
    """Return the weights as (outputs, inputs)."""
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    wide = weights.astype(np.int64)
    if node.op_type == "Conv" or (node.op_type == "Gemm" and attributes.get("transB")):
        return wide.reshape(len(wide), -1)
    if node.op_type == "ConvTranspose":
        # (inputs, outputs of a group, ...): the weights of a channel extend over the whole first axis.
        return np.moveaxis(wide, 1, 0).reshape(wide.shape[1], -1)
    return np.swapaxes(wide, -1, -2).reshape(-1, wide.shape[-2])


def _worst(layer: str, weights: NDArray[np.int64]) -> PairSum:
    # Zeros are added, because a channel may have a single weight.
    padded = np.sort(np.pad(weights, ((0, 0), (1, 1))), axis=1)
    lowest = np.minimum(padded[:, :2], 0).sum(axis=1).min()
    highest = np.maximum(padded[:, -2:], 0).sum(axis=1).max()
    return PairSum(layer, int(ACTIVATION_LIMIT * lowest), int(ACTIVATION_LIMIT * highest))
