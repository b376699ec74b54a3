"""Structured pruning: removes the least important channels of the networks.

The importance of a channel is the norm of all weights that write or read it (group norm: Fang et al., "DepGraph",
2023). The result has an ordinary Architecture, so training, export and quantisation work with it unchanged.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.training.networks import Architecture, ResidualBlock, WorldNetworks

_WIDTHS = ("encoder_width", "denoiser_width", "deep_width", "decoder_width")
OUT, IN = 0, 1
"""Axis of a weight for the channels that it writes (OUT) and for those that it reads (IN)."""


ChannelGroup = list[tuple[str, int]]
"""Layers that share a set of channels: name and axis (OUT or IN) of each."""


def narrower_architecture(architecture: Architecture, share: float, multiple: int = 16) -> Architecture:
    """Return the architecture without about ``share`` of its channels.

    Args:
        architecture: that of the trained networks.
        share: share of the channels to remove, in (0, 1).
        multiple: widths are rounded to this; vector registers hold 16 channels, so widths in between gain nothing.
    """
    if not 0.0 < share < 1.0:
        raise ConfigError(f"share = {share!r}, must be between 0 and 1: the share of the channels to remove")
    widths = {name: getattr(architecture, name) for name in _WIDTHS}
    kept = {name: max(multiple, round(width * (1.0 - share) / multiple) * multiple) for name, width in widths.items()}
    return replace(architecture, **{name: min(widths[name], width) for name, width in kept.items()})


def prune_channels(networks: WorldNetworks, architecture: Architecture) -> WorldNetworks:
    """Return networks of ``architecture`` with the most important channels of ``networks``.

    Raises:
        ConfigError: a width of ``architecture`` is larger than that of ``networks``.
    """
    for name, width in architecture.to_dict().items():
        if width > getattr(networks.architecture, name):
            raise ConfigError(f"{name} = {width}, but there are only {getattr(networks.architecture, name)} channels")
    target = WorldNetworks(architecture)
    state = {name: value.clone() for name, value in networks.state_dict().items()}
    wanted = target.state_dict()
    for group in channel_groups(networks):
        name, axis = group[0]
        count = wanted[f"{name}.weight"].shape[axis]
        kept = importance(state, group).topk(count).indices.sort().values
        for layer, axis in group:
            state[f"{layer}.weight"] = state[f"{layer}.weight"].index_select(axis, kept)
            if axis == OUT:
                state[f"{layer}.bias"] = state[f"{layer}.bias"].index_select(0, kept)
    target.load_state_dict(state)
    return target


def importance(state: dict[str, Tensor], group: ChannelGroup) -> Tensor:
    """Return the importance of each channel of a group: its squared norms, with equal weight for each layer."""
    norms = []
    for name, axis in group:
        weight = state[f"{name}.weight"]
        norm = weight.square().sum(dim=[other for other in range(weight.dim()) if other != axis])
        norms.append(norm / norm.mean().clamp(min=1e-12))
    return functools.reduce(torch.add, norms)


def channel_groups(networks: WorldNetworks) -> list[ChannelGroup]:
    """Return all channels that can be removed, in groups; channels fixed by the tensor table are in no group."""
    return [*_encoder(), *_denoiser(), *_decoder(), *_inside(networks)]


def _encoder() -> Iterator[ChannelGroup]:
    yield _named("encoder", ["fine"], ["down"])
    deep = ["deep.0", "deep.1"]
    yield _named("encoder", ["down", "up", "after.second"], ["deeper", "after.first", "out"])
    yield _named("encoder", ["deeper", *(f"{b}.second" for b in deep)], ["up", *(f"{b}.first" for b in deep)])


def _denoiser() -> Iterator[ChannelGroup]:
    first = ["from_latent", "from_context", "from_maneuver"]
    deep = ["deep.0", "deep.1"]
    yield _named("denoiser", [*first, "up", "after.second"], ["deeper", "after.first", "out"])
    yield _named("denoiser", ["deeper", *(f"{b}.second" for b in deep)], ["up", *(f"{b}.first" for b in deep)])


def _decoder() -> Iterator[ChannelGroup]:
    yield _named("decoder", ["from_latent", "from_observed", "block.second"], ["block.first", "out"])


def _inside(networks: WorldNetworks) -> Iterator[ChannelGroup]:
    """Yield the channels between the two convolutions of every block, except in the posterior."""
    for name, module in networks.named_modules():
        if isinstance(module, ResidualBlock) and not name.startswith("posterior"):
            modulation = ["scale", "shift"] if module.scale is not None else []
            yield _named(name, ["first", *modulation], ["second"])


def _named(owner: str, writers: list[str], readers: list[str]) -> ChannelGroup:
    return [(f"{owner}.{name}", OUT) for name in writers] + [(f"{owner}.{name}", IN) for name in readers]


def count_channels(networks: nn.Module) -> int:
    """Count the output channels of all convolutions."""
    return sum(layer.out_channels for layer in networks.modules() if isinstance(layer, torch.nn.Conv2d))
