"""Fake quantisation: networks compute with INT8 rounding while they are trained.

Gradients pass straight through the rounding (Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", 2018). As in compression.quantise, weights are symmetric per output channel, and
inputs of convolutions are unsigned with a zero point per tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_worldmodel.training.compression.saturation import WEIGHT_LIMIT
from edge_worldmodel.training.networks import WorldNetworks

_DECAY = 0.98
_SMALLEST = 1e-8


class RunningRange:
    """Running minimum and maximum of the inputs of one layer; zero is always inside."""

    def __init__(self) -> None:
        """Start without data."""
        self.low, self.high = 0.0, 0.0
        self._seen = False

    def update(self, values: Tensor) -> None:
        """Add one batch."""
        low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
        decay = _DECAY if self._seen else 0.0
        self.low, self.high = decay * self.low + (1 - decay) * low, decay * self.high + (1 - decay) * high
        self._seen = True


def fake_quantise_activations(values: Tensor, bounds: RunningRange) -> Tensor:
    """Round to 256 levels between the bounds; the gradient passes where nothing was clipped."""
    scale = max((bounds.high - bounds.low) / 255.0, _SMALLEST)
    zero = round(-bounds.low / scale)
    return torch.fake_quantize_per_tensor_affine(values, scale, zero, 0, 255)


def fake_quantise_weights(weight: Tensor) -> Tensor:
    """Round to 7 bits per output channel, as compression.quantise does."""
    scale = (weight.detach().abs().amax(dim=(1, 2, 3)) / WEIGHT_LIMIT).clamp(min=_SMALLEST)
    zeros = torch.zeros(len(scale), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, scale, zeros, 0, -WEIGHT_LIMIT, WEIGHT_LIMIT)


@contextmanager
def fake_quantised(networks: WorldNetworks) -> Iterator[None]:
    """Inside the block, every exported convolution computes with rounded weights and inputs."""
    layers = [
        layer
        for network in (networks.encoder, networks.denoiser, networks.decoder)
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    for layer in layers:
        # Replaced on the instance: parameters keep names and order, on which checkpoint and average rely.
        layer.forward = _rounded_forward(layer, RunningRange())
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _rounded_forward(layer: nn.Conv2d, bounds: RunningRange) -> Any:
    def forward(values: Tensor) -> Tensor:
        if layer.training:
            bounds.update(values.detach())
        weight = fake_quantise_weights(layer.weight)
        rounded = fake_quantise_activations(values, bounds)
        return functional.conv2d(rounded, weight, layer.bias, layer.stride, layer.padding)

    return forward
