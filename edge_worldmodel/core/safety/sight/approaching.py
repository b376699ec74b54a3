"""Finds what may approach the robot in the sweeps of one sensor: groups of returns at places that were free.

All groups of returns that are not static are tracked, so that the velocity of one is mostly known by the time that it
has come to a place that was free. A Kalman filter with constant velocity estimates it (Bar-Shalom, Li and Kirubarajan,
Estimation with Applications to Tracking and Navigation, 6.3). Its standard deviation begins at ``approach_speed_mps``,
so half of that speed is expected, in any direction, of a group that has just come into sight.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.safety.sight.static_returns import Returns
from edge_worldmodel.core.time_units import to_seconds
from edge_worldmodel.core.types import Floats, Points, Pose

_Rows = NDArray[np.intp]

_GAP_M, _WIDTH_M = 0.3, 0.8
"""Returns this far apart are of different groups; wider groups are cut into groups of this width."""
_MAX_GROUPS = 32
_MIN_RETURNS, _MOVED_SHARE = 2, 0.3
_CENTER_STD_M, _ACCELERATION_STD_MPS2 = 0.08, 1.0
_GROWTH = 0.5
"""Share of the standard deviation of the velocity by which a disc grows; at 1 a crowd slows the robot far more."""
_KEPT_S = 0.3
"""A group that is not seen any more is kept for this long."""
_CENTER, _VELOCITY, _RADIUS, _UNSEEN = slice(0, 2), slice(2, 4), 4, 5
_VARIANCE, _COVARIANCE, _VELOCITY_VARIANCE, _SINCE_MOVED = 6, 7, 8, 9
"""Columns of a group: centre, velocity, radius, time unseen, the variances, which are the same along both axes, and the
time since it was where nothing had been."""
_COLUMNS = 10
_NO_ROWS: _Rows = np.empty(0, dtype=np.intp)


class Approaching:
    """Keeps the groups of returns of one sensor that are not static.

    Args:
        speed_mps: standard deviation of the velocity of a new group.
    """

    def __init__(self, speed_mps: float) -> None:
        self._speed_mps = speed_mps
        self._stamp_ns = 0
        self._groups, self._movers = np.empty((0, _COLUMNS)), np.empty((0, 6))

    def look(self, returns: Returns, origin: Points, stamp_ns: int) -> None:
        """Take the returns of the next sweep.

        Args:
            returns: nearest return in each direction.
            origin: (2,) of the sensor in the frame of the summed motion.
            stamp_ns: stamp of the sweep.
        """
        elapsed_s = min(max(to_seconds(stamp_ns - self._stamp_ns), 0.0), 1.0)
        self._stamp_ns = stamp_ns
        found = find_groups(returns, origin)
        groups = _predicted(self._groups, elapsed_s)
        known, seen = _matches(groups, found)
        is_new = np.ones(len(found), dtype=np.bool_)
        # One that was seen in a single sweep only may have been noise.
        is_lost = (groups[:, _UNSEEN] <= _KEPT_S) & (groups[:, _VELOCITY_VARIANCE] < self._speed_mps**2)
        is_new[seen], is_lost[known] = False, False
        appeared = np.zeros((int(is_new.sum()), _COLUMNS))
        appeared[:, _CENTER], appeared[:, _RADIUS] = found[is_new, :2], found[is_new, 2]
        appeared[:, _VARIANCE] = _CENTER_STD_M**2
        appeared[:, _VELOCITY_VARIANCE] = self._speed_mps**2
        appeared[:, _SINCE_MOVED] = np.where(found[is_new, 3] > 0.0, 0.0, math.inf)
        parts = (_corrected(groups[known], found[seen]), appeared, groups[is_lost])
        self._groups = np.concatenate(parts)[:_MAX_GROUPS]
        moving = self._groups[self._groups[:, _SINCE_MOVED] <= _KEPT_S]
        growth_mps = _GROWTH * np.minimum(np.sqrt(moving[:, _VELOCITY_VARIANCE]), self._speed_mps)
        self._movers = np.column_stack((moving[:, : _RADIUS + 1], growth_mps))

    def movers(self, place: Pose, now_ns: int) -> Floats:
        """Return the groups that may approach, as rows (n, 6) of ``Movers``.

        Args:
            place: (3,) of the base in the frame of the summed motion.
            now_ns: time of that place.
        """
        elapsed_s = min(max(to_seconds(now_ns - self._stamp_ns), 0.0), 1.0)
        movers, (x, y, yaw) = self._movers, place.tolist()
        if not len(movers):
            return movers
        cos, sin = math.cos(yaw), math.sin(yaw)
        turn, rows = np.array(((cos, -sin), (sin, cos))), movers.copy()
        rows[:, 4] += elapsed_s * rows[:, 5]
        rows[:, 2:4] = movers[:, 2:4] @ turn
        rows[:, :2] = (movers[:, :2] - (x, y)) @ turn + elapsed_s * rows[:, 2:4]
        return rows


def find_groups(returns: Returns, origin: Points) -> Floats:
    """Group the returns that are not static.

    Args:
        returns: nearest return in each direction.
        origin: (2,) of the sensor in their frame.

    Returns:
        Centre, radius and whether enough of it lies where nothing was, for each group (k, 4); those first, and the
        nearest to the sensor first.
    """
    if returns.static.all():
        return np.empty((0, 4))
    chosen = np.flatnonzero(~returns.static)
    places, moved_in = returns.places[chosen], returns.moved_in[chosen]
    step = places - places[np.arange(-1, len(places) - 1)]
    gap = np.sqrt((step * step).sum(axis=1)) > _GAP_M
    # The circle is cut where a group ends, if one does.
    order = np.roll(np.arange(len(places)), -int(gap.argmax()))
    places, moved_in, cut = places[order], moved_in[order], gap[order]
    cut[0] = True
    across = places - places[np.flatnonzero(cut)][np.cumsum(cut) - 1]
    piece = (np.sqrt((across * across).sum(axis=1)) / _WIDTH_M).astype(np.intp)
    cut[1:] |= piece[1:] != piece[:-1]
    begin, group = np.flatnonzero(cut), np.cumsum(cut) - 1
    moved = np.add.reduceat(moved_in.astype(np.intp), begin)
    has_moved = (moved >= _MIN_RETURNS) & (moved >= _MOVED_SHARE * np.diff(begin, append=len(cut)))
    centers = 0.5 * (np.minimum.reduceat(places, begin) + np.maximum.reduceat(places, begin))
    spread = places - centers[group]
    radii_m = np.sqrt(np.maximum.reduceat((spread * spread).sum(axis=1), begin))
    away = centers - origin
    order = np.lexsort(((away * away).sum(axis=1), ~has_moved))[:_MAX_GROUPS]
    return np.column_stack((centers, radii_m, has_moved))[order]


def _predicted(groups: Floats, elapsed_s: float) -> Floats:
    """Return the groups (n, 10) after some time."""
    after = groups.copy()
    noise = (elapsed_s * _ACCELERATION_STD_MPS2) ** 2
    both, velocity = groups[:, _COVARIANCE], groups[:, _VELOCITY_VARIANCE]
    after[:, _CENTER] += elapsed_s * groups[:, _VELOCITY]
    after[:, (_UNSEEN, _SINCE_MOVED)] += elapsed_s
    after[:, _VARIANCE] += 2.0 * elapsed_s * both + elapsed_s**2 * (velocity + 0.25 * noise)
    after[:, _COVARIANCE] += elapsed_s * (velocity + 0.5 * noise)
    after[:, _VELOCITY_VARIANCE] += noise
    return after


def _matches(groups: Floats, found: Floats) -> tuple[_Rows, _Rows]:
    """Return which rows of the groups (n, 10) are which rows found now (k, 4): those that are each other's nearest."""
    if not len(groups) or not len(found):
        return _NO_ROWS, _NO_ROWS
    apart = groups[:, None, _CENTER] - found[:, :2]
    apart2 = (apart * apart).sum(axis=-1)
    seen, rows = apart2.argmin(axis=1), np.arange(len(groups))
    bound_m = _GAP_M + np.sqrt(groups[:, _VARIANCE])
    mutual = (apart2.argmin(axis=0)[seen] == rows) & (apart2[rows, seen] <= bound_m * bound_m)
    return rows[mutual], seen[mutual]


def _corrected(groups: Floats, found: Floats) -> Floats:
    """Return the groups (n, 10) after they were found as (n, 4)."""
    after = groups.copy()
    both = groups[:, _COVARIANCE]
    gains = groups[:, _VARIANCE : _COVARIANCE + 1] / (groups[:, _VARIANCE] + _CENTER_STD_M**2)[:, None]
    off = found[:, :2] - groups[:, _CENTER]
    after[:, _CENTER] += gains[:, :1] * off
    after[:, _VELOCITY] += gains[:, 1:] * off
    after[:, _VARIANCE : _COVARIANCE + 1] *= 1.0 - gains[:, :1]
    after[:, _VELOCITY_VARIANCE] -= gains[:, 1] * both
    after[:, _RADIUS], after[:, _UNSEEN] = found[:, 2], 0.0
    after[found[:, 3] > 0.0, _SINCE_MOVED] = 0.0
    return after
