"""Rays of a sweep by their directions, in bins of two degrees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.types import Floats, Points

BINS = 180


@dataclass(frozen=True)
class Rays:
    """Horizontal length (n,) in metres and bin (n,) of the direction of each ray of a sweep."""

    lengths_m: Floats
    bins: NDArray[np.intp]

    @classmethod
    def of(cls, sweep: Sweep) -> Rays:
        """Return the rays of a sweep."""
        offsets = sweep.endpoints - sweep.origin
        return cls(np.hypot(offsets[:, 0], offsets[:, 1]), bearing_bins(offsets))


def bearing_bins(offsets: Points) -> NDArray[np.intp]:
    """Return the bin (...) of the direction of each offset (..., 2)."""
    turns = np.arctan2(offsets[..., 1], offsets[..., 0]) * (BINS / (2.0 * np.pi)) + 0.5 * BINS
    bins: NDArray[np.intp] = np.minimum(turns.astype(np.intp), BINS - 1)
    return bins


def second_longest(rays: Rays) -> Floats:
    """Return for each direction (BINS,) the second longest ray in it and its neighbours in metres; 0 without two."""
    longest, second = np.zeros(BINS), np.zeros(BINS)
    np.maximum.at(longest, rays.bins, rays.lengths_m)
    shorter = rays.lengths_m < longest[rays.bins]
    np.maximum.at(second, rays.bins[shorter], rays.lengths_m[shorter])
    shared = np.bincount(rays.bins[~shorter], minlength=BINS) > 1
    second[shared] = longest[shared]
    around_longest, around_second = longest, second
    for beside in (1, -1):
        other_longest, other_second = np.roll(longest, beside), np.roll(second, beside)
        lower = np.minimum(around_longest, other_longest)
        around_second = np.maximum(np.maximum(around_second, other_second), lower)
        around_longest = np.maximum(around_longest, other_longest)
    return around_second
