"""The networks in a form that ONNX Runtime computes faster in INT8; this form is exported for quantisation.

The functions and weights are those of training.networks (a test compares them). The changes follow from ONNX Runtime's
profile (docs/compression.md): the first two convolutions of the denoiser are one, constants are part of the weights,
upsampling is part of a convolution, modulations are repeated over a row of cells, and the decoder applies the sigmoid
before it unfolds the cells.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_worldmodel.core import tensors
from edge_worldmodel.core.model.context_channels import BLOCK, FOLDED_CHANNELS
from edge_worldmodel.training.networks import Decoder, Denoiser, Encoder, ResidualBlock, WorldNetworks

MAP_GAIN = 4.0
"""Gain of the ego maps (0 to 1), so that they share one INT8 scale with the latents (about -4 to 4)."""


class UpsampleAdd(nn.Module):
    """A 1 x 1 convolution at 8 x 8 cells, upsampled to 16 x 16 and added to the finer activations.

    Every channel is computed twice: with channels last, that already is the upsampling along a row.
    """

    def __init__(self, up: nn.Conv2d) -> None:
        """Use the weights of a 1 x 1 convolution."""
        super().__init__()
        self.width = up.out_channels
        self.twice = nn.Conv2d(up.in_channels, 2 * up.out_channels, 1)
        with torch.no_grad():
            self.twice.weight.copy_(up.weight.repeat(2, 1, 1, 1))
            _bias(self.twice).copy_(_bias(up).repeat(2))

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Return fine (N, C, 16, 16) + doubled(conv(coarse (N, D, 8, 8)))."""
        side = tensors.LATENT_CELLS
        rows = self.twice(coarse).permute(0, 2, 3, 1).reshape(-1, side // 2, 1, side, self.width)
        both = fine.permute(0, 2, 3, 1).reshape(-1, side // 2, 2, side, self.width) + rows
        return both.reshape(-1, side, side, self.width).permute(0, 3, 1, 2)


class ModulatedBlock(nn.Module):
    """A modulated block whose scale and shift are repeated over a row of cells."""

    def __init__(self, block: ResidualBlock, cells: int) -> None:
        """Use the weights of a block that works on ``cells`` x ``cells``."""
        super().__init__()
        assert block.scale is not None and block.shift is not None
        self.first, self.second, self.cells = block.first, block.second, cells
        self.scale, self.shift = nn.Linear(block.scale.in_features, block.scale.out_features), block.shift
        with torch.no_grad():
            self.scale.weight.copy_(block.scale.weight)
            self.scale.bias.copy_(block.scale.bias + 1.0)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map (N, C, h, w) to the same shape."""
        h = self.first(x) * self._row(self.scale(embedding)) + self._row(self.shift(embedding))
        return x + self.second(torch.relu(h))

    def _row(self, values: Tensor) -> Tensor:
        # Repeated as (N, cells * C): copying blocks is cheap, and with channels last this is a row.
        return values.repeat(1, self.cells).reshape(-1, 1, self.cells, values.shape[1]).permute(0, 3, 1, 2)


class FusedEncoder(nn.Module):
    """The encoder without a resize operator."""

    def __init__(self, encoder: Encoder) -> None:
        """Use an encoder's weights."""
        super().__init__()
        self.plain, self.up = encoder, UpsampleAdd(encoder.up)

    def forward(self, history: Tensor, motion: Tensor) -> Tensor:
        """Return the context, as the plain encoder does."""
        plain = self.plain
        h = torch.relu(plain.fine(functional.pixel_unshuffle(torch.cat([history, motion], dim=1), 2)))
        h = torch.relu(plain.down(h))
        d = torch.relu(plain.deeper(h))
        for block in plain.deep:
            d = block(d)
        h = plain.out(torch.relu(plain.after(self.up(h, d))))
        present = functional.pixel_unshuffle(history[:, -tensors.GRID_CHANNELS :], BLOCK)
        return torch.cat([present, h, functional.pixel_unshuffle(motion, BLOCK)], dim=1)


class FusedDenoiser(nn.Module):
    """The denoiser with one convolution for latent and ego maps, and without a resize operator."""

    def __init__(self, denoiser: Denoiser) -> None:
        """Use a denoiser's weights."""
        super().__init__()
        self.plain, self.up = denoiser, UpsampleAdd(denoiser.up)
        deep = tensors.LATENT_CELLS // 2
        self.deep = nn.ModuleList([ModulatedBlock(_block(block), deep) for block in denoiser.deep])
        self.after = ModulatedBlock(denoiser.after, tensors.LATENT_CELLS)
        width = denoiser.from_latent.out_channels
        self.from_both = nn.Conv2d(tensors.LATENT_CHANNELS + tensors.HORIZON_STEPS, width, 3, padding=1)
        with torch.no_grad():
            weights = [denoiser.from_latent.weight, denoiser.from_maneuver.weight / MAP_GAIN]
            self.from_both.weight.copy_(torch.cat(weights, dim=1))
            _bias(self.from_both).copy_(_bias(denoiser.from_latent) + _bias(denoiser.from_maneuver))

    def forward(self, latent: Tensor, context: Tensor, maneuver: Tensor, noise_level: Tensor) -> Tensor:
        """Return d latent / d noise level, as the plain denoiser does."""
        plain = self.plain
        embedding = plain.embedding(maneuver, noise_level)
        both = torch.cat([latent, MAP_GAIN * plain.ego_maps(maneuver)], dim=1)
        h = torch.relu(self.from_both(both) + plain.from_context(context))
        d = torch.relu(plain.deeper(h))
        for block in self.deep:
            d = block(d, embedding)
        h = self.after(self.up(h, d), embedding)
        return plain.linear_estimate(latent, noise_level) - plain.out(torch.relu(h))


class FusedDecoder(nn.Module):
    """The decoder with the sigmoid before the unfolding."""

    def __init__(self, decoder: Decoder) -> None:
        """Use a decoder's weights."""
        super().__init__()
        self.plain = decoder
        self.from_latent = nn.Conv2d(tensors.LATENT_CHANNELS, decoder.from_latent.out_channels, 3, padding=1)
        with torch.no_grad():
            self.from_latent.weight.copy_(decoder.from_latent.weight * decoder.latent_scale)
            _bias(self.from_latent).copy_(_bias(decoder.from_latent))

    def forward(self, latent: Tensor, context: Tensor) -> Tensor:
        """Return occupancy probability (N, H, 64, 64), as the plain decoder does."""
        plain = self.plain
        observed = torch.cat([context[:, :FOLDED_CHANNELS], context[:, tensors.SCENE_CHANNELS :]], dim=1)
        h = torch.relu(self.from_latent(latent) + plain.from_observed(observed))
        h = plain.out(torch.relu(plain.block(h))).permute(0, 2, 3, 1)
        # This part depends on the scene alone, not on the future.
        carried = functional.pixel_unshuffle(plain.carry(functional.pixel_shuffle(observed, BLOCK)), BLOCK)
        return unfold(torch.sigmoid(h + carried.permute(0, 2, 3, 1)))


def unfold(cells: Tensor) -> Tensor:
    """Unfold (N, 16, 16, H * 16) to (N, H, 64, 64), as pixel_shuffle does with channels last.

    Two steps that each swap two axes move whole blocks of bytes and take a tenth of the time of one transpose.
    """
    side, steps, grid = tensors.LATENT_CELLS, tensors.HORIZON_STEPS, tensors.GRID_CELLS
    rows = cells.reshape(-1, side, steps * BLOCK, BLOCK).permute(0, 2, 1, 3)
    stripes = rows.reshape(-1, side, steps, BLOCK * grid).permute(0, 2, 1, 3)
    return stripes.reshape(-1, steps, grid, grid)


def fuse(networks: WorldNetworks) -> dict[str, nn.Module]:
    """Return the three networks in their fused form, by name; they share weights with ``networks``."""
    return {
        "encoder": FusedEncoder(networks.encoder),
        "denoiser": FusedDenoiser(networks.denoiser),
        "decoder": FusedDecoder(networks.decoder),
    }


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias


def _block(module: nn.Module) -> ResidualBlock:
    assert isinstance(module, ResidualBlock)
    return module
