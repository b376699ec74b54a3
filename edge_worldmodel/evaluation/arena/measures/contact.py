"""Figures of a contact: which of the two moved into the other, how fast and how hard.

Contacts are split as in SEAN (Tsoi et al., 2022) and in the principles of Francis et al. (2023): the robot moved into
the other, or the other into the robot. The energy is that of the relative motion, as in ISO/TS 15066, A.3.4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core.types import Floats

PERSON_KG = 75.0
"""Effective mass behind a leg, which a mobile robot touches first: ISO/TS 15066, table A.3."""
_STILL_MPS = 0.05
"""Slower than this, something does not move into anything."""

ROBOT, OTHER, NOBODY = "robot", "other", ""


@dataclass(frozen=True)
class Contact:
    """Figures of one contact.

    Attributes:
        by: "robot" if the robot moved into the other, "other" if it was moved into, "" if neither moved.
        relative_mps: speed of one relative to the other.
        energy_j: energy of the relative motion; the other is a person, or does not give way at all.
    """

    by: str
    relative_mps: float
    energy_j: float


def contact_of(robot_mps: Floats, other_mps: Floats, towards: Floats, mass_kg: float, *, is_person: bool) -> Contact:
    """Return the figures of a contact.

    Args:
        robot_mps: (2,) velocity of the robot just before.
        other_mps: (2,) velocity of what it touched.
        towards: (2,) any vector from the robot to the other.
        mass_kg: mass of the robot.
        is_person: whether the other is a person; a wall has no mass that could give way.
    """
    relative = np.asarray(robot_mps) - np.asarray(other_mps)
    moving_kg = mass_kg * PERSON_KG / (mass_kg + PERSON_KG) if is_person else mass_kg
    relative_mps = float(np.hypot(*relative))
    return Contact(approacher(robot_mps, other_mps, towards), relative_mps, 0.5 * moving_kg * relative_mps**2)


def approacher(robot_mps: Floats, other_mps: Floats, towards: Floats) -> str:
    """Return which of two comes nearer to the other: the one whose velocity towards the other is larger."""
    distance_m = math.hypot(*towards)
    direction = np.asarray(towards) / distance_m if distance_m > 0.0 else np.zeros(2)
    ours, theirs = float(np.dot(robot_mps, direction)), -float(np.dot(other_mps, direction))
    if max(ours, theirs) <= _STILL_MPS:
        # Beside each other, as two that slide along: the faster one.
        ours, theirs = math.hypot(*robot_mps), math.hypot(*other_mps)
        if max(ours, theirs) <= _STILL_MPS:
            return NOBODY
    return ROBOT if ours >= theirs else OTHER
