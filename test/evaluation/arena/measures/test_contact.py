"""Contacts are attributed to who came nearer, with speed and energy of the relative motion."""

import numpy as np
import pytest

from edge_worldmodel.evaluation.arena.measures.contact import contact_of

AHEAD = (1.0, 0.0)


@pytest.mark.parametrize(
    "robot_mps, other_mps, by",
    [
        ((0.5, 0.0), (0.0, 0.0), "robot"),
        ((0.0, 0.0), (-1.0, 0.0), "other"),
        ((0.5, 0.0), (-1.0, 0.0), "other"),
        ((1.0, 0.0), (0.5, 0.0), "robot"),  # caught up with
        ((0.3, 0.0), (0.9, 0.0), "robot"),  # it walks away; the robot alone comes nearer
        ((0.0, 0.0), (0.0, 0.0), ""),
        ((0.0, 0.1), (0.0, 1.0), "other"),  # it slides along the robot
    ],
)
def test_a_contact_belongs_to_whoever_came_nearer(robot_mps, other_mps, by):
    contact = contact_of(np.array(robot_mps), np.array(other_mps), np.array(AHEAD), 17.0, is_person=True)
    assert contact.by == by
    assert contact.relative_mps == pytest.approx(np.hypot(*np.subtract(robot_mps, other_mps)))


def test_energy_is_that_of_the_relative_motion():
    still, twice = np.zeros(2), np.array([2.0, 0.0])
    assert contact_of(twice, still, np.array(AHEAD), 17.0, is_person=False).energy_j == pytest.approx(34.0)
    person = contact_of(twice, still, np.array(AHEAD), 75.0, is_person=True)
    assert person.energy_j == pytest.approx(0.5 * 37.5 * 4.0)  # reduced mass of two equal masses
    both = contact_of(np.array([1.0, 0.0]), np.array([-1.0, 0.0]), np.array(AHEAD), 75.0, is_person=True)
    assert both.energy_j == pytest.approx(person.energy_j)
