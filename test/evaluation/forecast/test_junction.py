"""The T-junction: who draws both branches passes, who draws their mean or one of them does not."""

from __future__ import annotations

import numpy as np
import pytest

from edge_worldmodel.core.model.motion_forecast import motion_forecast
from edge_worldmodel.evaluation.forecast.junction import choice_errors, covers_both, draw_junction


@pytest.fixture
def junction():
    return draw_junction(np.random.default_rng(3))


def futures_of(*branches):
    """One future per branch, somebody in the middle of it from the fifth horizon on."""
    futures = np.zeros((len(branches), 8, 64, 64), np.float32)
    for future, (branch, probability) in zip(futures, branches, strict=True):
        rows, columns = np.nonzero(branch)
        future[4:, rows[len(rows) // 2], columns[len(columns) // 2]] = probability
    return futures


def test_somebody_comes_up_the_stem_and_both_branches_are_seen_free(junction):
    motion = motion_forecast(junction.history)
    assert motion[0].any(), "the walker is seen to walk"
    columns = [np.nonzero(grid)[1].mean() for grid in (motion[0], motion[2])]
    assert columns[1] < columns[0], "towards the robot"
    for branch in (junction.left, junction.right):
        assert branch.sum() > 50 and junction.history[-1][branch].mean() > 0.8
    assert not (junction.left & junction.right).any()


def test_both_branches(junction):
    left, right = (junction.left, 0.9), (junction.right, 0.9)
    assert covers_both(futures_of(left, right), junction)
    assert not covers_both(futures_of(left, left), junction)
    assert not covers_both(futures_of((junction.left, 0.4), (junction.right, 0.4)), junction)
    both_at_once = futures_of((junction.left, 0.9))
    both_at_once = np.maximum(both_at_once, futures_of((junction.right, 0.9)))
    assert not covers_both(both_at_once, junction), "one future in which two people turn is no choice"


def test_who_imagines_both_has_a_future_that_is_right(junction):
    left, right = junction.walks.astype(np.float32)
    assert left.any(axis=(1, 2)).all() and (left[:2] == right[:2]).all(), "at first nobody can tell"
    assert (left[-1].astype(bool) & junction.left).any() and (right[-1].astype(bool) & junction.right).any()
    best, mean = choice_errors(np.stack([left, right]), junction)
    assert best == 0.0 and mean > 0.05
    best, mean = choice_errors(np.stack([0.5 * (left + right)] * 2), junction)
    assert best == pytest.approx(mean)
