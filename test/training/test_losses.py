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


def test_two_sharp_futures_beat_two_blurred_ones_where_one_of_them_comes_true(batch: Batch) -> None:
    """The truth is one of two clips that differ everywhere; half of each is the same mean, but no scene."""
    sure = 9.0 * (2.0 * batch.future - 1.0)
    energy, _ = losses.ensemble_loss(torch.stack([sure, -sure], dim=1), batch)
    blurred, _ = losses.ensemble_loss(torch.zeros_like(torch.stack([sure, sure], dim=1)), batch)
    assert (energy < 0.1 * blurred).all()


def test_an_ensemble_is_scored_as_what_it_is_drawn_from(batch: Batch) -> None:
    """Two sharp futures are drawn from a fair coin: on average they cost what the coin's probability costs."""
    yes, no = (torch.full_like(batch.future, value) for value in (20.0, -20.0))
    draws = [torch.stack(pair, dim=1) for pair in ((yes, yes), (yes, no), (no, yes), (no, no))]
    drawn = torch.stack([losses.ensemble_loss(each, batch)[1] for each in draws]).mean(dim=0)
    _, even = losses.ensemble_loss(torch.zeros_like(draws[0]), batch)
    torch.testing.assert_close(drawn, even)
    assert (even > 0).all()


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
