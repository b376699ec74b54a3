"""Each disturbance has the effect of its name."""

from __future__ import annotations

import numpy as np
import pytest

from edge_worldmodel.core.planner.candidates.disturbances import (
    NORMALS_PER_DRAW,
    DisturbanceConfig,
    disturb,
    draw,
    wind_drift,
)
from edge_worldmodel.core.planner.candidates.driving import integrate, roll_out
from edge_worldmodel.core.planner.candidates.libraries import library_of
from edge_worldmodel.core.planner.robot_limits import STEPS, RobotLimits

LIBRARY = library_of(RobotLimits())
POSES, TWISTS = roll_out(np.array([0.4, 0.0, 0.1]), LIBRARY.targets, LIBRARY.limits)
NONE = {"delay_mean_s": 0.0, "delay_std_s": 0.0, "slip_std": 0.0, "localisation_std_m": 0.0, "heading_std_rad": 0.0}


def _normals(**values: float) -> np.ndarray:
    names = ("delay", "slip", "turn_slip", "x", "y", "heading", "wind_x", "wind_y", "more_wind_x", "more_wind_y")
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


def test_no_wind_blows_unless_it_is_asked_for() -> None:
    gusty = _normals(wind_x=2.0, wind_y=-3.0, more_wind_x=1.0)
    calm = disturb(TWISTS, gusty, DisturbanceConfig(), np.array([0.0, 0.5]))
    np.testing.assert_array_equal(calm, disturb(TWISTS, _normals(), DisturbanceConfig()))


def test_wind_carries_off_as_far_as_the_filter_driven_by_noise_does() -> None:
    config = DisturbanceConfig(gust_std_mps=1.5)
    normals = draw(20_000, np.random.default_rng(1), config)[:, 6:]
    drift = wind_drift(normals, config)
    expected = _simulated_drift(config, 4000)
    assert np.allclose(drift[:, 0], 0.0)
    for axis in (0, 1):
        spread_m = drift[:, 8::8, axis].std(axis=0)
        np.testing.assert_allclose(spread_m, expected[:, 8::8].std(axis=0), rtol=0.15, atol=0.01)


def _simulated_drift(config: DisturbanceConfig, runs: int) -> np.ndarray:
    """Return (runs, T + 1) the drift along one axis, step by step: wind of first order, a controller that holds."""
    rng, step_s = np.random.default_rng(2), 0.01
    wind = config.gust_std_mps * rng.standard_normal(runs)
    trimmed, speed, way, ways = wind.copy(), np.zeros(runs), np.zeros(runs), [np.zeros(runs)]
    keep = np.exp(-step_s * config.gust_airspeed_mps / config.gust_length_m)
    for step in range(1, round(STEPS * 0.1 / step_s) + 1):
        wind = keep * wind + config.gust_std_mps * np.sqrt(1.0 - keep**2) * rng.standard_normal(runs)
        speed += step_s * (config.gust_drag_per_s * (wind - trimmed) - speed / config.gust_hold_s)
        way = way + step_s * speed
        if step % 10 == 0:
            ways.append(way)
    return np.stack(ways, axis=1)


def test_a_present_drift_dies_away() -> None:
    config = DisturbanceConfig(**NONE | {"gust_std_mps": 1.0, "gust_hold_s": 0.5})
    drifted = disturb(TWISTS, _normals(), config, np.array([0.0, 0.4]))[:, 0, :, 1] - POSES[..., 1]
    assert drifted[:, 1].min() > 0.03
    np.testing.assert_allclose(drifted[:, -1], 0.4 * 0.5, atol=0.01)
    np.testing.assert_array_less(-1e-9, np.diff(drifted, axis=1))


def test_draws_begin_with_none_and_wheels_draw_as_if_there_were_no_wind() -> None:
    wheels, wings = np.random.default_rng(3), np.random.default_rng(3)
    calm, gusty = draw(5, wheels, DisturbanceConfig()), draw(5, wings, DisturbanceConfig(gust_std_mps=1.0))
    before = np.random.default_rng(3)
    expected = before.standard_normal((5, 6))
    assert calm.shape == gusty.shape == (5, NORMALS_PER_DRAW)
    assert not calm[0].any() and not gusty[0].any() and not calm[:, 6:].any() and gusty[1:, 6:].all()
    np.testing.assert_array_equal(calm[1:, :6], expected[1:])
    np.testing.assert_array_equal(gusty[1:, :6], expected[1:])
    assert wheels.random() == before.random(), "what is drawn after it is the same as well"
