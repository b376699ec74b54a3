"""Rays of a sweep by their directions, in bins of two degrees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.geometry import diamond_angle
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.types import Floats, Points
from edge_worldmodel.kernels.library import rays


def bin_starts(bins: int) -> Floats:
    """Return the diamond angle (bins,), counted from the direction -x, at which each of so many bins begins."""
    angles = np.arange(bins) * (2.0 * np.pi / bins)
    return diamond_angle(np.stack((np.cos(angles), np.sin(angles)), axis=-1))


BINS = 180
BIN_STARTS = bin_starts(BINS)


@dataclass(frozen=True)
class Rays:
    """Rays of a sweep.

    Attributes:
        lengths_m: (n,) horizontal lengths.
        bins: (n,) bin of each direction.
        reach_m: (BINS,) second longest ray in each bin and its neighbours; 0 without two.
    """

    lengths_m: Floats
    bins: NDArray[np.int64]
    reach_m: Floats

    @classmethod
    def of(cls, sweep: Sweep) -> Rays:
        """Return the rays of a sweep."""
        return cls(*(rays(sweep.origin, sweep.endpoints, BIN_STARTS) or _rays(sweep.endpoints - sweep.origin)))


def bearing_bins(offsets: Points, starts: Floats = BIN_STARTS) -> NDArray[np.int64]:
    """Return the bin (...) of the direction of each offset (..., 2), for bins that begin at ``starts``."""
    return np.searchsorted(starts, diamond_angle(-offsets), side="right") - 1


def _rays(offsets: Points) -> tuple[Floats, NDArray[np.int64], Floats]:
    """Do the same as the kernel, its twin."""
    lengths_m, bins = np.sqrt((offsets * offsets).sum(axis=-1)), bearing_bins(offsets)
    return lengths_m, bins, second_longest(lengths_m, bins)


def second_longest(lengths_m: Floats, bins: NDArray[np.int64]) -> Floats:
    """Return for each bin (BINS,) the second longest ray in it and its neighbours in metres; 0 without two."""
    longest, second = np.zeros(BINS), np.zeros(BINS)
    np.maximum.at(longest, bins, lengths_m)
    shorter = lengths_m < longest[bins]
    np.maximum.at(second, bins[shorter], lengths_m[shorter])
    shared = np.bincount(bins[~shorter], minlength=BINS) > 1
    second[shared] = longest[shared]
    around_longest, around_second = longest, second
    for beside in (1, -1):
        other_longest, other_second = np.roll(longest, beside), np.roll(second, beside)
        lower = np.minimum(around_longest, other_longest)
        around_second = np.maximum(np.maximum(around_second, other_second), lower)
        around_longest = np.maximum(around_longest, other_longest)
    return around_second
