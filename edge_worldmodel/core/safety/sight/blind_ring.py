"""Obstacles that came so close to a sensor that it cannot see them any more."""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core.geometry import points_in_frame
from edge_worldmodel.core.safety.sight.bearings import Rays, bearing_bins
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.types import Points, Pose

_RING_M, _CANDIDATE_M = 0.1, 0.3
"""The blind ring reaches this far beyond the shortest range; hits up to the second distance beyond it may enter it."""
_TOO_CLOSE_M = 1e-6
_MAX_POINTS = 64


class BlindRing:
    """Remembers what entered the blind ring of one sensor until the sensor sees past its place.

    Attributes:
        points: (k, 2) remembered obstacles in the base frame at the newest sweep.
    """

    def __init__(self) -> None:
        self.points: Points = np.empty((0, 2))
        self._candidates = self.points

    def look(self, sweep: Sweep, rays: Rays, motion: Pose) -> None:
        """Take the next sweep.

        Args:
            sweep: sweep of the sensor.
            rays: its rays.
            motion: (3,) pose of the base at this sweep in the base frame at the one before.
        """
        self.points = self._candidates
        if len(self._candidates):
            self.points = self._still_hidden(sweep, rays, points_in_frame(motion, self._candidates))
        near = np.flatnonzero(sweep.hit & (rays.lengths_m < sweep.range_min_m + _CANDIDATE_M))
        nearest = near[np.argsort(rays.lengths_m[near], kind="stable")][:_MAX_POINTS]
        self._candidates = np.concatenate((self.points, sweep.endpoints[nearest]))

    def _still_hidden(self, sweep: Sweep, rays: Rays, points: Points) -> Points:
        """Return those of the points (k, 2) that are in the blind ring and past which no ray sees."""
        # A reading that is too close to measure does not tell where the obstacle is.
        measured = rays.lengths_m > sweep.range_min_m + _TOO_CLOSE_M
        echoes = rays.bins[measured if sweep.echo is None else measured & sweep.echo]
        offsets = points - sweep.origin
        looked_at = np.isin(bearing_bins(offsets), echoes)
        # Outside the ring a ray without an echo shows that nothing is there; inside it shows nothing.
        in_ring = np.hypot(offsets[:, 0], offsets[:, 1]) < sweep.range_min_m + _RING_M
        return points[in_ring & ~looked_at][:_MAX_POINTS]
