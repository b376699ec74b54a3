"""The networks of the world model: encoder, denoiser, decoder, and a posterior that is used in training only.

Small convolutional networks without normalisation layers: 3 x 3 convolutions, ReLU and additions, which runtimes can
fuse and quantise to INT8. The denoiser is preconditioned (Karras et al., "Elucidating the Design Space of
Diffusion-Based Generative Models", 2022) for the rectified flow of core.model.world_model.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_worldmodel.core import tensors
from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.model.context_channels import BLOCK, FOLDED_CHANNELS

LEARNED_CHANNELS = tensors.SCENE_CHANNELS - FOLDED_CHANNELS
OBSERVED_CHANNELS = FOLDED_CHANNELS + tensors.CONTEXT_CHANNELS - tensors.SCENE_CHANNELS
"""Context channels that are not learned: present frame and motion forecast, folded."""
_HALF_EXTENT_M = 0.5 * tensors.GRID_CELLS * tensors.CELL_SIZE_M
_NOISE_FREQUENCIES = 6


@dataclass(frozen=True)
class Architecture(Config):
    """Widths of the networks; their inputs and outputs are fixed by the tensor table."""

    encoder_width: int = param(64, "encoder channels at 16 x 16", minimum=8, maximum=512)
    denoiser_width: int = param(48, "denoiser channels at 16 x 16", minimum=8, maximum=512)
    deep_width: int = param(80, "denoiser channels at 8 x 8", minimum=8, maximum=512)
    decoder_width: int = param(48, "decoder channels at 16 x 16", minimum=8, maximum=512)
    posterior_width: int = param(64, "posterior channels at 16 x 16", minimum=8, maximum=512)
    embedding: int = param(64, "size of the noise level and maneuver embedding", minimum=8, maximum=512)

    def to_dict(self) -> dict[str, int]:
        """Return plain values for a checkpoint or a manifest."""
        return asdict(self)

    def narrower_than(self, other: Architecture) -> list[str]:
        """Name the widths that are smaller than another's."""
        mine, theirs = self.to_dict(), other.to_dict()
        return [name for name in mine if mine[name] < theirs[name]]


VARIANTS = {
    "nano": Architecture(32, 24, 48, 24, 48, 48),
    "small": Architecture(),
    "base": Architecture(96, 96, 160, 80, 96, 96),
}
"""Architectures by the name of the variant."""


def conv3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """Return a padded 3 x 3 convolution."""
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)


class ResidualBlock(nn.Module):
    """x + conv(relu(modulated conv(x))); close to the identity at first, so that it trains without normalisation."""

    def __init__(self, width: int, embedding: int = 0) -> None:
        """Make a block of ``width`` channels, modulated by an embedding of size ``embedding``; 0: not modulated."""
        super().__init__()
        self.first = conv3(width, width)
        self.second = conv3(width, width)
        self.scale = nn.Linear(embedding, width) if embedding else None
        self.shift = nn.Linear(embedding, width) if embedding else None
        with torch.no_grad():
            self.second.weight.mul_(0.1)
            for modulation in (self.scale, self.shift):
                if modulation is not None:
                    modulation.weight.mul_(0.1)

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        """Map (B, C, h, w) to the same shape."""
        h = self.first(x)
        if self.scale is not None and self.shift is not None:
            h = h * (1.0 + self.scale(embedding)[:, :, None, None]) + self.shift(embedding)[:, :, None, None]
        return x + self.second(torch.relu(h))


