"""Distances to polygons against a second library's geometry."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.polygon import signed_distance

CASES = int(os.environ.get("EDGE_WORLDMODEL_CASES", "200"))
L_SHAPE = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [1.0, 1.0], [1.0, 2.0], [0.0, 2.0]])


@pytest.mark.parametrize(
    ("point", "distance"),
    [((0.5, 0.5), -0.5), ((1.5, 1.5), 0.5), ((3.0, 0.5), 1.0), ((-3.0, -4.0), 5.0), ((0.5, 1.9), -0.1)],
)
def test_known_distances(point, distance):
    assert signed_distance(L_SHAPE, np.array([point]))[0] == pytest.approx(distance)
    assert signed_distance(L_SHAPE[::-1], np.array(point)) == pytest.approx(distance)


@settings(max_examples=CASES, deadline=None)
@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=20))
def test_agrees_with_opencv(points):
    cv2 = pytest.importorskip("cv2")
    ours = signed_distance(L_SHAPE, np.array(points))
    theirs = [-cv2.pointPolygonTest(L_SHAPE.astype(np.float32), (float(x), float(y)), True) for x, y in points]
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-5)
    clear = np.abs(ours) > 1e-4
    np.testing.assert_array_equal(np.sign(ours)[clear], np.sign(theirs)[clear])
