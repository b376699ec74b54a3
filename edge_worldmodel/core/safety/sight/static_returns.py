"""Which returns of a sweep are known to be static, and which lie where nothing was: from the ranges of earlier sweeps.

A place was occupied in an earlier sweep if a return of that sweep lies there, or if it lies on the surface between two
neighbouring returns. It was free if the rays in its direction passed it. All places are compared in a frame in which
the measured motion is summed up, so slip and localisation do not matter over the second that is kept.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.geometry import transform_points
from edge_worldmodel.core.safety.motion.braking import points_in_turned, turned
from edge_worldmodel.core.safety.sight.bearings import bearing_bins, bin_starts
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.time_units import to_seconds
from edge_worldmodel.core.types import Floats, Mask, Points, Pose
from edge_worldmodel.kernels.library import compare_views, rays

_BINS = 360
_BIN_STARTS = bin_starts(_BINS)
_NEAR_M = 6.0
"""Returns farther away than this cannot reach the robot's way before it stands."""
_SPACING_S, _MAX_VIEWS, _OLDEST_S = 0.09, 6, 1.5
_YOUNGEST_S, _STATIC_S = 0.08, 0.4
"""Views younger than the first say nothing about motion; a static place was occupied at least the second ago."""
_SAME_PLACE_M = 0.15
_SAME_SURFACE_M = 0.6
"""Two neighbouring returns whose ranges differ by less than this are one surface, seen at a grazing angle."""
_AROUND = 3
"""Directions to either side that are compared, too, as hard turns leave the heading uncertain by two degrees."""


_Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Returns:
    """The nearest return in each direction, in the order of the directions.

    Attributes:
        places: (n, 2) in the frame of the summed motion.
        static: (n,) whether its place has been occupied for a while.
        moved_in: (n,) whether its place was seen free a short while ago, and has not been occupied for long.
    """

    places: Points
    static: Mask
    moved_in: Mask


class _View(NamedTuple):
    """An earlier sweep: its stamp, and its row of ``compare_views``."""

    stamp_ns: int
    row: Floats


class StaticReturns:
    """Compares each sweep of one sensor with those before it."""

    def __init__(self) -> None:
        self._views: deque[_View] = deque(maxlen=_MAX_VIEWS)

    def look(self, sweep: Sweep, lengths_m: Floats, place: Pose) -> Returns:
        """Take a sweep and return what is known about its returns.

        Args:
            sweep: sweep of the sensor.
            lengths_m: (n,) of its rays.
            place: (3,) of the base at this sweep in the frame of the summed motion.
        """
        measured = rays(sweep.origin, sweep.endpoints, _BIN_STARTS)
        bins = bearing_bins(sweep.endpoints - sweep.origin, _BIN_STARTS) if measured is None else measured[1]
        hits = np.flatnonzero(sweep.hit)
        nearest_m = np.full(_BINS, np.inf)
        np.minimum.at(nearest_m, bins[hits], lengths_m[hits])
        rows = hits[(lengths_m[hits] == nearest_m[bins[hits]]) & (lengths_m[hits] < _NEAR_M)]
        chosen = np.full(_BINS, -1)
        chosen[bins[rows]] = rows
        places = transform_points(place, sweep.endpoints[chosen[chosen >= 0]])
        returns = self._compare(places, sweep.stamp_ns)
        if not self._views or to_seconds(sweep.stamp_ns - self._views[-1].stamp_ns) >= _SPACING_S:
            self._views.append(_view(sweep, lengths_m, bins, place, nearest_m))
        return returns

    def _compare(self, places: Points, now_ns: int) -> Returns:
        """Compare places (n, 2) of returns with the earlier views."""
        ages_s = [to_seconds(now_ns - view.stamp_ns) for view in self._views]
        compared = [index for index, age_s in enumerate(ages_s) if _YOUNGEST_S <= age_s <= _OLDEST_S]
        if not compared:
            nothing = np.zeros(len(places), dtype=np.bool_)
            return Returns(places, nothing, nothing)
        rows = np.array([self._views[index].row for index in compared])
        occupied, free = compare_views(_BIN_STARTS, rows, _AROUND, places) or _compare_views(rows, places)
        # The views are in the order of time, so the old ones come first.
        old = sum(ages_s[index] >= _STATIC_S for index in compared)
        occupied_count, free_count = occupied.sum(axis=0), free.sum(axis=0)
        static = occupied[:old].any(axis=0) & (occupied_count >= free_count)
        return Returns(places, static, free_count > occupied_count)


def _view(sweep: Sweep, lengths_m: Floats, bins: _Rows, place: Pose, nearest_m: Floats) -> _View:
    """Return the ranges of a sweep, so that later ones can be compared with them."""
    around = np.arange(-_AROUND, _BINS + _AROUND + 1)
    nearest_m = nearest_m.take(around, mode="wrap")
    this_m, next_m = nearest_m[:-1], nearest_m[1:]
    with np.errstate(invalid="ignore"):
        one_surface = np.abs(next_m - this_m) < _SAME_SURFACE_M
    shortest_m = np.full(_BINS, np.inf)
    np.minimum.at(shortest_m, bins, lengths_m)
    windows_m = np.lib.stride_tricks.sliding_window_view(shortest_m.take(around[:-1], mode="wrap"), 2 * _AROUND + 1)
    # Where all rays lie to one side, as at the edge of the field of view, a thing beside it may lie between.
    left_m, right_m = windows_m[:, : _AROUND + 1].min(axis=1), windows_m[:, _AROUND:].min(axis=1)
    is_between = np.isfinite(np.maximum(left_m, right_m))
    low_m = np.where(one_surface, np.minimum(this_m, next_m), this_m) - _SAME_PLACE_M
    high_m = np.where(one_surface, np.maximum(this_m, next_m), this_m) + _SAME_PLACE_M
    passed_m = np.where(is_between, np.minimum(left_m, right_m) - _SAME_PLACE_M, 0.0)
    return _View(sweep.stamp_ns, np.concatenate((turned(place[None])[0], sweep.origin, low_m, high_m, passed_m)))


def _compare_views(views: Floats, places: Points) -> tuple[Mask, Mask]:
    """Do the same as the kernel, its twin."""
    offsets = points_in_turned(views[:, :4], places) - views[:, None, 4:6]
    range_m, bins = np.sqrt((offsets * offsets).sum(axis=-1)), bearing_bins(offsets, _BIN_STARTS)
    padded = _BINS + 2 * _AROUND
    low_m, high_m, passed_m = np.split(views[:, 6:], (padded, 2 * padded), axis=1)
    occupied = np.zeros(range_m.shape, dtype=np.bool_)
    for beside in range(2 * _AROUND + 1):
        lows_m, highs_m = (np.take_along_axis(bound, bins + beside, axis=1) for bound in (low_m, high_m))
        occupied |= (lows_m <= range_m) & (range_m <= highs_m)
    return occupied, ~occupied & (range_m < np.take_along_axis(passed_m, bins, axis=1))
