"""A goal for a recorded robot, so that the planner has something to want."""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core.geometry import compose, relative
from edge_worldmodel.core.types import Floats

_REACHED_M = 1.0
_LEFT_BEHIND = 2.0


class GoalAhead:
    """A fixed goal, or one straight ahead that moves on when it is reached, passed or left behind.

    Args:
        ahead_m: how far ahead.
        fixed: (x_m, y_m) in the odom frame, None for a goal ahead.
    """

    def __init__(self, ahead_m: float, fixed: tuple[float, float] | None = None) -> None:
        self._ahead_m = ahead_m
        self._fixed = fixed
        self.goal: Floats = np.zeros(3)
        self._given = False

    def update(self, pose: Floats) -> bool:
        """Follow the base; returns whether ``goal`` (x_m, y_m, yaw_rad) is a new one."""
        if self._given and (self._fixed is not None or not self._is_done(pose, self.goal)):
            return False
        self._given = True
        fixed = self._fixed
        self.goal = compose(pose, [self._ahead_m, 0.0, 0.0]) if fixed is None else np.array([*fixed, 0.0])
        return True

    def _is_done(self, pose: Floats, goal: Floats) -> bool:
        still_ahead_m = float(relative(pose, goal)[0])
        distance_m = float(np.hypot(*(goal - pose)[:2]))
        return still_ahead_m < _REACHED_M or distance_m > _LEFT_BEHIND * self._ahead_m
