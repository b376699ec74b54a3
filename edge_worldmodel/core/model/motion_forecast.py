"""The motion forecast: cells of movers, now and later at constant velocity; imagination adds the departures from it.

A small cluster of occupied cells is a mover if other frames of the history saw free space there. It is followed back
through the history; the slope of its centres is its velocity. All other cells count as static.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.tensors import (
    CELL_SIZE_M,
    GRID_CELLS,
    GRID_CHANNELS,
    HISTORY_FRAMES,
    HISTORY_INTERVAL_S,
    HORIZON_STEP_S,
    HORIZON_STEPS,
)
from edge_worldmodel.core.types import Floats, Tensor

_SMALLEST_CLUSTER_CELLS = 2
_LARGEST_CLUSTER_CELLS = 40
"""Larger clusters (over 1.6 square metres) count as static."""
_FRESH_SHARE = 0.5
"""Share of a cluster's cells that other frames must have seen free; static cells are never seen free."""
_GATE_MPS = 2.5
"""Highest speed at which a cluster is followed from frame to frame."""
_FEWEST_SIGHTINGS = 3
"""Fewest frames, the present one included, in which a mover must have been found for its velocity to be reliable."""


@dataclass(frozen=True)
class _Clusters:
    """Clusters of one frame that may be movers: centres (n, 2) as (ix, iy), their labels, and the label image."""

    centres: Floats
    labels: NDArray[np.intp]
    image: NDArray[np.int32]


def motion_forecast(history: Tensor) -> Tensor:
    """Return the cells of movers now and later, at constant velocity.

    Args:
        history: (10, 64, 64) frames of occupied and free, oldest first.

    Returns:
        (1 + H, 64, 64) of 0 or 1: now, then at each imagined time.
    """
    frames = history.reshape(HISTORY_FRAMES, GRID_CHANNELS, GRID_CELLS, GRID_CELLS)
    times_seen_free = frames[:, 1].sum(axis=0)
    past = [_clusters(frames[index], times_seen_free) for index in range(HISTORY_FRAMES)]
    present = past.pop()
    past.reverse()
    found = np.zeros((1 + HORIZON_STEPS, GRID_CELLS, GRID_CELLS), np.float32)
    times_s = HORIZON_STEP_S * np.arange(1 + HORIZON_STEPS)
    for centre, label in zip(present.centres, present.labels, strict=True):
        velocity = _velocity(centre, past)
        if velocity is None:
            continue
        rows, columns = np.nonzero(present.image == label)
        moved = np.rint(np.stack([columns, rows]) + (times_s[:, None] * velocity)[:, :, None]).astype(np.intp)
        inside = ((moved >= 0) & (moved < GRID_CELLS)).all(axis=1)
        step, _ = np.nonzero(inside)
        found[step, moved[:, 1][inside], moved[:, 0][inside]] = 1.0
    return found


def _clusters(frame: Tensor, times_seen_free: Tensor) -> _Clusters:
    """Return the small clusters of a frame where other frames saw free space."""
    occupied = frame[0] > 0
    count, image, stats, centres = cv2.connectedComponentsWithStats(occupied.astype(np.uint8), connectivity=8)
    others_saw_free = (times_seen_free - frame[1] > 0) & occupied
    fresh_cells = np.bincount(image[others_saw_free], minlength=count)
    cells = stats[:, cv2.CC_STAT_AREA]
    small = (cells >= _SMALLEST_CLUSTER_CELLS) & (cells <= _LARGEST_CLUSTER_CELLS)
    small &= fresh_cells >= _FRESH_SHARE * cells
    small[0] = False  # label 0 is the background
    labels = np.flatnonzero(small)
    return _Clusters(centres[labels], labels, np.asarray(image, np.int32))


def _velocity(centre: Floats, past: list[_Clusters]) -> Floats | None:
    """Follow a cluster back through the past frames, newest first.

    Returns:
        (2,) velocity in cells per second, x first; None if the cluster was found in fewer than two past frames.
    """
    centres, times_s = [centre], [0.0]
    for back, clusters in enumerate(past, start=1):
        if not len(clusters.centres):
            continue
        time_s = -back * HISTORY_INTERVAL_S
        gaps_m = np.hypot(*(clusters.centres - centres[-1]).T) * CELL_SIZE_M
        nearest = int(gaps_m.argmin())
        if gaps_m[nearest] < _GATE_MPS * (times_s[-1] - time_s):
            centres.append(clusters.centres[nearest])
            times_s.append(time_s)
    if len(centres) < _FEWEST_SIGHTINGS:
        return None
    t = np.array(times_s) - np.mean(times_s)
    velocity: Floats = t @ (np.array(centres) - np.mean(centres, axis=0)) / (t @ t)
    return velocity
