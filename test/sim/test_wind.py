"""Wind: the strength and the memory that Dryden's model asks for, gusts of their shape, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from edge_worldmodel.sim.wind import Wind, WindSpec

_STEP_S = 0.02
_AIRSPEED_MPS = 5.0
# MIL-F-8785C below 10 feet, for 15 m/s at 20 feet.
_SHAPE = 0.177 + 0.000823 * 10.0
_SIGMA_MPS = np.array([1.5 / _SHAPE**0.4, 1.5 / _SHAPE**0.4, 1.5])
_LENGTH_M = 0.3048 * np.array([10.0 / _SHAPE**1.2, 10.0 / _SHAPE**1.2, 10.0])


def blow(spec: WindSpec, seed: int, seconds: float) -> np.ndarray:
    wind = Wind(spec, 1.0, np.random.default_rng(seed))
    return np.array([wind.advance(_STEP_S, _AIRSPEED_MPS) for _ in range(round(seconds / _STEP_S))])


@pytest.fixture(scope="module")
def turbulence() -> np.ndarray:
    """30 minutes of it, in rows."""
    return np.stack([blow(WindSpec(turbulence_mps=15.0), seed, 360.0) for seed in range(5)])


def test_turbulence_is_as_strong_as_dryden_says(turbulence):
    np.testing.assert_allclose(turbulence.std(axis=(0, 1)), _SIGMA_MPS, rtol=0.08)
    np.testing.assert_allclose(turbulence.mean(axis=(0, 1)), 0.0, atol=0.5)


def test_turbulence_remembers_as_long_as_dryden_says(turbulence):
    """Along the wind exp(-d / L); across it (1 - d / 2L) exp(-d / L), here at d = L."""
    for axis, expected in enumerate((np.exp(-1.0), 0.5 * np.exp(-1.0), 0.5 * np.exp(-1.0))):
        shift = round(_LENGTH_M[axis] / _AIRSPEED_MPS / _STEP_S)
        values = turbulence[..., axis]
        correlation = (values[:, shift:] * values[:, :-shift]).mean() / (values**2).mean()
        assert correlation == pytest.approx(expected, abs=0.1)


def test_turbulence_is_there_from_the_beginning():
    first = np.array([blow(WindSpec(turbulence_mps=15.0), seed, _STEP_S)[0] for seed in range(400)])
    np.testing.assert_allclose(first.std(axis=0), _SIGMA_MPS, rtol=0.15)


def test_a_mean_wind_alone_blows_evenly_to_where_it_is_said():
    winds = blow(WindSpec(mean_mps=4.0, direction_rad=np.pi / 2), 0, 1.0)
    np.testing.assert_allclose(winds, np.tile((0.0, 4.0, 0.0), (50, 1)), atol=1e-12)


def test_gusts_swell_to_their_peak_and_come_at_their_rate():
    spec = WindSpec(gust_mps=6.0, gust_period_s=4.0, gust_duration_s=2.0)
    speed = np.hypot(*blow(spec, 3, 1200.0)[:, :2].T)
    assert speed.max() == pytest.approx(6.0, rel=0.01)
    calm = speed < 1e-9
    # A gust lasts 2 s and the next comes 4 s later on average.
    assert calm.mean() == pytest.approx(4.0 / 6.0, abs=0.08)
    # 1 - cosine: the mean within a gust is half of its peak.
    assert speed[~calm].mean() == pytest.approx(3.0, rel=0.05)


def test_the_same_seed_blows_the_same_and_another_differently():
    spec = WindSpec(2.0, 0.3, 8.0, 4.0)
    np.testing.assert_array_equal(blow(spec, 1, 20.0), blow(spec, 1, 20.0))
    assert np.abs(blow(spec, 1, 20.0) - blow(spec, 2, 20.0)).max() > 1.0
