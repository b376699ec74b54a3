"""Forecast scores: right on cases that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edge_worldmodel.training.validation.metrics import (
    Scores,
    average_precision,
    calibration_error,
    make_truth,
    reachable,
    summarise,
)

SHAPE = (8, 64, 64)


def _truth():
    moving = np.zeros(SHAPE, bool)
    moving[:, 30:33, 40:43] = True
    present = np.zeros(SHAPE[1:], bool)
    present[30:33, 37:40] = True
    wall = np.zeros(SHAPE, bool)
    wall[:, 0] = True
    return make_truth(moving | wall, np.ones(SHAPE, bool), moving, present, present | wall[0])


def _score(probability: np.ndarray, truth=None) -> dict[str, list[float]]:
    scores = Scores()
    scores.add(probability.astype(np.float32), truth or _truth())
    return summarise(scores, np.zeros(1, int), draws=20)


def test_a_perfect_forecast_is_perfect() -> None:
    result = _score(_truth().occupied)
    for name in ("brier_moving", "brier_reach", "brier_all", "ece"):
        assert result[name] == pytest.approx([0.0] * 8, abs=1e-6)
    assert result["iou"] == [1.0] * 8 and result["ap"] == pytest.approx([1.0] * 8)


def test_known_values() -> None:
    # Nine cells are moved into and nine moved out of: half of the mask is occupied.
    assert _score(np.full(SHAPE, 0.5))["brier_moving"] == pytest.approx([0.25] * 8)
    empty = _score(np.zeros(SHAPE))
    assert empty["brier_moving"] == pytest.approx([0.5] * 8)
    assert empty["brier_all"] == pytest.approx([(9 + 64) / 4096] * 8)
    assert empty["nll_moving"] == pytest.approx([0.5 * -np.log(1e-3) - 0.5 * np.log1p(-1e-3)] * 8)
    assert empty["iou"] == [0.0] * 8


def test_what_stands_may_be_lost_and_what_is_free_may_be_invented() -> None:
    assert _score(np.zeros(SHAPE))["walls_lost"] == [1.0] * 8
    assert _score(np.ones(SHAPE))["walls_lost"] == [0.0] * 8
    assert _score(np.ones(SHAPE))["free_called_occupied"] == [1.0] * 8
    assert _score(np.zeros(SHAPE))["free_called_occupied"] == [0.0] * 8


def test_a_cell_that_one_look_hits_and_the_next_does_not_is_not_always_free() -> None:
    truth = _truth()
    edge = np.zeros(SHAPE, bool)
    edge[3, 50, 10] = True
    present = np.zeros(SHAPE[1:], bool)
    seen = make_truth(truth.occupied | edge, truth.known, truth.moving, present, present)
    result = _score(np.broadcast_to(edge.any(axis=0), SHAPE).astype(float), seen)
    assert result["always_free_called_occupied"] == [0.0] * 8
    assert result["free_called_occupied"][3] == 0.0 < result["free_called_occupied"][4]


def test_unknown_cells_do_not_count() -> None:
    truth = _truth()
    known = np.zeros(SHAPE, bool)
    known[:, :20] = True
    hidden = make_truth(truth.occupied, known, truth.movers, np.zeros(SHAPE[1:], bool), np.zeros(SHAPE[1:], bool))
    assert not hidden.moving.any()
    assert _score(np.ones(SHAPE), hidden)["brier_all"] == pytest.approx([19 / 20] * 8)


def test_reach_is_walking_speed_and_knows_no_outcome() -> None:
    present = np.zeros(SHAPE[1:], bool)
    present[32, 32] = True
    areas_m2 = reachable(present).sum(axis=(1, 2)) * 0.04
    radii_m = 0.2 + 1.5 * 0.4 * np.arange(1, 9)
    inside = np.pi * radii_m[:6] ** 2
    assert areas_m2[:6] == pytest.approx(inside, rel=0.15)
    assert not reachable(np.zeros(SHAPE[1:], bool)).any()


def test_calibration_error_of_a_known_table() -> None:
    table = np.zeros((200, 3))
    table[50] = (100, 50, 25.0)
    assert calibration_error(table) == pytest.approx(0.25)
    table[50] = (100, 25, 25.0)
    assert calibration_error(table) == 0.0


def test_average_precision_rewards_order_only() -> None:
    table = np.zeros((200, 3))
    table[150], table[20] = (10, 10, 0), (90, 0, 0)
    assert average_precision(table) == 1.0
    table[150], table[20] = (10, 0, 0), (90, 10, 0)
    assert average_precision(table) == pytest.approx(0.1)
    assert np.isnan(average_precision(np.zeros((200, 3))))


def test_the_best_future_is_better_than_each() -> None:
    truth, scores = _truth(), Scores()
    futures = np.stack([truth.occupied.astype(np.float32), np.zeros(SHAPE, np.float32)])
    scores.add_futures(futures, truth)
    scores.add(futures.mean(axis=0), truth)
    result = summarise(scores, np.zeros(1, int), draws=0)
    assert result["best_of_n"] == [0.0] * 8
    assert result["each_of_n"] == pytest.approx([0.25] * 8)
    assert result["spread_moving"] == pytest.approx([0.125] * 8)


def test_the_bootstrap_draws_scenes_not_clips() -> None:
    truth, rng = _truth(), np.random.default_rng(0)
    scores = Scores()
    levels = np.repeat(rng.uniform(0, 1, 8), 10)
    for level in levels:
        scores.add(np.full(SHAPE, level, np.float32), truth)
    by_scene = summarise(scores, np.repeat(np.arange(8), 10), draws=300)
    by_clip = summarise(scores, np.arange(80), draws=300)
    width = {
        name: r["brier_moving_high"][0] - r["brier_moving_low"][0] for name, r in (("s", by_scene), ("c", by_clip))
    }
    assert width["s"] > 2.0 * width["c"]
    assert by_scene["brier_moving_low"][0] < by_scene["brier_moving"][0] < by_scene["brier_moving_high"][0]
