"""Tells a stream whose content has frozen, although its stamps go on, from a robot that stands still.

A driver that hangs may send its last reading again and again with new stamps. Real readings of a moving robot
are never exactly alike, so an exact repetition while it moves is no sign of life; the silence it amounts to is
then found by the usual timeout.
"""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core.safety.intake import Odometry
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.types import Floats

_MOVING = np.array([0.1, 0.1, 0.2])
"""Faster than this in m/s or rad/s, two readings must differ."""
_ENOUGH_HITS = 10
"""With fewer things in sight, two looks may well be alike."""


def is_moving(twist: Floats) -> bool:
    """Return whether a base twist (3,) is fast enough for readings to differ."""
    return bool((np.abs(twist) > _MOVING).any())


def is_same_look(before: Sweep | None, now: Sweep) -> bool:
    """Return whether a look shows exactly what the one before it did."""
    if before is None or now.hit.sum() < _ENOUGH_HITS:
        return False
    return np.array_equal(before.hit, now.hit) and np.array_equal(before.endpoints, now.endpoints)


def is_same_place(before: Odometry | None, now: Odometry) -> bool:
    """Return whether odometry spoke of motion twice and yet stayed where it was."""
    if before is None or not (is_moving(before.twist) and is_moving(now.twist)):
        return False
    return np.array_equal(before.pose, now.pose)
