"""In which frame an odometry source gives its twist: that of the base (REP-105, nav_msgs/Odometry), or its fixed frame.

Drivers that differentiate poses often forget to turn the velocity into the base frame. The two differ as soon as the
robot moves with a heading other than zero, and then the motion between two poses tells which one it is.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from edge_worldmodel.core.geometry import relative
from edge_worldmodel.core.time_units import to_seconds
from edge_worldmodel.core.types import Pose, Twist

_SHORTEST_S, _LONGEST_S = 0.1, 0.5
_SLOWEST_MPS = 0.1
_DECIDED, _MOST = 5, 10
_CLEARLY = 0.5
"""One frame fits clearly better if its error is less than this share of the other's."""


class TwistFrame:
    """Watches poses and twists of one source, and turns the twists into the base frame where they are not in it.

    Attributes:
        is_fixed: whether the twists are in the fixed frame; until that is clear they are taken as in the base frame.
    """

    def __init__(self) -> None:
        self.is_fixed = False
        self._score = 0
        self._past: deque[tuple[int, Pose, Twist]] = deque()

    def in_base(self, stamp_ns: int, pose: Pose, twist: Twist) -> Twist:
        """Return the twist (3,) in the base frame.

        Args:
            stamp_ns: time of the sample.
            pose: (3,) in the fixed frame.
            twist: (3,) as the source gives it.
        """
        self._compare(stamp_ns, pose, twist)
        return _turned(twist, -pose[2]) if self.is_fixed else twist

    def _compare(self, stamp_ns: int, pose: Pose, twist: Twist) -> None:
        """Compare twists with the motion between two poses, each stretch of motion once."""
        if self._past and not 0 < stamp_ns - self._past[-1][0] < _LONGEST_S * 1e9:
            self._past.clear()
        self._past.append((stamp_ns, pose, twist))
        lasted_s = to_seconds(stamp_ns - self._past[0][0])
        if lasted_s < _SHORTEST_S:
            return
        start, poses, twists = self._past[0][1], [p for _, p, _ in self._past], [t for _, _, t in self._past]
        moved = relative(start, pose)
        measured = _turned(np.array([moved[0], moved[1], 0.0]) / lasted_s, -0.5 * moved[2])
        given = np.mean(twists, axis=0)
        turned = np.mean([_turned(t, -p[2]) for p, t in zip(poses, twists, strict=True)], axis=0)
        self._past.clear()
        self._past.append((stamp_ns, pose, twist))
        speed_mps = float(np.hypot(*measured[:2]))
        if speed_mps < _SLOWEST_MPS:
            return
        as_base, as_fixed = (float(np.hypot(*(value - measured)[:2])) for value in (given, turned))
        if max(as_base, as_fixed) < 0.25 * speed_mps:
            return  # a heading near zero: both are the same
        if as_fixed < _CLEARLY * as_base:
            self._score = min(self._score + 1, _MOST)
        elif as_base < _CLEARLY * as_fixed:
            self._score = max(self._score - 1, -_MOST)
        if abs(self._score) >= _DECIDED:
            self.is_fixed = self._score > 0


def _turned(twist: Twist, angle_rad: float) -> Twist:
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([cos * twist[0] - sin * twist[1], sin * twist[0] + cos * twist[1], twist[2]])
