"""Time near people, by who came near whom.

The distances are Hall's: intimate up to 0.45 m, personal up to 1.2 m, between the footprint and the person's body. An
intrusion belongs to whoever came nearer when it began.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edge_worldmodel.core.types import Floats, Mask
from edge_worldmodel.evaluation.arena.measures.contact import OTHER, ROBOT, approacher

INTIMATE_M, PERSONAL_M = 0.45, 1.2


@dataclass
class _Zone:
    """People within one distance: who is, whose doing it is, and the sums of time in seconds."""

    within_m: float
    inside: Mask
    by_robot: Mask
    seconds: dict[str, float] = field(default_factory=lambda: {ROBOT: 0.0, OTHER: 0.0})


class IntrusionMeter:
    """Adds up the time that at least one person is within each distance.

    Args:
        people: number of people in the world.
    """

    def __init__(self, people: int) -> None:
        self._zones = tuple(
            _Zone(within_m, np.zeros(people, bool), np.zeros(people, bool)) for within_m in (INTIMATE_M, PERSONAL_M)
        )

    def add(
        self,
        clearance_m: Floats,
        robot: Floats,
        robot_mps: Floats,
        people: Floats,
        people_mps: Floats,
        elapsed_s: float,
    ) -> None:
        """Take the next moment.

        Args:
            clearance_m: (n,) from the footprint to each person; NaN or inf for who is absent.
            robot: (2,) position of the robot in the world frame.
            robot_mps: (2,) its velocity.
            people: (n, 2) positions.
            people_mps: (n, 2) velocities.
            elapsed_s: time since the last moment.
        """
        for zone in self._zones:
            inside = clearance_m < zone.within_m  # false for NaN
            for person in np.flatnonzero(inside & ~zone.inside):
                by = approacher(robot_mps, people_mps[person], people[person] - robot)
                zone.by_robot[person] = by == ROBOT
            zone.inside = inside
            if inside.any():
                by = ROBOT if zone.by_robot[inside].any() else OTHER
                zone.seconds[by] += elapsed_s

    @property
    def intimate_s(self) -> dict[str, float]:
        """Time within 0.45 m, by "robot" and "other"."""
        return self._zones[0].seconds

    @property
    def personal_s(self) -> dict[str, float]:
        """Time within 1.2 m, by "robot" and "other"."""
        return self._zones[1].seconds
