"""Distances to boxes and cylinders agree with geometry worked out another way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_worldmodel.sim.shapes import Box, Cylinder, clearance, enclosure, segment

shapely = pytest.importorskip("shapely")
coordinate = st.floats(-5, 5)
size = st.floats(0.05, 4)


@given(coordinate, coordinate, size, size, st.floats(-4, 4), coordinate, coordinate)
def test_box_distance_is_the_distance_to_its_outline(x, y, length, width, yaw, px, py):
    box = Box(x, y, length, width, yaw)
    outline = shapely.Polygon(box.outline())
    point = shapely.Point(px, py)
    expected = outline.exterior.distance(point) * (-1 if outline.contains(point) else 1)
    assert box.distance(np.array([[px, py]]))[0] == pytest.approx(expected, abs=1e-9)


@given(coordinate, coordinate, size, coordinate, coordinate)
def test_the_outline_of_a_cylinder_contains_it(x, y, radius, px, py):
    cylinder = Cylinder(x, y, radius)
    if cylinder.distance(np.array([px, py])) < -1e-9:
        assert shapely.Polygon(cylinder.outline()).contains(shapely.Point(px, py))


def test_a_segment_reaches_from_start_to_end():
    wall = segment((1.0, 1.0), (3.0, 3.0), thickness_m=0.2, height_m=1.0)
    on_end_and_beside = np.array([[1.0, 1.0], [3.0, 3.0], [2.0 - 0.5**0.5, 2.0 + 0.5**0.5]])
    assert wall.distance(on_end_and_beside) == pytest.approx([0.0, 0.0, 0.9])


def test_the_inner_faces_of_an_enclosure_are_the_bounds():
    walls = enclosure((-2.0, -1.0, 4.0, 3.0), 0.2, 2.0)
    points = np.array([[0.0, 0.0], [3.5, 1.0], [-2.1, 1.0]])
    assert clearance(walls, points) == pytest.approx([1.0, 0.5, -0.1])


def test_nothing_is_infinitely_far_away():
    assert np.isinf(clearance((), np.zeros((3, 2)))).all()
