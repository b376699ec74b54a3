"""What is exported for quantisation computes what was trained."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the training environment: make setup-train")

from edge_worldmodel.core.tensors import NETWORKS  # noqa: E402
from edge_worldmodel.training.compression.fused_networks import fuse, unfold  # noqa: E402
from edge_worldmodel.training.export import example_inputs  # noqa: E402
from edge_worldmodel.training.networks import Architecture, WorldNetworks  # noqa: E402

SMALL = Architecture(encoder_width=16, denoiser_width=16, deep_width=32, decoder_width=16, posterior_width=16)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("futures", [1, 3])
def test_fused_networks_are_the_trained_ones(name: str, futures: int) -> None:
    torch.manual_seed(0)
    networks = WorldNetworks(SMALL)
    # Untrained blocks are nearly the identity and scales are one: make every weight matter.
    with torch.no_grad():
        networks.decoder.latent_scale.uniform_(0.5, 2.0)
        for parameter in networks.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        inputs = [torch.from_numpy(value) for value in example_inputs(NETWORKS[name], futures).values()]
        exact, fused = getattr(networks, name)(*inputs), fuse(networks)[name](*inputs)
    torch.testing.assert_close(fused, exact, rtol=1e-4, atol=1e-4 * float(exact.abs().max()))


def test_unfolding_is_pixel_shuffle() -> None:
    cells = torch.randn(2, 128, 16, 16)
    torch.testing.assert_close(unfold(cells.permute(0, 2, 3, 1)), torch.nn.functional.pixel_shuffle(cells, 4))
