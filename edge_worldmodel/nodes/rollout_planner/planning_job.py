"""What the planner node hands to its worker thread, and the timing of both."""

from __future__ import annotations

from dataclasses import dataclass

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.types import Floats, LatentFrame, WarmStart

_SHARE_OF_PERIOD = 0.8
"""The rest is for everyone else on the machine."""


@dataclass(frozen=True)
class PlannerNodeConfig(Config):
    """Timing of the node itself."""

    heartbeat_hz: float = param(
        50.0, "Rate at which the still-valid plan is re-sent.", minimum=15.0, maximum=100.0, read_only=True
    )
    frame_timeout_s: float = param(
        0.17,
        "Without a new LatentFrame for so long, the plan is taken back; well over perception's period.",
        minimum=0.02,
        maximum=1.0,
        read_only=True,
    )
    control_period_s: float = param(
        0.1, "Time between two LatentFrames, perception's 1 / max_rate_hz.", minimum=0.005, maximum=1.0, read_only=True
    )
    budget_s: float = param(
        0.0,
        "Time for one tick: then the best of what was imagined is taken. 0: four fifths of the control period.",
        minimum=0.0,
        maximum=1.0,
        read_only=True,
    )
    min_use_s: float = param(
        0.1,
        "A plan that could be followed for less than this is not finished, or not sent; the last one runs on.",
        minimum=0.0,
        maximum=1.0,
        read_only=True,
    )
    stalled_after_s: float = param(
        1.0, "A tick that takes longer is reported as a stalled backend.", minimum=0.1, maximum=60.0, read_only=True
    )
    path_ahead_m: float = param(
        4.0, "How far ahead on a path the goal runs; within the grid.", minimum=0.5, maximum=6.0, read_only=True
    )
    thermal_path: str = param(
        "/sys/class/thermal", "Folder of the kernel's thermal zones; empty: they are not looked at.", read_only=True
    )
    seed: int = param(0, "Seed of the noise that futures start from.", minimum=0, maximum=2**31 - 1, read_only=True)
    warm_start_wait_s: float = param(
        0.02,
        "How long a frame waits for its warm start before it starts cold.",
        minimum=0.0,
        maximum=0.2,
        read_only=True,
    )

    @property
    def tick_budget_s(self) -> float:
        """Return the time for one tick."""
        return self.budget_s or _SHARE_OF_PERIOD * self.control_period_s


@dataclass(frozen=True)
class Job:
    """One frame to plan on, with what is known about it at that moment."""

    frame: LatentFrame
    warm_start: WarmStart | None
    goal: Floats | None
    communication_s: float
    load_s: float
