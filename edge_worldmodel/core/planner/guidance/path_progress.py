"""Following a path: a goal that runs ahead of the robot along it, never back, until it rests at the end."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from edge_worldmodel.core.errors import InputError
from edge_worldmodel.core.types import Floats

_SEARCHED_M = 3.0
"""Progress is looked for this far ahead only, or a path that crosses itself would be cut short."""
_BACK_M = 0.5
_TOO_NEAR_M = 0.6
"""A goal nearer than this would count as reached."""


class PathProgress:
    """One path and how far the robot has come on it.

    Args:
        path: (n, 2) points in a fixed frame, n at least 1.
        ahead_m: how far ahead of the robot the goal runs; within the grid, so that the way there is seen.
        stride_m: the goal moves on in strides of this length, for a goal that moves is a reason to think anew.
    """

    def __init__(self, path: ArrayLike, ahead_m: float = 4.0, stride_m: float = 0.5) -> None:
        points = np.asarray(path, np.float64)
        if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
            raise InputError(f"a path of shape {points.shape}: expected (n, 2) finite points, at least one")
        steps_m = np.hypot(*np.diff(points, axis=0).T)
        kept = np.concatenate([[True], steps_m > 0.0])
        self._points: Floats = points[kept]
        self._arc_m: Floats = np.concatenate([[0.0], np.cumsum(steps_m[steps_m > 0.0])])
        self._ahead_m, self._stride_m = ahead_m, stride_m
        self._come_m = 0.0

    @property
    def length_m(self) -> float:
        """Return the length of the path."""
        return float(self._arc_m[-1])

    @property
    def left_m(self) -> float:
        """Return the length still to follow."""
        return self.length_m - self._come_m

    def goal(self, position: ArrayLike) -> Floats:
        """Return the goal (2,) for a robot at ``position`` (2,): on the path, ``ahead_m`` on, at last its end."""
        position = np.asarray(position, np.float64)[:2]
        self._come_m = max(self._come_m, self._nearest(position))
        goal = self._ahead()
        # Where a path doubles back, the goal may lie under the robot: it has come as far as that, then.
        while np.hypot(*(goal - position)) < _TOO_NEAR_M and self._come_m < self.length_m:
            self._come_m = min(self._come_m + self._stride_m, self.length_m)
            goal = self._ahead()
        return goal

    def _nearest(self, position: Floats) -> float:
        """Return the arc length of the point nearest to ``position``, a little back to some way ahead."""
        arcs_m = np.arange(max(self._come_m - _BACK_M, 0.0), min(self._come_m + _SEARCHED_M, self.length_m) + 0.05, 0.1)
        points = np.stack([np.interp(arcs_m, self._arc_m, self._points[:, axis]) for axis in (0, 1)], axis=-1)
        return float(min(arcs_m[np.argmin(np.hypot(*(points - position).T))], self.length_m))

    def _ahead(self) -> Floats:
        arc_m = np.ceil((self._come_m + self._ahead_m) / self._stride_m) * self._stride_m
        return self._at(min(float(arc_m), self.length_m))

    def _at(self, arc_m: float) -> Floats:
        return np.array([np.interp(arc_m, self._arc_m, self._points[:, axis]) for axis in (0, 1)])
