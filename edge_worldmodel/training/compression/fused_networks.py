"""The same functions with fewer passes over memory: what is exported for quantisation.

Exact rewrites of training.networks, weight for weight (a test compares them), chosen by ONNX Runtime's profile of
the bytes it then computes channels last (docs/compression.md): the two first convolutions of the denoiser are one,
constants are in the weights, nothing is resized, modulations are spread over a row so that one call covers it, and
imagined cells are squashed as folded bytes and unfolded last.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_worldmodel.core import tensors
from edge_worldmodel.core.model.context_channels import BLOCK, FOLDED_CHANNELS
from edge_worldmodel.training.networks import Decoder, Denoiser, Encoder, ResidualBlock, WorldNetworks

MAP_GAIN = 4.0
"""Ego maps reach from 0 to 1, latents from about -4 to 4: one scale of bytes must serve both."""


class Up(nn.Module):
    """1 x 1 convolution at 8 x 8 cells, doubled in size and added to the finer activations.

    Every channel is computed twice, side by side: channels last, that already is the doubling along a row.
    """

    def __init__(self, up: nn.Conv2d) -> None:
        """Take over the weights of a 1 x 1 convolution."""
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


class Modulated(nn.Module):
    """A modulated block whose scale and shift are spread over one row of cells."""

    def __init__(self, block: ResidualBlock, cells: int) -> None:
        """Take over a block that works on ``cells`` x ``cells``."""
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
        # repeated as (N, cells * C): copying blocks is cheap, and channels last it is the row already
        return values.repeat(1, self.cells).reshape(-1, 1, self.cells, values.shape[1]).permute(0, 3, 1, 2)


class FusedEncoder(nn.Module):
    """training.networks.Encoder without a resize."""

    def __init__(self, encoder: Encoder) -> None:
        """Take over an encoder's weights."""
        super().__init__()
        self.plain, self.up = encoder, Up(encoder.up)

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
    """training.networks.Denoiser with one convolution for latent and ego maps, and without a resize."""

    def __init__(self, denoiser: Denoiser) -> None:
        """Take over a denoiser's weights."""
        super().__init__()
        self.plain, self.up = denoiser, Up(denoiser.up)
        deep = tensors.LATENT_CELLS // 2
        self.deep = nn.ModuleList([Modulated(_block(block), deep) for block in denoiser.deep])
        self.after = Modulated(denoiser.after, tensors.LATENT_CELLS)
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
        return plain.linear_guess(latent, noise_level) - plain.out(torch.relu(h))


class FusedDecoder(nn.Module):
    """training.networks.Decoder that squashes folded cells and unfolds last."""

    def __init__(self, decoder: Decoder) -> None:
        """Take over a decoder's weights."""
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
        # of one scene, whatever the number of futures
        carried = functional.pixel_unshuffle(plain.carry(functional.pixel_shuffle(observed, BLOCK)), BLOCK)
        return unfold(torch.sigmoid(h + carried.permute(0, 2, 3, 1)))


def unfold(cells: Tensor) -> Tensor:
    """Do what pixel_shuffle does, channels last: (N, 16, 16, H * 16) to (N, H, 64, 64).

    In two steps, each of which swaps two axes and moves whole blocks of bytes: a tenth of the time of one transpose.
    """
    side, steps, grid = tensors.LATENT_CELLS, tensors.HORIZON_STEPS, tensors.GRID_CELLS
    rows = cells.reshape(-1, side, steps * BLOCK, BLOCK).permute(0, 2, 1, 3)
    stripes = rows.reshape(-1, side, steps, BLOCK * grid).permute(0, 2, 1, 3)
    return stripes.reshape(-1, steps, grid, grid)


def fuse(networks: WorldNetworks) -> dict[str, nn.Module]:
    """Return the three networks in the form that quantises best, by name; they share the weights."""
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
