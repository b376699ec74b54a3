"""Planar geometry: round trips, yaw across +-pi, trajectories."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core import geometry as g
from edge_worldmodel.core.types import Trajectory

metres = st.floats(-100.0, 100.0)
angles = st.floats(-10.0, 10.0)
poses = st.tuples(metres, metres, angles).map(np.array)


def assert_same_pose(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_allclose(a[..., :2], b[..., :2], atol=1e-9)
    np.testing.assert_allclose(g.wrap_angle(a[..., 2] - b[..., 2]), 0.0, atol=1e-9)


@given(angles)
@settings(deadline=None)
def test_wrapped_angle_points_the_same_way(angle: float) -> None:
    wrapped = g.wrap_angle(angle)
    assert -np.pi <= wrapped <= np.pi
    np.testing.assert_allclose([np.cos(wrapped), np.sin(wrapped)], [np.cos(angle), np.sin(angle)], atol=1e-12)


@given(poses, poses)
@settings(deadline=None)
def test_compose_and_inverse_undo_each_other(a: np.ndarray, b: np.ndarray) -> None:
    assert_same_pose(g.compose(a, g.inverse(a)), np.zeros(3))
    assert_same_pose(g.compose(g.inverse(a), g.compose(a, b)), b)
    assert_same_pose(g.compose(a, g.relative(a, b)), b)


@given(poses, poses, poses)
@settings(deadline=None)
def test_compose_is_associative(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    assert_same_pose(g.compose(g.compose(a, b), c), g.compose(a, g.compose(b, c)))


@given(poses, poses, metres, metres)
@settings(deadline=None)
def test_points_move_like_poses(a: np.ndarray, b: np.ndarray, x: float, y: float) -> None:
    point = np.array([x, y])
    np.testing.assert_allclose(
        g.transform_points(g.compose(a, b), point), g.transform_points(a, g.transform_points(b, point)), atol=1e-9
    )


def test_a_quarter_turn_is_to_the_left() -> None:
    np.testing.assert_allclose(g.compose([1, 2, np.pi / 2], [1, 0, 0]), [1, 3, np.pi / 2], atol=1e-12)
    np.testing.assert_allclose(g.transform_points([1, 2, np.pi / 2], [[1, 0], [0, 1]]), [[1, 3], [0, 2]], atol=1e-12)


def test_everything_broadcasts_over_leading_axes() -> None:
    many = np.random.default_rng(0).normal(size=(4, 5, 3))
    one = np.array([1.0, 2.0, 3.0])
    composed = g.compose(one, many)
    assert composed.shape == (4, 5, 3)
    np.testing.assert_allclose(composed[2, 3], g.compose(one, many[2, 3]))
    points = np.random.default_rng(1).normal(size=(4, 5, 7, 2))
    moved = g.transform_points(many, points)
    np.testing.assert_allclose(moved[1, 2], g.transform_points(many[1, 2], points[1, 2]))


@given(angles, st.floats(0.1, 5.0))
@settings(deadline=None)
def test_quaternions_go_round(yaw: float, length: float) -> None:
    x, y, z, w = (length * part for part in g.quaternion_from_yaw(yaw))
    np.testing.assert_allclose(g.wrap_angle(g.yaw_from_quaternion(x, y, z, w) - yaw), 0.0, atol=1e-9)


@given(poses, poses, st.floats(0.0, 1.0))
@settings(deadline=None)
def test_interpolation_stays_between(a: np.ndarray, b: np.ndarray, fraction: float) -> None:
    assert_same_pose(g.interpolate_pose(a, b, 0.0), a)
    assert_same_pose(g.interpolate_pose(a, b, 1.0), b)
    middle = g.interpolate_pose(a, b, fraction)
    turn = abs(g.wrap_angle(b[2] - a[2]))
    assert abs(g.wrap_angle(middle[2] - a[2])) <= turn + 1e-9
    assert np.hypot(*(middle - a)[:2]) == pytest.approx(fraction * np.hypot(*(b - a)[:2]), abs=1e-9)


@given(st.floats(0.01, 1.5), st.floats(0.0, 1.0))
@settings(deadline=None)
def test_interpolation_takes_the_short_way_across_pi(half_turn: float, fraction: float) -> None:
    a, b = np.array([0, 0, np.pi - half_turn]), np.array([0, 0, -np.pi + half_turn])
    middle = g.interpolate_pose(a, b, fraction)
    assert g.wrap_angle(middle[2] - a[2]) == pytest.approx(2 * half_turn * fraction, abs=1e-9)


def test_trajectory_is_interpolated_and_clamped() -> None:
    trajectory = Trajectory(
        0.5,
        np.array([[0, 0, 3.0], [1, 0, -3.0], [1, 2, -3.0]]),
        np.array([[0, 0, 0], [2, 0, 1.0], [4, 0, 1.0]]),
    )
    times = np.array([-1.0, 0.0, 0.25, 0.75, 1.0, 9.0])
    along = g.pose_along(trajectory, times)
    np.testing.assert_allclose(along[:, 0], [0, 0, 0.5, 1, 1, 1])
    np.testing.assert_allclose(along[:, 1], [0, 0, 0, 1, 2, 2])
    assert abs(along[2, 2]) == pytest.approx(np.pi)
    np.testing.assert_allclose(g.twist_along(trajectory, times)[:, 0], [0, 0, 1, 3, 4, 4])
    assert g.pose_along(trajectory, 0.25).shape == (3,)


@pytest.mark.parametrize("reach", [1e-17, -1e-17, 2.6e-17])
def test_a_corner_a_rounding_away_from_a_point_s_height_does_not_turn_inside_out(reach: float) -> None:
    diamond = np.array([[0.5, 0.0], [0.0, 0.4], [-0.35, reach], [0.0, -0.27]])
    outside, inside = np.array([[-1.0, 0.0], [2.0, 0.0]]), np.array([[0.1, 0.0]])
    assert (g.signed_distance(diamond, outside) > 0.6).all()
    assert (g.signed_distance(diamond, inside) < -0.1).all()
