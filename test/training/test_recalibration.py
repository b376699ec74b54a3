"""Recalibration moves probabilities to the frequencies of validation clips, and nothing else."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the training environment: make setup-train")

from edge_worldmodel.training.networks import Architecture, WorldNetworks  # noqa: E402
from edge_worldmodel.training.recalibration import _fit, recalibrate  # noqa: E402

from .clip_factory import moving_blobs  # noqa: E402

SMALL = Architecture(encoder_width=16, denoiser_width=16, deep_width=16, decoder_width=16, posterior_width=16)


def test_overconfident_odds_are_brought_back() -> None:
    random = torch.Generator().manual_seed(0)
    honest = torch.randn(20_000, generator=random)
    truth = (torch.rand(20_000, generator=random) < torch.sigmoid(honest)).float()
    gain, offset = _fit(3.0 * honest[None] + 1.0, truth)
    assert gain == pytest.approx(1 / 3, rel=0.1) and offset == pytest.approx(-1 / 3, abs=0.05)


def test_futures_that_agree_too_much_with_each_other_are_judged_as_what_they_are_drawn_from() -> None:
    """Sharp futures that come true as often as they say keep their odds, though few of them never say so together."""
    random = torch.Generator().manual_seed(0)
    chance = torch.rand(20_000, generator=random)
    truth = (torch.rand(20_000, generator=random) < chance).float()
    drawn = torch.rand(4, 20_000, generator=random) < chance
    gain, _ = _fit(3.0 * (2.0 * drawn.float() - 1.0), truth)
    assert gain > 0.9


def test_a_horizon_without_two_outcomes_stays_as_it_is() -> None:
    assert _fit(torch.randn(2, 50), torch.zeros(50)) == (1.0, 0.0)


def test_the_decoder_takes_gain_and_offset_in() -> None:
    torch.manual_seed(0)
    networks = WorldNetworks(SMALL).eval()
    latent, context = torch.randn(2, 8, 16, 16), torch.randn(1, 208, 16, 16)
    before = networks.decoder.logits(latent, context)
    found = recalibrate(networks, moving_blobs(12), most=8)
    gain, offset = (torch.tensor(found[name])[None, :, None, None] for name in ("gain", "offset"))
    torch.testing.assert_close(networks.decoder.logits(latent, context), gain * before + offset, atol=2e-3, rtol=1e-3)
    assert (gain != 1.0).any()
