"""The figures and the trace of one episode."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.types import Floats, Tensor

ENDINGS = ("success", "contact", "timeout", "error")
_BINS_PER_E = 50.0
_BARN_SPEED_MPS = 2.0


@dataclass(frozen=True)
class EpisodeOutcome:
    """The figures of one episode; all but the measured times are the same in every run with the same seed.

    ``min_distance_m`` is the smallest clearance to anything; ``person_distance_m``, ``intrusion_s`` (time within
    0.45 m) and ``near_s`` (within 1.2 m) are about people only (NaN and 0 without any). ``tick_bins`` counts planner
    times, see ``tick_bin``.
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
    """Kind of the touched thing: "wall", "person" or "robot"."""
    contact_speed_mps: float = math.nan
    avoidable: float = math.nan
    """1 if a maneuver could have avoided the contact, 0 if not, NaN without one; see ``measures/avoidable.py``."""
    contact_by: str = ""
    """"robot" if it moved into the other, "other" if it was moved into, "" if neither moved or nothing was touched."""
    relative_mps: float = math.nan
    energy_j: float = math.nan
    """Speed and energy of the relative motion in a contact."""
    intrusion_by_robot_s: float = 0.0
    near_by_robot_s: float = 0.0
    """Parts of ``intrusion_s`` and ``near_s`` in which the robot had come near."""
    near_s: float = 0.0
    stops: int = 0
    freezing_s: float = 0.0
    """Time in which the robot stood for a second or longer."""
    risk_counts: list[list[float]] = field(default_factory=list)
    """The planner's own risks and what came of them, see ``RiskCounts``."""
    error: str = ""
    ticks: int = 0
    tick_bins: dict[str, int] = field(default_factory=dict)
    cpu_s: float = 0.0
    """Processor time of the whole episode."""
    simulator_s: float = 0.0
    """Wall time without the planner."""
    unfair_draws: int = 0
    """Worlds that were drawn for this episode and not used, because somebody comes too near the start."""
    unsolved_draws: int = 0
    """Worlds that were not used because no contact-free drive was found."""
    clairvoyant_s: float = math.nan
    """Time of the contact-free drive that is known; NaN if none is."""
    regret_s: float = math.nan
    """Time of a success minus that of the clairvoyant."""
    regret_success: float = math.nan
    """1 if the clairvoyant arrives and this planner does not, 0 if it does."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values; numbers that are not finite become None."""
        plain = dataclasses.asdict(self)
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in plain.items()}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> EpisodeOutcome:
        """Return the outcome that ``to_json`` was called on.

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
    """Return the score of the BARN challenge: success * OT / clip(time, 2 OT, 8 OT).

    Args:
        success: whether the robot reached the goal.
        time_s: duration of the episode.
        shortest_m: length of the shortest way; OT is the time for it at 2 m/s.
    """
    optimal_s = shortest_m / _BARN_SPEED_MPS
    return float(success) * optimal_s / min(max(time_s, 2 * optimal_s), 8 * optimal_s)


def tick_bin(seconds: float) -> str:
    """Return the name of the bin of a planner time; bins are 2 % wide, so that counts of many episodes can be added."""
    return str(round(_BINS_PER_E * math.log(max(seconds, 1e-9))))


def tick_quantiles(bins: dict[str, int], levels: tuple[float, ...]) -> list[float]:
    """Return quantiles in seconds of binned planner times, NaN where there are none."""
    if not bins:
        return [math.nan] * len(levels)
    edges = sorted(bins, key=int)
    total = np.cumsum([bins[edge] for edge in edges])
    indices = [int(np.searchsorted(total, level * total[-1])) for level in levels]
    return [math.exp(int(edges[min(index, len(edges) - 1)]) / _BINS_PER_E) for index in indices]


@dataclass(frozen=True)
class Trace:
    """An episode as time series, one entry per control period of 0.1 s and a last one at the end.

    ``poses`` (T, 3) and ``people`` (T, n, 2) in the world frame, ``odometry`` (T, 3) in the odom frame, ``twists``
    (T, 3) in the base frame, ``commands`` (T, 2), ``ranges`` (T, beams). A planner that imagines adds the newest scene
    that it imagined: ``imagined`` (T, cells, cells) the highest occupancy over the imagined times, 255 being certain;
    ``imagined_poses`` (T, 3) the centre of that grid and ``plans`` (T, n, 2) the planned positions, both in the world
    frame and NaN before the first. They are empty without.
    """

    stamps_ns: Tensor
    poses: Floats
    odometry: Floats
    twists: Floats
    commands: Floats
    people: Floats
    ranges: Tensor
    imagined: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0, 0), np.uint8))
    imagined_poses: Floats = field(default_factory=lambda: np.zeros((0, 3)))
    plans: Floats = field(default_factory=lambda: np.zeros((0, 0, 2)))
