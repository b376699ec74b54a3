"""Disturbances: each draw does what it is called."""

from __future__ import annotations

import numpy as np
import pytest

from edge_worldmodel.core.disturbances import NORMALS_PER_DRAW, DisturbanceConfig, disturb
from edge_worldmodel.core.driving import integrate, roll_out
from edge_worldmodel.core.libraries import library_of
from edge_worldmodel.core.robot_limits import STEPS, RobotLimits

LIBRARY = library_of(RobotLimits())
POSES, TWISTS = roll_out(np.array([0.4, 0.0, 0.1]), LIBRARY.targets, LIBRARY.limits)
NONE = {"delay_mean_s": 0.0, "delay_std_s": 0.0, "slip_std": 0.0, "localisation_std_m": 0.0, "heading_std_rad": 0.0}


def _normals(**values: float) -> np.ndarray:
    names = ("delay", "slip", "turn_slip", "x", "y", "heading")
    assert len(names) == NORMALS_PER_DRAW
    return np.array([[values.get(name, 0.0) for name in names]])


def test_nothing_drawn_changes_nothing() -> None:
    poses = disturb(TWISTS, _normals(), DisturbanceConfig(delay_mean_s=0.0))
    np.testing.assert_allclose(poses[:, 0, :, :2], POSES[..., :2], atol=1e-12)


def test_delay_keeps_the_present_twist_first() -> None:
    poses = disturb(TWISTS, _normals(delay=1.0), DisturbanceConfig(**NONE | {"delay_std_s": 0.3}))
    steady = integrate(np.tile(TWISTS[0, 0], (STEPS + 1, 1)))
    assert np.abs(poses[:, 0, :4, :2] - steady[:4, :2]).max() < 1e-9
    assert np.abs(poses[:, 0, -1, :2] - POSES[:, -1, :2]).max() > 0.1


def test_slip_scales_the_way() -> None:
    straight = np.tile([1.0, 0.0, 0.0], (1, STEPS + 1, 1))
    poses = disturb(straight, _normals(slip=2.0), DisturbanceConfig(**NONE | {"slip_std": 0.1}))
    assert poses[0, 0, -1, 0] == pytest.approx(1.2 * 3.2)


def test_localisation_moves_the_whole_path() -> None:
    config = DisturbanceConfig(**NONE | {"localisation_std_m": 0.1})
    poses = disturb(TWISTS, _normals(x=1.0, y=-2.0), config)
    np.testing.assert_allclose(poses[:, 0, :, :2], POSES[..., :2] + [0.1, -0.2], atol=1e-12)


def test_shape_and_common_draws() -> None:
    normals = np.random.default_rng(0).standard_normal((5, NORMALS_PER_DRAW))
    poses = disturb(TWISTS, normals, DisturbanceConfig())
    assert poses.shape == (len(TWISTS), 5, STEPS + 1, 3)
    np.testing.assert_allclose(poses[0, :, 0], poses[-1, :, 0])
