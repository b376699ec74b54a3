"""Where what moves would be if it kept its velocity: the forecast that the world model imagines departures from.

Small clusters of occupied cells, where other frames of the history saw free space, are followed back through the
history; the slope of their centres is their velocity. Everything else is taken to stand.
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
_FRESH_SHARE = 0.5
"""Share of a cluster's cells that another frame must have seen free: what stands is seen free by none."""
_GATE_MPS = 2.5
"""Fastest motion that is followed from frame to frame."""
_FEWEST_SIGHTINGS = 3


@dataclass(frozen=True)
class _Clusters:
    """The movers' candidates of one frame: cell centres (n, 2) as (ix, iy), their labels, and the label image."""

    centres: Floats
    labels: NDArray[np.intp]
    image: NDArray[np.int32]


def motion_forecast(history: Tensor) -> Tensor:
    """Return where movers are and would be at constant velocity.

    Args:
        history: (10, 64, 64), frames of occupied and free, oldest first.

    Returns:
        (1 + H, 64, 64) of 0 or 1: the movers' cells now, then at each imagined time.
    """
    frames = history.reshape(HISTORY_FRAMES, GRID_CHANNELS, GRID_CELLS, GRID_CELLS)
    times_seen_free = frames[:, 1].sum(axis=0)
    past = [_clusters(frames[index], times_seen_free) for index in range(HISTORY_FRAMES)]
    present = past.pop()
    past.reverse()
    found = np.zeros((1 + HORIZON_STEPS, GRID_CELLS, GRID_CELLS), np.float32)
    ahead_s = HORIZON_STEP_S * np.arange(1 + HORIZON_STEPS)
    for centre, label in zip(present.centres, present.labels, strict=True):
        velocity = _velocity(centre, past)
        if velocity is None:
            continue
        rows, columns = np.nonzero(present.image == label)
        moved = np.rint(np.stack([columns, rows]) + (ahead_s[:, None] * velocity)[:, :, None]).astype(np.intp)
        inside = ((moved >= 0) & (moved < GRID_CELLS)).all(axis=1)
        step, _ = np.nonzero(inside)
        found[step, moved[:, 1][inside], moved[:, 0][inside]] = 1.0
    return found


def _clusters(frame: Tensor, times_seen_free: Tensor) -> _Clusters:
    """Return the small clusters of a frame, where another frame saw free space."""
    occupied = frame[0] > 0
    count, image, stats, centres = cv2.connectedComponentsWithStats(occupied.astype(np.uint8), connectivity=8)
    others_saw_free = (times_seen_free - frame[1] > 0) & occupied
    fresh_cells = np.bincount(image[others_saw_free], minlength=count)
    cells = stats[:, cv2.CC_STAT_AREA]
    small = (cells >= _SMALLEST_CLUSTER_CELLS) & (cells <= _LARGEST_CLUSTER_CELLS)
    small &= fresh_cells >= _FRESH_SHARE * cells
    small[0] = False
    labels = np.flatnonzero(small)
    return _Clusters(centres[labels], labels, np.asarray(image, np.int32))


def _velocity(centre: Floats, past: list[_Clusters]) -> Floats | None:
    """Follow a cluster back through the frames, the newest of them first.

    Returns:
        Cells per second (2,); None unless it was found in at least two of them.
    """
    places, times = [centre], [0.0]
    for back, clusters in enumerate(past, start=1):
        if not len(clusters.centres):
            continue
        then_s = -back * HISTORY_INTERVAL_S
        gaps_m = np.hypot(*(clusters.centres - places[-1]).T) * CELL_SIZE_M
        nearest = int(gaps_m.argmin())
        if gaps_m[nearest] < _GATE_MPS * (times[-1] - then_s):
            places.append(clusters.centres[nearest])
            times.append(then_s)
    if len(places) < _FEWEST_SIGHTINGS:
        return None
    t = np.array(times) - np.mean(times)
    velocity: Floats = t @ (np.array(places) - np.mean(places, axis=0)) / (t @ t)
    return velocity
