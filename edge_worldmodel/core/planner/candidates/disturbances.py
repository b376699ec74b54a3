"""What may go differently from the maneuver: late actuation, slip, wind, a wrong idea of where the robot is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.geometry import compose
from edge_worldmodel.core.planner.candidates.driving import integrate
from edge_worldmodel.core.planner.robot_limits import DT_S, STEPS
from edge_worldmodel.core.types import Floats

_ON_THE_GROUND = 6
_WAYS_TO_DRIFT = 2
NORMALS_PER_DRAW = _ON_THE_GROUND + 2 * _WAYS_TO_DRIFT
"""Standard normal numbers that one draw uses."""


@dataclass(frozen=True)
class DisturbanceConfig(Config):
    """How strong the disturbances are (standard deviations unless said otherwise)."""

    delay_mean_s: float = param(0.05, "mean actuation delay", minimum=0.0, maximum=1.0)
    delay_std_s: float = param(0.03, "spread of the actuation delay", minimum=0.0, maximum=1.0)
    slip_std: float = param(0.05, "relative spread of the speed and yaw rate delivered", minimum=0.0, maximum=0.5)
    localisation_std_m: float = param(0.03, "spread of the position in x and y", minimum=0.0, maximum=1.0)
    heading_std_rad: float = param(0.02, "spread of the heading", minimum=0.0, maximum=1.0)
    gust_std_mps: float = param(0.0, "spread of the wind; 0: no gusts, for wheels", minimum=0.0, maximum=10.0)
    gust_length_m: float = param(23.0, "Dryden scale length; 23 m near the ground", minimum=1.0, maximum=1000.0)
    gust_airspeed_mps: float = param(4.0, "usual speed of the robot through the air", minimum=0.5, maximum=50.0)
    gust_drag_per_s: float = param(
        0.25, "acceleration of the robot per speed of the air past it [1/s]", minimum=0.0, maximum=10.0
    )
    gust_hold_s: float = param(
        0.5, "time in which the robot's controller takes back what wind adds", minimum=0.05, maximum=10.0
    )


def draw(count: int, rng: np.random.Generator, config: DisturbanceConfig) -> Floats:
    """Return draws (count, NORMALS_PER_DRAW), the first of them none; without wind nothing is drawn for it."""
    normals = np.zeros((count, NORMALS_PER_DRAW))
    normals[:, :_ON_THE_GROUND] = rng.standard_normal((count, _ON_THE_GROUND))
    if config.gust_std_mps > 0.0:
        normals[:, _ON_THE_GROUND:] = rng.standard_normal((count, NORMALS_PER_DRAW - _ON_THE_GROUND))
    normals[0] = 0.0
    return normals


def disturb(twists: Floats, normals: Floats, config: DisturbanceConfig, drift_mps: Floats | None = None) -> Floats:
    """Drive every maneuver under every drawn disturbance.

    Args:
        twists: (M, T + 1, 3) base twists every DT_S.
        normals: (D, NORMALS_PER_DRAW) standard normal draws, the same for all maneuvers. A row of zeros is the
            undisturbed drive, apart from the mean delay.
        config: how strong the disturbances are.
        drift_mps: (2,) present velocity that nobody commanded, in the ego frame; counts only where there is wind.

    Returns:
        Poses (M, D, T + 1, 3) in the present ego frame.
    """
    delay_s = np.maximum(config.delay_mean_s + config.delay_std_s * normals[:, 0], 0.0)
    driven = _delayed(twists, delay_s)
    driven[..., 0] *= (1.0 + config.slip_std * normals[:, 1])[:, None]
    driven[..., 1] *= (1.0 + config.slip_std * normals[:, 1])[:, None]
    driven[..., 2] *= (1.0 + config.slip_std * normals[:, 2])[:, None]
    spread = np.array([config.localisation_std_m, config.localisation_std_m, config.heading_std_rad])
    poses = compose((spread * normals[:, 3:_ON_THE_GROUND])[None, :, None, :], integrate(driven))
    if config.gust_std_mps > 0.0:
        poses[..., :2] += blown(normals[:, _ON_THE_GROUND:], config, drift_mps)
    return poses


def blown(normals: Floats, config: DisturbanceConfig, drift_mps: Floats | None = None) -> Floats:
    """Return (D, T + 1, 2) how far wind carries the robot off, in the present ego frame.

    What blows now the robot's controller leans against; a change of it drives the robot off until it leans anew.

    Args:
        normals: (D, 2 * _WAYS_TO_DRIFT) standard normal draws.
        config: how gusty it is and how much the robot gives way.
        drift_mps: (2,) its present velocity beyond the commanded one; it dies away with ``gust_hold_s``.
    """
    ways, dying_s = _ways_to_drift(config)
    paths: Floats = np.einsum("tk,dka->dta", ways, normals.reshape(len(normals), _WAYS_TO_DRIFT, 2))
    if drift_mps is not None:
        paths += dying_s[:, None] * drift_mps
    return paths


@lru_cache(maxsize=8)
def _ways_to_drift(config: DisturbanceConfig) -> tuple[Floats, Floats]:
    """Return principal components (T + 1, K) of the drift along one axis, and the way of one that dies away.

    Wind with the along-wind spectrum of Dryden's turbulence (MIL-F-8785C) is correlated by exp(-V t / L), the drift is
    linear in it, so it is Gaussian with a known covariance (Karhunen-Loeve).
    """
    times_s = DT_S * np.arange(STEPS + 1)
    apart = np.abs(times_s[:, None] - times_s) * config.gust_airspeed_mps / config.gust_length_m
    since_now = np.eye(STEPS + 1)
    since_now[:, 0] -= 1.0
    wind = config.gust_std_mps**2 * since_now @ np.exp(-apart) @ since_now.T
    late_s = np.maximum(times_s[:, None] - times_s, 0.0)
    way_s = config.gust_hold_s * (1.0 - np.exp(-late_s / config.gust_hold_s))
    pushed = config.gust_drag_per_s * DT_S * way_s
    shares, ways = np.linalg.eigh(pushed @ wind @ pushed.T)
    strongest = ways[:, : -_WAYS_TO_DRIFT - 1 : -1] * np.sqrt(np.maximum(shares[: -_WAYS_TO_DRIFT - 1 : -1], 0.0))
    return strongest, way_s[:, 0]


def _delayed(twists: Floats, delay_s: Floats) -> Floats:
    """Return (M, D, T + 1, 3): until the delay has passed the robot keeps its present twist."""
    position = np.maximum(np.arange(twists.shape[1])[None] - delay_s[:, None] / DT_S, 0.0)
    before = np.floor(position).astype(np.intp)
    after = np.minimum(before + 1, twists.shape[1] - 1)
    share = (position - before)[None, :, :, None]
    late, soon = np.take(twists, before, axis=1), np.take(twists, after, axis=1)
    late *= 1.0 - share
    soon *= share
    late += soon
    return late
