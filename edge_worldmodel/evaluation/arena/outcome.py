"""What is kept of one episode."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_worldmodel.core.types import Floats, Tensor

ENDINGS = ("success", "contact", "timeout", "error")
_BINS_PER_E = 50.0
_BARN_SPEED_MPS = 2.0


@dataclass(frozen=True)
class EpisodeOutcome:
    """The figures of one episode; all but the measured times are the same in every run with its seed.

    ``min_distance_m`` is the smallest gap between the footprint and anything, ``person_distance_m`` and
    ``intrusion_s`` look at people only (NaN, 0 without any). ``tick_bins`` counts planner times, see ``tick_bin``.
    """

    ending: str
    label: str
    time_s: float
    path_m: float
    min_distance_m: float
    person_distance_m: float
    intrusion_s: float
    jerk: float
    score: float
    goal_distance_m: float
    touched: str = ""
    """What was touched: "wall", "person" or "robot"."""
    contact_speed_mps: float = math.nan
    avoidable: float = math.nan
    """Whether braking could have avoided touching a person: 1 or 0, see ``avoidable.py``; NaN: nobody was touched."""
    error: str = ""
    ticks: int = 0
    tick_bins: dict[str, int] = field(default_factory=dict)
    cpu_s: float = 0.0
    """Processor time of the whole episode."""
    simulator_s: float = 0.0
    """Wall time of everything but the planner."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values; what is not finite becomes None."""
        plain = dataclasses.asdict(self)
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in plain.items()}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> EpisodeOutcome:
        """Return what ``to_json`` was called on.

        Raises:
            TypeError, ValueError: the values are not those of an outcome.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        values: dict[str, Any] = {k: math.nan if v is None else v for k, v in plain.items() if k in known}
        outcome = cls(**values)
        if outcome.ending not in ENDINGS or not isinstance(outcome.tick_bins, dict):
            raise ValueError(f"ending {outcome.ending!r}: expected one of {', '.join(ENDINGS)}")
        return outcome


def barn_score(success: bool, time_s: float, shortest_m: float) -> float:
    """Return the metric of the BARN challenge: success * OT / clip(AT, 2 OT, 8 OT), OT at 2 m/s."""
    optimal_s = shortest_m / _BARN_SPEED_MPS
    return float(success) * optimal_s / min(max(time_s, 2 * optimal_s), 8 * optimal_s)


def tick_bin(seconds: float) -> str:
    """Return the bin of a planner time; bins are 2 % wide, so that many episodes can be put together."""
    return str(round(_BINS_PER_E * math.log(max(seconds, 1e-9))))


def tick_quantiles(bins: dict[str, int], levels: tuple[float, ...]) -> list[float]:
    """Return quantiles in seconds of counted planner times, NaN where there are none."""
    if not bins:
        return [math.nan] * len(levels)
    edges = sorted(bins, key=int)
    total = np.cumsum([bins[edge] for edge in edges])
    places = [int(np.searchsorted(total, level * total[-1])) for level in levels]
    return [math.exp(int(edges[min(place, len(edges) - 1)]) / _BINS_PER_E) for place in places]


@dataclass(frozen=True)
class Trace:
    """An episode moment by moment, one every 0.1 s: T looks, of which the last is where it ended.

    ``poses`` (T, 3) and ``people`` (T, n, 2) in the world frame, ``odometry`` (T, 3) in the odom frame, ``twists``
    (T, 3) in the base frame, ``commands`` (T, 2), ``ranges`` (T, beams).
    """

    stamps_ns: Tensor
    poses: Floats
    odometry: Floats
    twists: Floats
    commands: Floats
    people: Floats
    ranges: Tensor
