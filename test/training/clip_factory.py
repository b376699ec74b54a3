"""Small random clips that are quick to make: blobs that go straight on, for tests of training and evaluation."""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core.tensors import GRID_CELLS, HISTORY_FRAMES, HORIZON_STEPS
from edge_worldmodel.training.data.shards import pack
from edge_worldmodel.training.data.splits import ClipSet, motion_of


def moving_blobs(count: int, seed: int = 0) -> ClipSet:
    """Return clips of one 3 x 3 blob each that moves by a cell or two a frame, and one wall that stands."""
    rng = np.random.default_rng(seed)
    histories, futures, movings, presents = [], [], [], []
    for _ in range(count):
        place, speed = rng.integers(20, 44, 2), rng.integers(-2, 3, 2)
        wall = np.zeros((GRID_CELLS, GRID_CELLS), bool)
        wall[rng.integers(0, GRID_CELLS)] = True
        past = [_blob(place + speed * step // 2) for step in range(1 - HISTORY_FRAMES, 1)]
        ahead = [_blob(place + speed * step) for step in range(1, HORIZON_STEPS + 1)]
        histories.append(np.stack([mask for blob in past for mask in (blob | wall, ~(blob | wall))]))
        futures.append(np.stack([blob | wall for blob in ahead]))
        movings.append(np.stack(ahead))
        presents.append(past[-1])
    known = np.ones((count, HORIZON_STEPS, GRID_CELLS, GRID_CELLS), bool)
    maneuver = rng.normal(0.0, 1.0, (count, HORIZON_STEPS, 3)).astype(np.float32)
    history, *outcome = [pack(np.stack(masks)) for masks in (histories, futures, known, movings, presents)]
    return ClipSet(
        history, motion_of(history), *outcome, maneuver, np.zeros(count, bool), np.arange(count, dtype=np.intp)
    )


def _blob(place: np.ndarray) -> np.ndarray:
    mask = np.zeros((GRID_CELLS, GRID_CELLS), bool)
    row, column = np.clip(place, 1, GRID_CELLS - 2)
    mask[row - 1 : row + 2, column - 1 : column + 2] = True
    return mask
