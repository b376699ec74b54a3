"""Wider networks begin by computing what the narrow ones do, and learn with all they have."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the training environment: make setup-train")

from edge_worldmodel.core import tensors  # noqa: E402
from edge_worldmodel.core.errors import ConfigError  # noqa: E402
from edge_worldmodel.training.networks import Architecture, WorldNetworks, widened  # noqa: E402

NARROW = Architecture(16, 16, 16, 16, 16, 16)
WIDE = Architecture(24, 32, 20, 24, 20, 32)


def test_wider_networks_compute_the_same_and_train_on() -> None:
    torch.manual_seed(0)
    narrow = WorldNetworks(NARROW)
    wide = widened(narrow, WIDE)
    history = (torch.rand(2, *tensors.HISTORY.shape[1:]) > 0.8).float()
    motion = (torch.rand(2, *tensors.MOTION.shape[1:]) > 0.9).float()
    noise, maneuver = torch.randn(2, 8, 16, 16), torch.randn(2, 8, 3)
    for networks in (narrow, wide):
        context = networks.encoder(history, motion)
        networks.answer = networks.in_one_step(noise, context, maneuver)
    torch.testing.assert_close(wide.answer, narrow.answer, rtol=1e-4, atol=1e-4)
    future = torch.rand(2, tensors.HORIZON_STEPS, 64, 64)
    observed = torch.cat([history[:, -2:], motion], dim=1)
    for mine, theirs in zip(wide.posterior(future, observed), narrow.posterior(future, observed), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)
    wide.answer.square().mean().backward()
    assert wide.denoiser.out.weight.grad[:, 16:].abs().max() > 0, "new channels are listened to from the first step on"


def test_narrower_networks_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="decoder_width 24 to 16"):
        widened(WorldNetworks(WIDE), NARROW)
