"""Scores of whole futures: who knows what happens together is better than who knows each cell alone."""

from __future__ import annotations

import numpy as np
import pytest

from edge_worldmodel.evaluation.forecast.joint_scores import PATHS, energy_scores, path_forecast, random_paths
from edge_worldmodel.training.validation.metrics import Scores, make_truth, summarise

SHAPE = (8, 64, 64)
NOBODY = np.zeros(SHAPE[1:], bool)
LEFT, RIGHT = (slice(None), slice(34, 38), slice(31, 35)), (slice(None), slice(26, 30), slice(31, 35))


def truth_of(place, known=None):
    """Somebody who now stands ahead of the robot will be at ``place`` all the time."""
    occupied, present = np.zeros(SHAPE, bool), NOBODY.copy()
    occupied[place] = True
    present[31:33, 44:46] = True
    return make_truth(occupied, np.ones(SHAPE, bool) if known is None else known, occupied, present, present)


def straight(row, column):
    """One path that stays at a cell."""
    return np.broadcast_to(np.array([row, column]), (1, 8, 2))


def test_paths_start_at_the_robot_and_stay_on_the_grid():
    paths = random_paths(np.random.default_rng(0))
    assert paths.shape == (PATHS, 8, 2) and paths.min() >= 0 and paths.max() < 64
    assert np.abs(paths[:, 0] - 32).max() <= 4
    assert np.unique(np.sign(paths[:, -1] - 32), axis=0).shape[0] >= 4, "in every direction"


def test_a_path_that_will_be_hit():
    truth, path = truth_of(LEFT), straight(36, 33)
    sure = truth.occupied[None].astype(np.float32)
    for futures, error in ((sure, 0.0), (np.zeros_like(sure), 1.0), (np.full_like(sure, 0.5), 0.25)):
        summed, paths = path_forecast(futures, truth, NOBODY, path).errors()
        assert summed == pytest.approx([error] * 8) and (paths == 1).all()


def test_paths_that_are_blocked_now_or_unknown_later_do_not_count():
    truth, path = truth_of(LEFT), straight(36, 33)
    futures = np.zeros((1, *SHAPE), np.float32)
    blocked = NOBODY.copy()
    blocked[36, 33] = True
    assert not path_forecast(futures, truth, blocked, path).errors()[1].any()
    known = np.ones(SHAPE, bool)
    known[5:] = False
    assert path_forecast(futures, truth_of(LEFT, known), NOBODY, path).errors()[1].tolist() == [1.0] * 5 + [0.0] * 3


def test_path_probabilities_that_come_true_as_often_as_they_say_have_no_error():
    truth, path, scores = truth_of(LEFT), straight(36, 33), Scores()
    for hit in (True, False):
        happened = truth if hit else truth_of((slice(None), slice(2, 4), slice(2, 4)))
        futures = np.full((1, *SHAPE), 0.5, np.float32)
        scores.add(futures[0], happened)
        scores.add_joint(path_forecast(futures, happened, NOBODY, path), np.zeros(8))
    result = summarise(scores, np.zeros(2, int), draws=10)
    assert result["path_ece"] == pytest.approx([0.0] * 8) and result["path_brier"] == pytest.approx([0.25] * 8)
    scores.add_joint(path_forecast(futures, truth, NOBODY, path), np.zeros(8))
    scores.add(futures[0], truth)
    again = summarise(scores, np.arange(3), draws=200)
    assert again["path_ece"] == pytest.approx([2 / 3 - 0.5] * 8)
    assert again["path_ece_low"][0] <= again["path_ece"][0] < again["path_ece_high"][0] == pytest.approx(0.5)


def test_two_branches_beat_their_mean_where_a_path_crosses_them():
    """Either left or right: a path through both is hit for certain, which no probability of cells can say."""
    left, right = truth_of(LEFT), truth_of(RIGHT)
    branches = np.stack([left.occupied, right.occupied]).astype(np.float32)
    mean = branches.mean(axis=0, keepdims=True)
    path = np.concatenate([straight(36, 33)[:, :4], straight(28, 33)[:, 4:]], axis=1)
    for truth in (left, right):
        joint = path_forecast(branches, truth, NOBODY, path).errors()[0][-1]
        assert joint < path_forecast(mean, truth, NOBODY, path).errors()[0][-1] + 1e-9
        assert energy_scores(branches, truth).sum() < energy_scores(mean, truth).sum()


def test_the_energy_of_the_truth_is_zero():
    truth = truth_of(LEFT)
    assert energy_scores(truth.occupied[None].astype(np.float32), truth) == pytest.approx([0.0] * 8)
