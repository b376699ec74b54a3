"""Make wider networks of trained ones that compute the same, to be trained on (Chen et al., "Net2Net", 2016).

Old channels keep their weights and do not listen to new ones; new channels begin as untrained ones do.
"""

from __future__ import annotations

import torch

from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.training.networks import Architecture, WorldNetworks


@torch.no_grad()
def widened(networks: WorldNetworks, architecture: Architecture) -> WorldNetworks:
    """Return networks of another architecture that give the same outputs.

    Raises:
        ConfigError: something would have to become narrower.
    """
    before, after = networks.architecture.to_dict(), architecture.to_dict()
    if narrower := architecture.narrower_than(networks.architecture):
        said = ", ".join(f"{name} {before[name]} to {after[name]}" for name in narrower)
        raise ConfigError(f"networks can go on wider, not narrower: {said}; choose a larger --variant")
    wide = WorldNetworks(architecture)
    old, new = networks.state_dict(), wide.state_dict()
    for name, values in old.items():
        corner = tuple(slice(size) for size in values.shape)
        if values.ndim >= 2:
            new[name][: len(values)] = 0.0
        new[name][corner] = values
    wide.load_state_dict(new)
    return wide
