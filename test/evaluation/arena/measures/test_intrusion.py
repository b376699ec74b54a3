"""Time near people, by who came near whom."""

import numpy as np
import pytest

from edge_worldmodel.evaluation.arena.measures.intrusion import IntrusionMeter


def near(robot_mps, people, step_s=0.05, duration_s=4.0):
    """Robot at the origin, radius 0; people as (start, velocity), each with a body of 0.25 m."""
    meter, robot = IntrusionMeter(len(people)), np.zeros(2)
    starts, velocities = (np.array(column, float) for column in zip(*people, strict=True))
    for step in range(round(duration_s / step_s)):
        places = starts + velocities * step * step_s
        at = robot + np.array(robot_mps) * step * step_s
        clearance_m = np.hypot(*(places - at).T) - 0.25
        meter.add(clearance_m, at, np.array(robot_mps), places, velocities, step_s)
    return meter


def test_a_person_who_walks_past_a_standing_robot_intrudes():
    meter = near((0.0, 0.0), [((-2.0, 0.3), (1.0, 0.0))])
    assert meter.intimate_s["robot"] == 0.0 and meter.personal_s["robot"] == 0.0
    # Within 0.7 m of the centre on a line 0.3 m beside it, and within 1.45 m.
    assert meter.intimate_s["other"] == pytest.approx(2 * np.sqrt(0.7**2 - 0.3**2), abs=0.1)
    assert meter.personal_s["other"] == pytest.approx(2 * np.sqrt(1.45**2 - 0.3**2), abs=0.1)


def test_a_robot_that_drives_past_a_standing_person_intrudes():
    meter = near((1.0, 0.0), [((2.0, 0.5), (0.0, 0.0))])
    assert meter.intimate_s == {"robot": pytest.approx(2 * np.sqrt(0.7**2 - 0.5**2), abs=0.1), "other": 0.0}


def test_an_intrusion_stays_with_who_began_it_and_absent_people_are_nowhere():
    meter = near((0.2, 0.0), [((1.0, 0.0), (0.0, 0.0)), ((np.nan, np.nan), (0.0, 0.0))], duration_s=2.0)
    meter_before = dict(meter.personal_s)
    meter.add(np.array([0.3, np.nan]), np.zeros(2), np.zeros(2), np.zeros((2, 2)), np.array([[-1.0, 0], [0, 0]]), 0.05)
    assert meter.personal_s["robot"] == pytest.approx(meter_before["robot"] + 0.05)
    assert meter.personal_s["other"] == 0.0
