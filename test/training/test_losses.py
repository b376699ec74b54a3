"""Losses: honest weights, and the right cells."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the training environment: make setup-train")

from dataclasses import replace  # noqa: E402

import numpy as np  # noqa: E402

from edge_worldmodel.training import losses  # noqa: E402
from edge_worldmodel.training.batches import Batch, take  # noqa: E402

from .clip_factory import moving_blobs  # noqa: E402


@pytest.fixture
def batch() -> Batch:
    return take(moving_blobs(4), np.arange(4))


def test_reach_grows_with_time_and_holds_what_moves_at_walking_speed(batch: Batch) -> None:
    reach = losses.reach(batch.present_moving)
    assert (reach[:, 1:] >= reach[:, :-1]).all() and reach[:, 7].sum() > reach[:, 0].sum()
    assert (reach >= batch.moving).all()
    assert losses.reach(torch.zeros_like(batch.present_moving)).sum() == 0


def test_the_forecast_loss_is_least_at_the_true_frequency(batch: Batch) -> None:
    """A weight that looked at the outcome would move the best probability away from the frequency."""
    one = replace(batch, **{name: getattr(batch, name)[:1] for name in batch.__dataclass_fields__})
    empty = replace(one, future=torch.zeros_like(one.future), moving=torch.zeros_like(one.moving))
    levels = torch.linspace(-4.0, 4.0, 81)
    cell = (slice(None), 3, *(one.moving[0, 3].nonzero()[0]))
    totals = []
    for level in levels:
        logits = torch.full_like(one.future, -3.0)
        logits[cell] = level
        # The blob arrives in one of four like cases.
        total = losses.forecast_loss(logits, one) + 3.0 * losses.forecast_loss(logits, empty)
        totals.append(float(total))
    best = torch.sigmoid(levels[int(np.argmin(totals))])
    assert abs(float(best) - 0.25) < 0.02


def test_an_ensemble_of_one_is_scored_like_a_forecast(batch: Batch) -> None:
    logits = torch.randn(len(batch.future), 1, *batch.future.shape[1:])
    expected = losses.forecast_loss(logits[:, 0], batch)
    for score in losses.ensemble_loss(logits, batch):
        torch.testing.assert_close(score, expected)


def test_two_sharp_futures_beat_two_blurred_ones_as_scenes_and_equal_them_as_probabilities(batch: Batch) -> None:
    """The truth is one of two clips that differ everywhere; half of each is the same mean, but no scene."""
    sure = 4.0 * (2.0 * batch.future - 1.0)
    sharp = torch.stack([sure, -sure], dim=1)
    mean, mixture = losses.ensemble_loss(sharp, batch)
    blurred_mean, blurred_mixture = losses.ensemble_loss(torch.zeros_like(sharp), batch)
    torch.testing.assert_close(mean, blurred_mean)
    assert (mixture < 0.2 * blurred_mixture).all()


def test_unknown_cells_cost_nothing(batch: Batch) -> None:
    hidden = replace(batch, known=torch.zeros_like(batch.known))
    logits = torch.randn_like(batch.future)
    assert losses.forecast_loss(logits, hidden).sum() == 0
    assert losses.reconstruction_loss(logits, hidden) == 0
    assert losses.reconstruction_loss(logits, batch) > 0


def test_the_divergence_is_zero_for_the_prior_alone() -> None:
    mean, log_variance = torch.zeros(2, 8, 16, 16), torch.zeros(2, 8, 16, 16)
    assert losses.divergence(mean, log_variance) == 0
    assert losses.divergence(mean + 1.0, log_variance) == pytest.approx(0.5 * 8 * 256)
    assert losses.divergence(mean, log_variance - 2.0) > 0
