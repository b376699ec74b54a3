"""Habits of people: they stop and start again, and change their minds about where to go, at random times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.types import Floats
from edge_worldmodel.sim.world import Person


class Habits:
    """Decides when people stop, walk on and turn; the times between are exponentially distributed."""

    def __init__(self, people: Sequence[Person], rng: np.random.Generator) -> None:
        """Draw the first times; people without habits draw no random numbers."""
        self.speeds_mps = [person.speed_mps for person in people]
        self._walks_s = np.array([person.walks_s for person in people])
        self._stops_s = np.array([person.stops_s for person in people])
        self._minds_s = np.array([person.changes_mind_s for person in people])
        self._any = bool((self._walks_s > 0.0).any() or (self._minds_s > 0.0).any())
        self._rng = rng
        self.standing = np.zeros(len(people), bool)
        if self._any:
            self._until_stop_s, self._until_turn_s = self._drawn(self._walks_s), self._drawn(self._minds_s)

    def step(self, dt_s: float) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """Return the indices of people who stop, of those who walk on, and of those who turn, after ``dt_s`` more."""
        none = np.empty(0, np.intp)
        if not self._any:
            return none, none, none
        self._until_stop_s -= dt_s
        self._until_turn_s -= dt_s
        due, turning = self._until_stop_s <= 0.0, self._until_turn_s <= 0.0
        stopping, walking = np.flatnonzero(due & ~self.standing), np.flatnonzero(due & self.standing)
        self.standing ^= due
        following_s = self._drawn(np.where(self.standing, self._stops_s, self._walks_s))
        self._until_stop_s = np.where(due, following_s, self._until_stop_s)
        self._until_turn_s = np.where(turning, self._drawn(self._minds_s), self._until_turn_s)
        return stopping, walking, np.flatnonzero(turning)

    def _drawn(self, means_s: Floats) -> Floats:
        """Return random times (n,) with these means; inf where the mean is 0."""
        drawn_s = self._rng.exponential(size=len(means_s)) * means_s
        return np.where(means_s > 0.0, drawn_s, np.inf)
