"""Pruning leaves out the channels that carry nothing, everywhere they are written and read."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the training environment: make setup-train")

from edge_worldmodel.core.errors import ConfigError  # noqa: E402
from edge_worldmodel.core.tensors import NETWORKS  # noqa: E402
from edge_worldmodel.training.compression.channel_pruning import (  # noqa: E402
    IN,
    OUT,
    channel_groups,
    count_channels,
    narrower_architecture,
    prune_channels,
)
from edge_worldmodel.training.export import example_inputs  # noqa: E402
from edge_worldmodel.training.networks import Architecture, WorldNetworks  # noqa: E402

WIDE = Architecture(encoder_width=32, denoiser_width=32, deep_width=32, decoder_width=32, posterior_width=16)
NARROW = Architecture(encoder_width=16, denoiser_width=16, deep_width=16, decoder_width=16, posterior_width=16)


def _with_dead_channels() -> WorldNetworks:
    """Return wide networks in which every channel beyond the narrow ones is written and read with nothing."""
    torch.manual_seed(0)
    networks, target = WorldNetworks(WIDE), WorldNetworks(NARROW).state_dict()
    state = networks.state_dict()
    for number, group in enumerate(channel_groups(networks)):
        name, axis = group[0]
        size, kept = state[f"{name}.weight"].shape[axis], target[f"{name}.weight"].shape[axis]
        dead = torch.randperm(size, generator=torch.Generator().manual_seed(number))[kept:]
        for layer, axis in group:
            state[f"{layer}.weight"].index_fill_(axis, dead, 0.0)
            if axis == OUT:
                state[f"{layer}.bias"].index_fill_(0, dead, 0.0)
    networks.load_state_dict(state)
    return networks


def test_dead_channels_go_and_nothing_changes() -> None:
    wide = _with_dead_channels()
    kept = prune_channels(wide, NARROW)
    assert kept.architecture == NARROW and count_channels(kept) < count_channels(wide)
    for name, spec in NETWORKS.items():
        inputs = [torch.from_numpy(value) for value in example_inputs(spec, 2).values()]
        with torch.no_grad():
            exact, found = getattr(wide, name)(*inputs), getattr(kept, name)(*inputs)
        torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-4, msg=name)


def test_every_group_is_written_and_read() -> None:
    for group in channel_groups(WorldNetworks(WIDE)):
        assert {axis for _, axis in group} == {OUT, IN}, group


def test_widths_are_rounded_and_never_grow() -> None:
    found = narrower_architecture(Architecture(), 0.3)
    assert (found.encoder_width, found.denoiser_width, found.deep_width, found.decoder_width) == (48, 32, 64, 32)
    assert found.embedding == Architecture().embedding
    with pytest.raises(ConfigError, match="share = 1.5"):
        narrower_architecture(Architecture(), 1.5)
    with pytest.raises(ConfigError, match="encoder_width = 64, but there are only 32 channels"):
        prune_channels(WorldNetworks(WIDE), Architecture())
