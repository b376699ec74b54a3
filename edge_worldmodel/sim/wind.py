"""Wind: a mean, Dryden turbulence near the ground and single gusts of 1 - cosine shape (MIL-F-8785C)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.types import Floats

_LEAST_HEIGHT_FT = 10.0
_FT_M = 0.3048
_LEAST_AIRSPEED_MPS = 1.0


@dataclass(frozen=True)
class WindSpec(Config):
    """Wind in the world frame."""

    mean_mps: float = param(0.0, "Mean wind speed", minimum=0.0, maximum=30.0)
    direction_rad: float = param(0.0, "Direction that the mean wind blows to", minimum=-math.pi, maximum=math.pi)
    turbulence_mps: float = param(0.0, "Wind speed at 20 feet that sets the turbulence", minimum=0.0, maximum=40.0)
    gust_mps: float = param(0.0, "Peak of a single gust", minimum=0.0, maximum=30.0)
    gust_period_s: float = param(6.0, "Mean time between single gusts", minimum=0.5, maximum=600.0)
    gust_duration_s: float = param(2.0, "Length of a single gust", minimum=0.1, maximum=60.0)


class Wind:
    """Wind at a point that moves with the aircraft."""

    def __init__(self, spec: WindSpec, height_m: float, rng: np.random.Generator) -> None:
        """Start in the steady state of the filters."""
        self._spec, self._rng = spec, rng
        height_ft = max(height_m / _FT_M, _LEAST_HEIGHT_FT)
        shape = 0.177 + 0.000823 * height_ft
        vertical_mps = 0.1 * spec.turbulence_mps
        self._sigma_mps = np.array([vertical_mps / shape**0.4, vertical_mps / shape**0.4, vertical_mps])
        length_ft = height_ft / shape**1.2
        self._length_m = np.array([length_ft, length_ft, height_ft]) * _FT_M
        # Two filter states per axis; the along-wind axis has a filter of first order of its own.
        self._states = rng.normal(size=(2, 3))
        self._along_mps = float(self._sigma_mps[0] * rng.normal())
        self._time_s = 0.0
        self._gust_at_s, self._gust_way = self._next_gust()

    def advance(self, dt_s: float, airspeed_mps: float) -> Floats:
        """Return the wind (3,) in the world frame for the next ``dt_s`` at an airspeed."""
        spec = self._spec
        self._time_s += dt_s
        rate = max(airspeed_mps, _LEAST_AIRSPEED_MPS) / self._length_m
        noise = self._rng.normal(size=3) / math.sqrt(dt_s)
        along = float(rate[0])
        # Exact discretisation of the first-order filter.
        decay = math.exp(-along * dt_s)
        self._along_mps = decay * self._along_mps + float(
            self._sigma_mps[0] * math.sqrt(1 - decay**2) * noise[0] * math.sqrt(dt_s)
        )
        # Filter (1 + sqrt(3) s/a) / (1 + s/a)^2, scaled so that both states have variance 1 at any airspeed.
        first, second = self._states
        change = np.stack([rate * second, 2 * np.sqrt(rate) * noise - rate * (first + 2 * second)])
        self._states = self._states + dt_s * change
        across = self._sigma_mps * (self._states[0] + math.sqrt(3) * self._states[1]) / 2
        c, s = math.cos(spec.direction_rad), math.sin(spec.direction_rad)
        u, v = spec.mean_mps + self._along_mps, across[1]
        return np.array([c * u - s * v, s * u + c * v, across[2]]) + self._gust()

    def _next_gust(self) -> tuple[float, Floats]:
        angle = self._rng.uniform(-math.pi, math.pi)
        begin_s = self._time_s + float(self._rng.exponential(self._spec.gust_period_s))
        return begin_s, np.array([math.cos(angle), math.sin(angle), 0.0])

    def _gust(self) -> Floats:
        since_s = self._time_s - self._gust_at_s
        if since_s < 0 or self._spec.gust_mps == 0:
            return np.zeros(3)
        if since_s > self._spec.gust_duration_s:
            self._gust_at_s, self._gust_way = self._next_gust()
            return np.zeros(3)
        share = (1 - math.cos(2 * math.pi * since_s / self._spec.gust_duration_s)) / 2
        return np.asarray(self._spec.gust_mps * share * self._gust_way)
