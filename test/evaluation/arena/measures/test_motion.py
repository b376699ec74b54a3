"""Stops and freezing from twists."""

import numpy as np
import pytest

from edge_worldmodel.evaluation.arena.measures.motion import freezing_s, mean_jerk, stops


def driven(*parts):
    """Return twists of parts (speed, yaw rate, number of periods of 0.1 s)."""
    return np.concatenate([np.tile([speed, 0.0, rate], (count, 1)) for speed, rate, count in parts])


def test_a_stop_needs_a_drive_before_it():
    assert stops(driven((0.0, 0.0, 10))) == 0
    assert stops(driven((0.5, 0.0, 5), (0.0, 0.0, 3), (0.1, 0.0, 3), (0.0, 0.0, 3))) == 1
    assert stops(driven((0.5, 0.0, 5), (0.0, 0.0, 3), (0.5, 0.0, 3), (0.0, 0.0, 3))) == 2


def test_freezing_is_standing_for_a_second_without_turning():
    twists = driven((0.5, 0.0, 5), (0.0, 0.0, 9), (0.5, 0.0, 2), (0.0, 0.0, 10), (0.0, 1.0, 20), (0.0, 0.0, 15))
    assert np.isclose(freezing_s(twists, 0.1), 2.5)
    assert freezing_s(driven((0.5, 0.0, 5)), 0.1) == 0.0


def test_jerk_is_zero_at_constant_acceleration():
    speeds = np.arange(10) * 0.1
    steady = np.stack([speeds, 0 * speeds, 0 * speeds], axis=-1)
    assert mean_jerk(steady, 0.1) == pytest.approx(0.0, abs=1e-9)
    steady[4, 0] += 0.01
    assert mean_jerk(steady, 0.1) > 0.1
