"""What may go differently from the maneuver: late actuation, slip, a wrong idea of where the robot is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.driving import integrate
from edge_worldmodel.core.geometry import compose
from edge_worldmodel.core.robot_limits import DT_S
from edge_worldmodel.core.types import Floats

NORMALS_PER_DRAW = 6
"""Standard normal numbers that one draw uses."""


@dataclass(frozen=True)
class DisturbanceConfig(Config):
    """How strong the disturbances are (standard deviations unless said otherwise)."""

    delay_mean_s: float = param(0.05, "mean actuation delay", minimum=0.0, maximum=1.0)
    delay_std_s: float = param(0.03, "spread of the actuation delay", minimum=0.0, maximum=1.0)
    slip_std: float = param(0.05, "relative spread of the speed and yaw rate delivered", minimum=0.0, maximum=0.5)
    localisation_std_m: float = param(0.03, "spread of the position in x and y", minimum=0.0, maximum=1.0)
    heading_std_rad: float = param(0.02, "spread of the heading", minimum=0.0, maximum=1.0)


def disturb(twists: Floats, normals: Floats, config: DisturbanceConfig) -> Floats:
    """Drive every maneuver under every drawn disturbance.

    Args:
        twists: (M, T + 1, 3) base twists every DT_S.
        normals: (D, NORMALS_PER_DRAW) standard normal draws, the same for all maneuvers. A row of zeros is the
            undisturbed drive, apart from the mean delay.
        config: how strong the disturbances are.

    Returns:
        Poses (M, D, T + 1, 3) in the present ego frame.
    """
    delay_s = np.maximum(config.delay_mean_s + config.delay_std_s * normals[:, 0], 0.0)
    driven = _delayed(twists, delay_s)
    driven[..., 0] *= (1.0 + config.slip_std * normals[:, 1])[:, None]
    driven[..., 1] *= (1.0 + config.slip_std * normals[:, 1])[:, None]
    driven[..., 2] *= (1.0 + config.slip_std * normals[:, 2])[:, None]
    spread = np.array([config.localisation_std_m, config.localisation_std_m, config.heading_std_rad])
    return compose((spread * normals[:, 3:])[None, :, None, :], integrate(driven))


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
