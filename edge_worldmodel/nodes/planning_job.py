"""What the planner node hands to its worker thread, and the timing of both."""

from __future__ import annotations

from dataclasses import dataclass

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.types import Floats, LatentFrame, WarmStart


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
    budget_s: float = param(
        0.08, "Time after which denoising takes the rest in one step.", minimum=0.001, maximum=1.0, read_only=True
    )
    seed: int = param(0, "Seed of the noise that futures start from.", minimum=0, maximum=2**31 - 1, read_only=True)
    warm_start_wait_s: float = param(
        0.02,
        "How long a frame waits for its warm start before it starts cold.",
        minimum=0.0,
        maximum=0.2,
        read_only=True,
    )


@dataclass(frozen=True)
class Job:
    """One frame to plan on, with what is known about it at that moment."""

    frame: LatentFrame
    warm_start: WarmStart | None
    goal: Floats | None
    communication_s: float
    load_s: float
