"""Obstacles that the world model imagines. The supervisor slows down for them, and uses them for nothing else."""

from __future__ import annotations

from collections import Counter

import numpy as np

from edge_worldmodel.core.geometry import points_in_frame, transform_points
from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.types import Points, Pose, Tensor

_USABLE_BEFORE_NS, _USABLE_AFTER_NS = 1_000_000_000, 400_000_000
"""A grid is used from so long before to so long after the time that it was imagined for."""
_MAX_COORDINATE_M = 1e6


class ImaginedObstacles:
    """Keeps the newest imagined occupancy grid. A missing, late or damaged grid is no fault: it has no obstacles.

    Args:
        threshold: occupancy probability from which a cell is an obstacle; at 1 no cell is.
    """

    def __init__(self, threshold: float) -> None:
        self.rejected: Counter[str] = Counter()
        self._threshold = threshold
        self._centres = EGO_GRID.cell_centres()
        self._stamp_ns = 0
        self._points = np.empty((0, 2))

    def receive(self, stamp_ns: int, pose: Pose, probability: Tensor) -> None:
        """Take an imagined grid in place of the one before.

        Args:
            stamp_ns: ROS time that it was imagined for.
            pose: (3,) of the grid's frame in the odom frame.
            probability: (64, 64) occupancy probability of each cell [iy, ix].
        """
        self._points = np.empty((0, 2))
        if probability.shape != (EGO_GRID.cells, EGO_GRID.cells) or not (np.abs(pose) <= _MAX_COORDINATE_M).all():
            self.rejected["bad"] += 1
            return
        iy, ix = np.nonzero(probability >= self._threshold)
        if self._threshold < 1.0:
            self._points = transform_points(pose, self._centres[iy, ix])
        self._stamp_ns = stamp_ns

    def points(self, ros_ns: int, pose: Pose | None) -> Points:
        """Return the imagined obstacles at one time.

        Args:
            ros_ns: present ROS time.
            pose: (3,) of the base in the odom frame; None if unknown.

        Returns:
            (k, 2) in the base frame; none without a pose or a grid for this time.
        """
        usable = self._stamp_ns - _USABLE_BEFORE_NS <= ros_ns <= self._stamp_ns + _USABLE_AFTER_NS
        if pose is None or not usable:
            return np.empty((0, 2))
        return points_in_frame(pose, self._points)
