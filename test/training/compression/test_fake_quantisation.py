"""Training with rounding computes in 256 steps, passes gradients, and leaves the layers as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the training environment: make setup-train")

from edge_worldmodel.core.errors import ConfigError  # noqa: E402
from edge_worldmodel.training.compression.fake_quantisation import (  # noqa: E402
    RunningRange,
    fake_quantise_activations,
    fake_quantise_weights,
    fake_quantised,
)
from edge_worldmodel.training.compression.fine_tuning import fine_tune, fine_tuning_config  # noqa: E402
from edge_worldmodel.training.compression.saturation import WEIGHT_LIMIT  # noqa: E402
from edge_worldmodel.training.networks import Architecture, WorldNetworks  # noqa: E402

from ..clip_factory import moving_blobs  # noqa: E402

SMALL = Architecture(encoder_width=16, denoiser_width=16, deep_width=16, decoder_width=16, posterior_width=16)


def test_weights_have_7_bits_per_channel_and_gradients_pass() -> None:
    weight = torch.randn(4, 3, 3, 3, requires_grad=True)
    rounded = fake_quantise_weights(weight)
    steps = rounded / (weight.detach().abs().amax(dim=(1, 2, 3)) / WEIGHT_LIMIT)[:, None, None, None]
    torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0.0)
    assert float(steps.detach().abs().max()) == pytest.approx(WEIGHT_LIMIT, abs=1e-3)
    rounded.sum().backward()
    assert (weight.grad == 1.0).all()


def test_activations_keep_zero_exact_and_clip_to_what_was_seen() -> None:
    bounds = RunningRange()
    bounds.update(torch.tensor([-1.0, 3.0]))
    found = fake_quantise_activations(torch.tensor([-5.0, 0.0, 1.0, 9.0]), bounds)
    assert found[1] == 0.0 and found[0] == pytest.approx(-1.0, abs=0.02) and found[3] == pytest.approx(3.0, abs=0.02)


def test_rounding_ends_with_the_block() -> None:
    torch.manual_seed(0)
    networks, history, motion = WorldNetworks(SMALL), torch.rand(1, 10, 64, 64), torch.rand(1, 9, 64, 64)
    exact = networks.encoder(history, motion)
    with fake_quantised(networks):
        rough = networks.encoder(history, motion)
    assert 0.0 < (rough - exact).abs().max() < 0.2
    assert (networks.encoder(history, motion) == exact).all()


def test_fine_tuning_with_rounding_changes_the_weights_and_goes_on_after_a_stop(tmp_path: Path) -> None:
    torch.manual_seed(0)
    networks = WorldNetworks(SMALL)
    before = networks.decoder.out.weight.detach().clone()
    clips = moving_blobs(12), moving_blobs(6, seed=1)
    with fake_quantised(networks):
        tuned = fine_tune(networks, clips, tmp_path, fine_tuning_config(3, 1, 0, batch_size=4), {"data": {}})
    assert not torch.equal(tuned.decoder.out.weight, before)
    again = fine_tune(WorldNetworks(SMALL), clips, tmp_path, fine_tuning_config(3, 1, 0, batch_size=4), {})
    torch.testing.assert_close(again.decoder.out.weight, tuned.decoder.out.weight)
    with pytest.raises(ConfigError, match="choose another --work"):
        fine_tune(WorldNetworks(Architecture()), clips, tmp_path, fine_tuning_config(3, 1, 0), {})