class Encoder(nn.Module):
    """history (B, 10, 64, 64) and motion (B, 9, 64, 64) -> context (B, 208, 16, 16).

    The present frame (first 32 channels) and the motion forecast (last 144) are passed on unchanged.
    """

    def __init__(self, architecture: Architecture) -> None:
        """Make an untrained encoder."""
        super().__init__()
        width, deep = architecture.encoder_width, architecture.encoder_width + 32
        self.fine = conv3(4 * (tensors.GRID_CHANNELS * tensors.HISTORY_FRAMES + tensors.MOTION_CHANNELS), width // 2)
        self.down = conv3(width // 2, width, stride=2)
        self.deeper = conv3(width, deep, stride=2)
        self.deep = nn.ModuleList([ResidualBlock(deep), ResidualBlock(deep)])
        self.up = nn.Conv2d(deep, width, 1)
        self.after = ResidualBlock(width)
        self.out = nn.Conv2d(width, LEARNED_CHANNELS, 1)

    def forward(self, history: Tensor, motion: Tensor) -> Tensor:
        """Return the context."""
        present = functional.pixel_unshuffle(history[:, -tensors.GRID_CHANNELS :], BLOCK)
        h = torch.relu(self.fine(functional.pixel_unshuffle(torch.cat([history, motion], dim=1), 2)))
        h = torch.relu(self.down(h))
        d = torch.relu(self.deeper(h))
        for block in self.deep:
            d = block(d)
        h = self.after(h + _double(self.up(d)))
        return torch.cat([present, self.out(torch.relu(h)), functional.pixel_unshuffle(motion, BLOCK)], dim=1)


class Denoiser(nn.Module):
    """(latent, context, maneuver, noise level) -> velocity: a U-Net over 16 x 16 and 8 x 8 cells."""

    def __init__(self, architecture: Architecture) -> None:
        """Make an untrained denoiser."""
        super().__init__()
        width, deep, size = architecture.denoiser_width, architecture.deep_width, architecture.embedding
        self.from_latent = conv3(tensors.LATENT_CHANNELS, width)
        self.from_context = conv3(tensors.CONTEXT_CHANNELS, width)
        self.from_maneuver = conv3(tensors.HORIZON_STEPS, width)
        self.embed_noise = nn.Linear(2 * _NOISE_FREQUENCIES, size)
        self.embed_maneuver = nn.Linear(4 * tensors.HORIZON_STEPS, size)
        self.embed = nn.Linear(size, size)
        self.deeper = conv3(width, deep, stride=2)
        self.deep = nn.ModuleList([ResidualBlock(deep, size), ResidualBlock(deep, size)])
        self.up = nn.Conv2d(deep, width, 1)
        self.after = ResidualBlock(width, size)
        self.out = conv3(width, tensors.LATENT_CHANNELS)
        axis = (torch.arange(tensors.LATENT_CELLS) + 0.5) * BLOCK * tensors.CELL_SIZE_M - _HALF_EXTENT_M
        self.register_buffer("axis_m", axis, persistent=False)
        frequencies = math.pi * 2.0 ** torch.arange(-1, _NOISE_FREQUENCIES - 1)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, latent: Tensor, context: Tensor, maneuver: Tensor, noise_level: Tensor) -> Tensor:
        """Return d latent / d noise level.

        Args:
            latent: (N, 8, 16, 16) at the noise level.
            context: (1, 208, 16, 16), or one per latent in training.
            maneuver: (N, H, 3) ego poses x_m, y_m, yaw_rad in the present ego frame.
            noise_level: (1,), or one per latent in training, in [0, 1].
        """
        embedding = self.embedding(maneuver, noise_level)
        h = self.from_latent(latent) + self.from_maneuver(self.ego_maps(maneuver)) + self.from_context(context)
        h = torch.relu(h)
        d = torch.relu(self.deeper(h))
        for block in self.deep:
            d = block(d, embedding)
        h = self.after(h + _double(self.up(d)), embedding)
        return self.linear_estimate(latent, noise_level) - self.out(torch.relu(h))

    def linear_estimate(self, latent: Tensor, noise_level: Tensor) -> Tensor:
        """Return the best linear estimate of the velocity for data of unit variance; the network learns its error."""
        level = noise_level[:, None, None, None]
        spread = (1.0 - level) * (1.0 - level) + level * level
        return (2.0 * level - 1.0) / spread * latent

    def embedding(self, maneuver: Tensor, noise_level: Tensor) -> Tensor:
        """Return the embedding (N, size) of maneuver and noise level that modulates the blocks."""
        embedding = torch.relu(self.embed_maneuver(_pose_features(maneuver)) + self._embed_level(noise_level))
        return torch.relu(self.embed(embedding))

    def _embed_level(self, noise_level: Tensor) -> Tensor:
        angle = noise_level[:, None] * self.frequencies
        return self.embed_noise(torch.cat([torch.sin(angle), torch.cos(angle)], dim=1))

    def ego_maps(self, maneuver: Tensor) -> Tensor:
        """Draw the ego's position at each imagined time as a Gaussian, (N, H, 16, 16), with a deviation of 0.8 m."""
        dx = (maneuver[:, :, 0, None] - self.axis_m) / 0.8
        dy = (maneuver[:, :, 1, None] - self.axis_m) / 0.8
        return torch.exp(-0.5 * dy * dy)[:, :, :, None] * torch.exp(-0.5 * dx * dx)[:, :, None, :]


class Decoder(nn.Module):
    """(latent, context) -> occupancy probability; reads only the channels of the context that are not learned.

    It starts from the present static cells and from movers at constant velocity. The latent holds the departures.
    """

    def __init__(self, architecture: Architecture) -> None:
        """Make an untrained decoder, which repeats the static cells and moves movers on at constant velocity."""
        super().__init__()
        width = architecture.decoder_width
        self.register_buffer("latent_scale", torch.ones(1, tensors.LATENT_CHANNELS, 1, 1))
        self.from_latent = conv3(tensors.LATENT_CHANNELS, width)
        self.from_observed = conv3(OBSERVED_CHANNELS, width)
        self.block = ResidualBlock(width)
        self.out = conv3(width, BLOCK * BLOCK * tensors.HORIZON_STEPS)
        self.carry = nn.Conv2d(tensors.GRID_CHANNELS + tensors.MOTION_CHANNELS, tensors.HORIZON_STEPS, 1)
        with torch.no_grad():
            self.out.weight.mul_(0.1)
            self.carry.weight.zero_()
            # Occupied and free cells stay so; a mover leaves its cells and reaches those of the motion forecast.
            self.carry.weight[:, :3, 0, 0] = torch.tensor([5.0, -2.0, -4.0])
            self.carry.weight[:, 3:, 0, 0] = 3.0 * torch.eye(tensors.HORIZON_STEPS)
            self.carry.bias.fill_(-2.5)

    def logits(self, latent: Tensor, context: Tensor) -> Tensor:
        """Return log odds of occupancy (N, H, 64, 64) for latents (N, 8, 16, 16) of unit scale."""
        observed = torch.cat([context[:, :FOLDED_CHANNELS], context[:, tensors.SCENE_CHANNELS :]], dim=1)
        h = torch.relu(self.from_latent(latent * self.latent_scale) + self.from_observed(observed))
        h = torch.relu(self.block(h))
        # Convolutions at 16 x 16 cells cost a sixteenth; only the observed channels are used at 64 x 64.
        carried = self.carry(functional.pixel_shuffle(observed, BLOCK))
        return functional.pixel_shuffle(self.out(h), BLOCK) + carried

    def forward(self, latent: Tensor, context: Tensor) -> Tensor:
        """Return occupancy probability (N, H, 64, 64)."""
        return torch.sigmoid(self.logits(latent, context))


class Posterior(nn.Module):
    """(true future, present frame and motion forecast) -> mean and log variance of the latent; training only."""

    def __init__(self, architecture: Architecture) -> None:
        """Make an untrained posterior."""
        super().__init__()
        width = architecture.posterior_width
        self.first = conv3(BLOCK * BLOCK * tensors.HORIZON_STEPS + OBSERVED_CHANNELS, width)
        self.block = ResidualBlock(width)
        self.out = nn.Conv2d(width, 2 * tensors.LATENT_CHANNELS, 1)

    def forward(self, future: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance, each (B, 8, 16, 16), from (B, H, 64, 64) and (B, 2 + 9, 64, 64)."""
        clip = torch.cat([future, observed], dim=1)
        h = torch.relu(self.first(functional.pixel_unshuffle(clip, BLOCK)))
        h = self.block(h)
        mean, log_variance = self.out(torch.relu(h)).chunk(2, dim=1)
        # The limits keep the exponential of the loss finite at the beginning of training.
        return mean, log_variance.clamp(-10.0, 4.0)


class WorldNetworks(nn.Module):
    """All four networks of one architecture."""

    def __init__(self, architecture: Architecture) -> None:
        """Make untrained networks."""
        super().__init__()
        self.architecture = architecture
        self.encoder = Encoder(architecture)
        self.denoiser = Denoiser(architecture)
        self.decoder = Decoder(architecture)
        self.posterior = Posterior(architecture)

    def in_steps(self, start: Tensor, context: Tensor, maneuver: Tensor, steps: int) -> Tensor:
        """Return latents (B, 8, 16, 16) after ``steps`` equal denoising steps from noise ``start``."""
        latent = start
        for step in range(steps):
            level = torch.full((len(start),), 1.0 - step / steps, device=start.device)
            latent = latent - self.denoiser(latent, context, maneuver, level) / steps
        return latent

    def in_one_step(self, start: Tensor, context: Tensor, maneuver: Tensor) -> Tensor:
        """Return log odds (B, H, 64, 64) of the clips after one denoising step from ``start`` (B, 8, 16, 16)."""
        return self.decoder.logits(self.in_steps(start, context, maneuver, 1), context)


@torch.no_grad()
def widened(networks: WorldNetworks, architecture: Architecture) -> WorldNetworks:
    """Return wider networks that compute the same as ``networks`` (Chen et al., "Net2Net", 2016).

    Old channels keep their weights and ignore the new ones; new channels start with random weights.

    Raises:
        ConfigError: a width of ``architecture`` is smaller than that of ``networks``.
    """
    before, after = networks.architecture.to_dict(), architecture.to_dict()
    if narrower := architecture.narrower_than(networks.architecture):
        changes = ", ".join(f"{name} {before[name]} to {after[name]}" for name in narrower)
        raise ConfigError(f"trained networks cannot be made narrower: {changes}; choose a larger --variant")
    wide = WorldNetworks(architecture)
    old, new = networks.state_dict(), wide.state_dict()
    for name, values in old.items():
        corner = tuple(slice(size) for size in values.shape)
        if values.ndim >= 2:
            new[name][: len(values)] = 0.0
        new[name][corner] = values
    wide.load_state_dict(new)
    return wide


def parameter_count(module: nn.Module) -> int:
    """Return the number of trained parameters of a network."""
    return sum(parameter.numel() for parameter in module.parameters())


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def _pose_features(maneuver: Tensor) -> Tensor:
    """Return poses as (N, 4 H) features of unit size; positions outside the grid saturate."""
    x, y, yaw = maneuver[:, :, 0], maneuver[:, :, 1], maneuver[:, :, 2]
    return torch.cat([torch.tanh(x / 4.0), torch.tanh(y / 4.0), torch.sin(yaw), torch.cos(yaw)], dim=1)
