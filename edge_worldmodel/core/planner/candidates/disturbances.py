"""Random disturbances of a maneuver: actuation delay, slip, wind and localisation error."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.geometry import compose
from edge_worldmodel.core.planner.candidates.driving import integrate
from edge_worldmodel.core.planner.robot_limits import DT_S, STEPS
from edge_worldmodel.core.types import Floats, Pose, Twist

_GROUND_NORMALS = 6
_DRIFT_COMPONENTS = 2
NORMALS_PER_DRAW = _GROUND_NORMALS + 2 * _DRIFT_COMPONENTS
"""Standard normal numbers of one draw."""


@dataclass(frozen=True)
class DisturbanceConfig(Config):
    """Strength of the disturbances; names with ``std`` are standard deviations."""

    delay_mean_s: float = param(0.05, "mean actuation delay", minimum=0.0, maximum=1.0)
    delay_std_s: float = param(0.03, "spread of the actuation delay", minimum=0.0, maximum=1.0)
    slip_std: float = param(0.05, "relative spread of the actual speed and yaw rate", minimum=0.0, maximum=0.5)
    localisation_std_m: float = param(0.03, "spread of the position in x and y", minimum=0.0, maximum=1.0)
    heading_std_rad: float = param(0.02, "spread of the heading", minimum=0.0, maximum=1.0)
    gust_std_mps: float = param(0.0, "spread of the wind; 0: no gusts, as on wheels", minimum=0.0, maximum=10.0)
    gust_length_m: float = param(23.0, "Dryden scale length; 23 m near the ground", minimum=1.0, maximum=1000.0)
    gust_airspeed_mps: float = param(4.0, "usual speed of the robot through the air", minimum=0.5, maximum=50.0)
    gust_drag_per_s: float = param(
        0.25, "acceleration of the robot per relative speed of the air [1/s]", minimum=0.0, maximum=10.0
    )
    gust_hold_s: float = param(
        0.5, "time constant with which the robot's controller removes a drift", minimum=0.05, maximum=10.0
    )


def draw(count: int, rng: np.random.Generator, config: DisturbanceConfig) -> Floats:
    """Return standard normal draws (count, NORMALS_PER_DRAW); the first is all zeros, for no disturbance.

    Without gusts no numbers are drawn for them, so that adding gusts did not change the draws of ground robots.
    """
    normals = np.zeros((count, NORMALS_PER_DRAW))
    normals[:, :_GROUND_NORMALS] = rng.standard_normal((count, _GROUND_NORMALS))
    if config.gust_std_mps > 0.0:
        normals[:, _GROUND_NORMALS:] = rng.standard_normal((count, NORMALS_PER_DRAW - _GROUND_NORMALS))
    normals[0] = 0.0
    return normals


def disturb(twists: Twist, normals: Floats, config: DisturbanceConfig, drift_mps: Floats | None = None) -> Pose:
    """Return the poses of every maneuver under every drawn disturbance.

    Args:
        twists: (M, T + 1, 3) base twists every DT_S.
        normals: (D, NORMALS_PER_DRAW) standard normal draws, the same for all maneuvers. A row of zeros has the mean
            delay and no other disturbance.
        config: strength of the disturbances.
        drift_mps: (2,) present velocity beyond the commanded one, in the ego frame; used only if there is wind.

    Returns:
        Poses (M, D, T + 1, 3) in the present ego frame.
    """
    delay_s = np.maximum(config.delay_mean_s + config.delay_std_s * normals[:, 0], 0.0)
    driven = _delayed(twists, delay_s)
    driven[..., 0] *= (1.0 + config.slip_std * normals[:, 1])[:, None]
    driven[..., 1] *= (1.0 + config.slip_std * normals[:, 1])[:, None]
    driven[..., 2] *= (1.0 + config.slip_std * normals[:, 2])[:, None]
    spread = np.array([config.localisation_std_m, config.localisation_std_m, config.heading_std_rad])
    poses = compose((spread * normals[:, 3:_GROUND_NORMALS])[None, :, None, :], integrate(driven))
    if config.gust_std_mps > 0.0:
        poses[..., :2] += wind_drift(normals[:, _GROUND_NORMALS:], config, drift_mps)
    return poses


def wind_drift(normals: Floats, config: DisturbanceConfig, drift_mps: Floats | None = None) -> Floats:
    """Return the drift (D, T + 1, 2) of the robot by wind in metres, in the present ego frame.

    The robot's controller already compensates the present wind. When the wind changes, the robot drifts until its
    controller has compensated the change.

    Args:
        normals: (D, 2 * _DRIFT_COMPONENTS) standard normal draws.
        config: strength of the wind and response of the robot.
        drift_mps: (2,) present velocity beyond the commanded one; it decays with ``gust_hold_s``.
    """
    components, decay_s = _drift_components(config)
    paths: Floats = np.einsum("tk,dka->dta", components, normals.reshape(len(normals), _DRIFT_COMPONENTS, 2))
    if drift_mps is not None:
        paths += decay_s[:, None] * drift_mps
    return paths


@lru_cache(maxsize=8)
def _drift_components(config: DisturbanceConfig) -> tuple[Floats, Floats]:
    """Return principal components (T + 1, K) of the drift along one axis, and the decay (T + 1,) of a present drift.

    The decay is in metres per m/s of drift.

    Wind with the along-wind spectrum of Dryden's turbulence (MIL-F-8785C) has the correlation exp(-V t / L). The drift
    is linear in the wind, so it is Gaussian with a known covariance (Karhunen-Loeve).
    """
    times_s = DT_S * np.arange(STEPS + 1)
    lag = np.abs(times_s[:, None] - times_s) * config.gust_airspeed_mps / config.gust_length_m
    change = np.eye(STEPS + 1)
    change[:, 0] -= 1.0
    wind = config.gust_std_mps**2 * change @ np.exp(-lag) @ change.T
    since_s = np.maximum(times_s[:, None] - times_s, 0.0)
    way_s = config.gust_hold_s * (1.0 - np.exp(-since_s / config.gust_hold_s))
    response = config.gust_drag_per_s * DT_S * way_s
    # In ascending order, so the strongest components are the last ones.
    variances, axes = np.linalg.eigh(response @ wind @ response.T)
    kept = slice(None, -_DRIFT_COMPONENTS - 1, -1)
    strongest = axes[:, kept] * np.sqrt(np.maximum(variances[kept], 0.0))
    return strongest, way_s[:, 0]


def _delayed(twists: Twist, delay_s: Floats) -> Twist:
    """Return twists (M, D, T + 1, 3) that begin after delays (D,); until then the present twist is kept."""
    position = np.maximum(np.arange(twists.shape[1])[None] - delay_s[:, None] / DT_S, 0.0)
    before = np.floor(position).astype(np.intp)
    after = np.minimum(before + 1, twists.shape[1] - 1)
    share = (position - before)[None, :, :, None]
    delayed, following = np.take(twists, before, axis=1), np.take(twists, after, axis=1)
    delayed *= 1.0 - share
    following *= share
    delayed += following
    return delayed
