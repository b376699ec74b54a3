"""Following a path: the goal lies ahead of the robot on the path and moves with it until the end."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from edge_worldmodel.core.errors import InputError
from edge_worldmodel.core.types import Floats, Points

_SEARCHED_M = 3.0
"""Length of path that is searched for the robot; a longer search would skip parts of a path that crosses itself."""
_SEARCHED_BACK_M = 0.5
_TOO_NEAR_M = 0.6
"""A goal nearer than this could count as reached before the end of the path."""


class PathProgress:
    """A path and the progress of the robot on it, which never goes back.

    Args:
        path: (n, 2) points in a fixed frame, n at least 1.
        ahead_m: distance of the goal from the robot along the path; at most half the grid, so that the way is observed.
        stride_m: the goal moves in strides of this length, because every move of the goal needs new imagination.

    Raises:
        InputError: the path has another shape, no point, or a point that is not finite.
    """

    def __init__(self, path: ArrayLike, ahead_m: float = 4.0, stride_m: float = 0.5) -> None:
        points = np.asarray(path, np.float64)
        if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
            raise InputError(f"a path of shape {points.shape}: expected (n, 2) finite points, at least one")
        steps_m = np.hypot(*np.diff(points, axis=0).T)
        kept = np.concatenate([[True], steps_m > 0.0])
        self._points: Points = points[kept]
        self._arc_m: Floats = np.concatenate([[0.0], np.cumsum(steps_m[steps_m > 0.0])])
        self._ahead_m, self._stride_m = ahead_m, stride_m
        self._progress_m = 0.0

    @property
    def length_m(self) -> float:
        """Return the length of the path."""
        return float(self._arc_m[-1])

    @property
    def left_m(self) -> float:
        """Return the length that is left."""
        return self.length_m - self._progress_m

    def goal(self, position: ArrayLike) -> Points:
        """Return the goal (2,) for a robot at ``position`` (2,): a point on the path, in the end its last one."""
        position = np.asarray(position, np.float64)[:2]
        self._progress_m = max(self._progress_m, self._nearest(position))
        goal = self._point_ahead()
        # If a path doubles back, the goal may lie under the robot, which has then reached that part of the path.
        while np.hypot(*(goal - position)) < _TOO_NEAR_M and self._progress_m < self.length_m:
            self._progress_m = min(self._progress_m + self._stride_m, self.length_m)
            goal = self._point_ahead()
        return goal

    def _nearest(self, position: Points) -> float:
        """Return the arc length of the point that is nearest to ``position``, near the present progress."""
        first_m = max(self._progress_m - _SEARCHED_BACK_M, 0.0)
        last_m = min(self._progress_m + _SEARCHED_M, self.length_m)
        arcs_m = np.arange(first_m, last_m + 0.05, 0.1)
        points = np.stack([np.interp(arcs_m, self._arc_m, self._points[:, axis]) for axis in (0, 1)], axis=-1)
        return float(min(arcs_m[np.argmin(np.hypot(*(points - position).T))], self.length_m))

    def _point_ahead(self) -> Points:
        arc_m = np.ceil((self._progress_m + self._ahead_m) / self._stride_m) * self._stride_m
        return self._at(min(float(arc_m), self.length_m))

    def _at(self, arc_m: float) -> Points:
        return np.array([np.interp(arc_m, self._arc_m, self._points[:, axis]) for axis in (0, 1)])
