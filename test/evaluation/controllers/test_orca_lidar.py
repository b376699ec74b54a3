"""ORCA from the scanner: walls are lines along the hits, tracked people are no walls."""

import numpy as np

from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.evaluation.controllers.costmap.clusters import ClusterTracks
from edge_worldmodel.evaluation.controllers.orca_lidar import wall_pieces


def sweep_of(points):
    points = np.asarray(points, float)
    return Sweep(0, np.zeros(2), points, np.ones(len(points), bool), beams=len(points))


def lengths(pieces):
    return np.array([np.hypot(*(b - a)) for a, b in pieces])


def test_a_wall_is_covered_without_gaps_by_short_lines():
    y = np.linspace(-1.0, 1.0, 81)
    pieces = wall_pieces(sweep_of(np.stack([np.full_like(y, 2.0), y], axis=-1)), np.zeros(3), ClusterTracks.none())
    assert lengths(pieces).max() < 0.35 and np.isclose(lengths(pieces).sum(), 2.0, atol=0.1)
    ends = np.array(pieces)
    np.testing.assert_allclose(ends[1:, 0], ends[:-1, 1], atol=0.03)


def test_separate_things_are_separate_lines_in_the_odom_frame():
    pieces = wall_pieces(sweep_of([(1.0, 0.0), (0.0, 1.0)]), np.array([1.0, 2.0, 0.0]), ClusterTracks.none())
    np.testing.assert_allclose(sorted(piece[0].tolist() for piece in pieces), [[1.0, 3.0], [2.0, 2.0]])


def test_hits_on_a_tracked_person_are_no_wall():
    person = ClusterTracks(
        np.array([[1.0, 0.0]]), np.array([[0.5, 0.0]]), np.array([0.2]), np.ones(1, bool), np.zeros(1, int)
    )
    seen = sweep_of([(0.8, 0.0), (0.82, 0.05), (2.0, 1.0)])
    assert len(wall_pieces(seen, np.zeros(3), person)) == 1
    assert len(wall_pieces(seen, np.zeros(3), ClusterTracks.none())) == 2
