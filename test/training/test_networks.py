"""The networks keep the tensor table's promises."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the training environment: make setup-train")

from edge_worldmodel.core import tensors  # noqa: E402
from edge_worldmodel.core.model import context_channels as folding  # noqa: E402
from edge_worldmodel.training.networks import Architecture, WorldNetworks, parameter_count  # noqa: E402

SMALL = Architecture(encoder_width=16, denoiser_width=16, deep_width=16, decoder_width=16, posterior_width=16)


@pytest.fixture
def networks() -> WorldNetworks:
    torch.manual_seed(0)
    return WorldNetworks(SMALL).eval()


def _history(batch: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(batch, *tensors.HISTORY.shape[1:], generator=generator) > 0.8).float()


def _motion(batch: int = 1) -> torch.Tensor:
    return torch.zeros(batch, *tensors.MOTION.shape[1:])


def test_the_context_carries_the_present_frame_exactly(networks: WorldNetworks) -> None:
    history = _history()
    context = networks.encoder(history, _motion()).detach().numpy()
    tensors.CONTEXT.check(context)
    np.testing.assert_array_equal(folding.present_frame(context), history[0, -2:].numpy())


def test_the_decoder_reads_only_the_exact_channels(networks: WorldNetworks) -> None:
    context, latent = networks.encoder(_history(), _motion()), torch.randn(3, 8, 16, 16)
    other = context.clone()
    other[:, folding.FOLDED_CHANNELS : tensors.SCENE_CHANNELS] = 5.0
    future = networks.decoder(latent, context)
    tensors.FUTURE.check(future.detach().numpy())
    assert torch.equal(future, networks.decoder(latent, other))
    assert not torch.equal(future, networks.decoder(latent, 1.0 - other))
    assert ((future > 0) & (future < 1)).all()


def test_an_untrained_decoder_repeats_what_is_seen(networks: WorldNetworks) -> None:
    history = _history()
    history[:, -1] *= 1.0 - history[:, -2]
    future = networks.decoder(torch.zeros(1, 8, 16, 16), networks.encoder(history, _motion()))
    occupied = history[0, -2] > 0
    assert future[0, :, occupied].mean() > future[0, :, ~occupied].mean() + 0.3


def test_an_untrained_decoder_moves_on_what_moves(networks: WorldNetworks) -> None:
    motion = _motion()
    motion[0, 0, 20, 20] = motion[0, 3, 20, 40] = 1.0
    history = torch.zeros(tensors.HISTORY.shape)
    history[0, -1] = 1.0
    future = networks.decoder(torch.zeros(1, 8, 16, 16), networks.encoder(history, motion))[0]
    assert future[2, 20, 40] > 0.15 > future[2, 20, 20]
    assert future[1, 20, 40] < 0.05, "it comes at its time, not before"


def test_one_context_and_noise_level_serve_the_whole_batch(networks: WorldNetworks) -> None:
    context = networks.encoder(_history(), _motion())
    latent, maneuver = torch.randn(4, 8, 16, 16), torch.randn(4, 8, 3)
    together = networks.denoiser(latent, context, maneuver, torch.tensor([0.7]))
    tensors.VELOCITY.check(together.detach().numpy())
    alone = networks.denoiser(latent[2:3], context, maneuver[2:3], torch.tensor([0.7]))
    spread = networks.denoiser(latent, context.expand(4, -1, -1, -1), maneuver, torch.full((4,), 0.7))
    torch.testing.assert_close(together[2:3], alone)
    torch.testing.assert_close(together, spread)


def test_maneuver_context_and_noise_level_change_the_velocity(networks: WorldNetworks) -> None:
    latent, maneuver, level = torch.randn(1, 8, 16, 16), torch.zeros(1, 8, 3), torch.tensor([0.7])
    context = networks.encoder(_history(), _motion())
    velocity = networks.denoiser(latent, context, maneuver, level)
    for changed in (
        networks.denoiser(latent, context, maneuver + 1.0, level),
        networks.denoiser(latent, context * 0.5, maneuver, level),
        networks.denoiser(latent, context, maneuver, level * 0.5),
    ):
        assert (changed - velocity).abs().max() > 1e-4


def test_the_ego_is_drawn_where_it_will_be(networks: WorldNetworks) -> None:
    maneuver = torch.zeros(1, 8, 3)
    maneuver[0, 7] = torch.tensor([3.0, -2.0, 0.0])
    maps = networks.denoiser.ego_maps(maneuver)
    row, column = np.unravel_index(int(maps[0, 7].argmax()), (16, 16))
    cell_m = 0.8
    assert abs((column + 0.5) * cell_m - 6.4 - 3.0) <= 0.5 * cell_m + 1e-6
    assert abs((row + 0.5) * cell_m - 6.4 + 2.0) <= 0.5 * cell_m + 1e-6


def test_the_shipped_architecture_is_small() -> None:
    networks = WorldNetworks(Architecture())
    for part in (networks.encoder, networks.denoiser, networks.decoder):
        assert parameter_count(part) < 600_000
