"""How smoothly a robot drove: jerk, stops, and the time it stood before the goal (the "freezing robot")."""

from __future__ import annotations

import math

import numpy as np

from edge_worldmodel.core.types import Floats

_REST_MPS, _REST_RADPS = 0.05, 0.1
_GOES_MPS = 0.15
"""A stop counts when the robot was at least this fast since the last one."""
FREEZING_S = 1.0
"""Standing counts as freezing from this duration on."""


def mean_jerk(twists: Floats, period_s: float) -> float:
    """Return the mean jerk in m/s^3 of twists (T, 3), one every period; NaN for fewer than four."""
    if len(twists) < 4:
        return math.nan
    # The last twist is left out: its interval may be shorter than a control period.
    second = np.diff(twists[:-1, :2], n=2, axis=0) / period_s**2
    return float(np.hypot(second[:, 0], second[:, 1]).mean())


def stops(twists: Floats) -> int:
    """Return how often the robot came to rest after it had driven."""
    count, has_driven = 0, False
    for at_rest, goes in zip(_rests(twists), np.hypot(twists[:, 0], twists[:, 1]) > _GOES_MPS, strict=True):
        if at_rest and has_driven:
            count, has_driven = count + 1, False
        has_driven |= bool(goes)
    return count


def freezing_s(twists: Floats, period_s: float) -> float:
    """Return the time in stretches of at least ``FREEZING_S`` in which the robot neither drove nor turned."""
    at_rest = np.concatenate([[False], _rests(twists), [False]])
    edges = np.flatnonzero(np.diff(at_rest.astype(int)))
    lengths_s = (edges[1::2] - edges[::2]) * period_s
    return float(lengths_s[lengths_s >= FREEZING_S - 1e-9].sum())


def _rests(twists: Floats) -> Floats:
    still = (np.hypot(twists[:, 0], twists[:, 1]) < _REST_MPS) & (np.abs(twists[:, 2]) < _REST_RADPS)
    return np.asarray(still)
