"""The cluster tracker finds who moves, how fast, and leaves walls alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.geometry import relative, transform_points
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.evaluation.controllers.costmap.clusters import ClusterConfig, ClusterTracker, assign, find_clusters

BEARINGS = np.linspace(-np.pi, np.pi, 360, endpoint=False)


def scan_discs(pose: np.ndarray, discs: np.ndarray, stamp_ns: int, noise: np.ndarray | float = 0.0) -> Sweep:
    """A sweep from a pose (3,) among discs (n, 3: x, y, radius) of the odom frame."""
    centres = transform_points(relative(pose, np.zeros(3)), discs[:, :2])
    direction = np.stack([np.cos(BEARINGS), np.sin(BEARINGS)], axis=-1)
    along = direction @ centres.T
    miss = (centres**2).sum(axis=-1) - along**2
    half = np.sqrt(np.maximum(discs[:, 2] ** 2 - miss, 0.0))
    ranges = np.where((miss < discs[:, 2] ** 2) & (along > half), along - half, np.inf).min(axis=1)
    hit = np.isfinite(ranges)
    ranges = np.where(hit, ranges + noise, 12.0)
    return Sweep(stamp_ns, np.zeros(2), direction * ranges[:, None], hit, beams=360)


def follow(walker: np.ndarray, velocity: np.ndarray, drive: np.ndarray, looks: int = 20, seed: int = 0):
    """Track a walker beside a standing disc from a moving robot; return the tracks and the walker's true place."""
    tracker, rng = ClusterTracker(), np.random.default_rng(seed)
    for look in range(looks):
        pose = drive * 0.1 * look
        place = walker + velocity * 0.1 * look
        discs = np.array([[*place, 0.25], [1.0, 3.0, 0.2]])
        stamp_ns = 1_000_000_000 + look * 100_000_000
        tracker.update(stamp_ns, scan_discs(pose, discs, stamp_ns, rng.normal(0.0, 0.01, 360)), pose)
    return tracker.tracks(), place


@settings(deadline=None, max_examples=20)
@given(st.floats(0.5, 1.5), st.floats(-np.pi, np.pi), st.integers(0, 1000))
def test_measures_the_velocity_of_a_walker_from_a_moving_robot(speed: float, heading: float, seed: int) -> None:
    velocity = speed * np.array([np.cos(heading), np.sin(heading)])
    start = np.array([3.5, -1.5]) - velocity
    tracks, place = follow(start, velocity, np.array([0.4, 0.0, 0.1]), seed=seed)
    moving = tracks.moving()
    assert len(moving) == 1
    assert np.hypot(*(moving.positions[0] - place)) < 0.25
    assert np.hypot(*(moving.velocities[0] - velocity)) < 0.3
    assert np.hypot(*((moving.positions + moving.velocities)[0] - (place + velocity))) < 0.5


def test_who_stands_is_tracked_but_does_not_move() -> None:
    tracks, _ = follow(np.array([3.0, -1.0]), np.zeros(2), np.array([0.5, 0.0, 0.2]))
    assert len(tracks) == 2 and not tracks.is_moving.any()


def test_a_track_keeps_its_identity_and_ends_when_lost() -> None:
    tracker = ClusterTracker()
    ids = set()
    for look in range(10):
        stamp_ns = 1_000_000_000 + look * 100_000_000
        discs = np.array([[2.0, -0.5 + 0.1 * look, 0.25]])
        tracker.update(stamp_ns, scan_discs(np.zeros(3), discs, stamp_ns), np.zeros(3))
        ids.update(tracker.tracks().ids.tolist())
    assert len(ids) == 1
    nothing = scan_discs(np.zeros(3), np.array([[8.0, 8.0, 0.1]]), 3_000_000_000)
    tracker.update(3_000_000_000, nothing, np.zeros(3))
    assert len(tracker.tracks()) == 0


def test_walls_are_no_clusters(wall_sweep) -> None:
    assert len(find_clusters(wall_sweep(2.0), ClusterConfig()).centres) == 0


def test_a_cluster_behind_the_robot_is_one_although_the_bearings_wrap() -> None:
    found = find_clusters(scan_discs(np.zeros(3), np.array([[-2.0, 0.0, 0.3]]), 0), ClusterConfig())
    assert len(found.centres) == 1
    assert np.allclose(found.centres[0], [-2.0, 0.0], atol=0.2)


def test_pairs_the_nearest_first_and_within_the_gate() -> None:
    tracks, clusters = np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0.9, 0.0], [0.4, 0.0], [5.0, 0.0]])
    assert assign(tracks, clusters, 0.5) == [(1, 0), (0, 1)]
    assert assign(np.zeros((0, 2)), clusters, 0.5) == []


def test_near_picks_the_nearest_tracks() -> None:
    tracks, _ = follow(np.array([3.0, -1.0]), np.zeros(2), np.zeros(3))
    nearest = tracks.near(np.array([1.0, 3.0]), 10.0, 1)
    assert len(nearest) == 1 and nearest.positions[0] == pytest.approx([1.0, 3.0], abs=0.2)
