"""Where the world model expects something to be, as points for the supervisor: a reason for care, never for trust."""

from __future__ import annotations

from collections import Counter

import numpy as np

from edge_worldmodel.core.geometry import transform_points
from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.safety.braking import as_seen_from
from edge_worldmodel.core.types import Floats, Tensor

_USABLE_BEFORE_NS, _USABLE_AFTER_NS = 1_000_000_000, 400_000_000
"""How long before and after the time that it was imagined for a picture means anything."""
_MAX_COORDINATE = 1e6


class Imagined:
    """Keeps the newest imagined occupancy; one that is absent, late or damaged is no fault, it just says nothing.

    Args:
        threshold: probability from which a cell counts; 1 or more: none does.
    """

    def __init__(self, threshold: float) -> None:
        self.rejected: Counter[str] = Counter()
        self._threshold = threshold
        self._stamp_ns = 0
        self._points = np.empty((0, 2))

    def receive(self, stamp_ns: int, pose: Floats, probability: Tensor) -> None:
        """Take an imagined grid.

        Args:
            stamp_ns: ROS time that it was imagined for.
            pose: (3,) of the ego frame it is drawn in, in the odom frame.
            probability: (64, 64) of each cell [iy, ix] to be occupied.
        """
        self._points = np.empty((0, 2))
        if probability.shape != (EGO_GRID.cells, EGO_GRID.cells) or not (np.abs(pose) <= _MAX_COORDINATE).all():
            self.rejected["bad"] += 1
            return
        iy, ix = np.nonzero(probability >= self._threshold)
        if self._threshold < 1.0:
            self._points = transform_points(pose, EGO_GRID.cell_centres()[iy, ix])
        self._stamp_ns = stamp_ns

    def points(self, ros_ns: int, pose: Floats | None) -> Floats:
        """Return the expected points (k, 2) as seen from ``pose`` (3,) in the odom frame; none without a pose."""
        timely = self._stamp_ns - _USABLE_BEFORE_NS <= ros_ns <= self._stamp_ns + _USABLE_AFTER_NS
        if pose is None or not timely:
            return np.empty((0, 2))
        return as_seen_from(pose, self._points)
