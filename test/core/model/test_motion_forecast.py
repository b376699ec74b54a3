"""The motion forecast: movers keep their velocity, everything else is static."""

from __future__ import annotations

import numpy as np
import pytest

from edge_worldmodel.core import tensors
from edge_worldmodel.core.model.motion_forecast import motion_forecast

SIZE = tensors.GRID_CELLS


def history_of(cells_per_frame, walls=()):
    """Frames that see everything: free wherever nothing is; a mover of 2 x 2 cells at each given (ix, iy)."""
    frames = np.zeros((tensors.HISTORY_FRAMES, tensors.GRID_CHANNELS, SIZE, SIZE), np.float32)
    for frame, movers in zip(frames, cells_per_frame, strict=True):
        for x, y in movers:
            frame[0, y : y + 2, x : x + 2] = 1.0
        for rows, columns in walls:
            frame[0, rows, columns] = 1.0
        frame[1] = 1.0 - frame[0]
    return frames.reshape(-1, SIZE, SIZE)


@pytest.mark.parametrize("step_x, step_y", [(1, 0), (0, -1), (1, 1)])
def test_a_mover_goes_on_at_its_velocity(step_x, step_y):
    movers = [[(30 + step_x * k, 30 + step_y * k)] for k in range(5)]
    found = motion_forecast(history_of(movers))
    assert found.shape == tensors.MOTION.shape[1:] and found.dtype == np.float32
    for step in range(9):
        rows, columns = np.nonzero(found[step])
        # two cells per imagined step of 0.4 s, at one cell in 0.2 s
        assert columns.min() == 30 + (4 + 2 * step) * step_x and rows.min() == 30 + (4 + 2 * step) * step_y
        assert len(rows) == 4


def test_a_static_obstacle_is_no_mover():
    walls = [(slice(10, 12), slice(0, 40)), (slice(40, 42), slice(40, 42))]
    assert not motion_forecast(history_of([[]] * 5, walls)).any()


def test_a_mover_that_leaves_the_grid_is_gone():
    found = motion_forecast(history_of([[(50 + 2 * k, 30)] for k in range(5)]))
    assert found[0].sum() == 4 and not found[3:].any()


def test_one_sighting_is_no_velocity():
    assert not motion_forecast(history_of([[], [], [], [], [(30, 30)]])).any()


def test_two_movers_keep_their_own_velocities():
    found = motion_forecast(history_of([[(10, 10 + k), (50 - k, 50)] for k in range(5)]))
    assert found[4, 22:24, 10:12].all() and found[4, 50:52, 38:40].all() and found[4].sum() == 8


def test_nothing_seen_nothing_moves():
    assert not motion_forecast(np.zeros(tensors.HISTORY.shape[1:], np.float32)).any()
