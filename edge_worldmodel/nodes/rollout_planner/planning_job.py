"""The job that the planner node hands to its worker thread, and the timing of both."""

from __future__ import annotations

from dataclasses import dataclass

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.types import Floats, LatentFrame, WarmStart

_SHARE_OF_PERIOD = 0.8
"""Share of the control period that planning may use; the remainder is for other processes."""


@dataclass(frozen=True)
class PlannerNodeConfig(Config):
    """Timing of the node itself."""

    heartbeat_hz: float = param(
        50.0, "Rate at which the plan is sent again while it is valid.", minimum=15.0, maximum=100.0, read_only=True
    )
    frame_timeout_s: float = param(
        0.17,
        "Time without a new LatentFrame after which the plan is withdrawn; well above perception's period.",
        minimum=0.02,
        maximum=1.0,
        read_only=True,
    )
    control_period_s: float = param(
        0.1, "Time between two LatentFrames, perception's 1 / max_rate_hz.", minimum=0.005, maximum=1.0, read_only=True
    )
    budget_s: float = param(
        0.0,
        "Time for one tick; then the best candidate imagined so far is taken. 0: four fifths of the control period.",
        minimum=0.0,
        maximum=1.0,
        read_only=True,
    )
    min_use_s: float = param(
        0.1,
        "Shortest time for which a plan must still be valid to be sent; else the last plan is followed to its end.",
        minimum=0.0,
        maximum=1.0,
        read_only=True,
    )
    stalled_after_s: float = param(
        1.0,
        "Duration of a tick above which the backend is reported as stalled.",
        minimum=0.1,
        maximum=60.0,
        read_only=True,
    )
    path_ahead_m: float = param(
        4.0,
        "How far along a path the goal lies ahead of the robot; within the grid.",
        minimum=0.5,
        maximum=6.0,
        read_only=True,
    )
    thermal_path: str = param(
        "/sys/class/thermal", "Folder of the kernel's thermal zones; empty: they are not read.", read_only=True
    )
    seed: int = param(0, "Seed of the noise and the disturbances.", minimum=0, maximum=2**31 - 1, read_only=True)
    warm_start_wait_s: float = param(
        0.02,
        "How long a frame waits for its warm start before planning starts without it.",
        minimum=0.0,
        maximum=0.2,
        read_only=True,
    )

    @property
    def tick_budget_s(self) -> float:
        """Return the time for one tick."""
        return self.budget_s or _SHARE_OF_PERIOD * self.control_period_s


@dataclass(frozen=True)
class PlanningJob:
    """One frame to plan on.

    Attributes:
        frame: encoded scene.
        warm_start: the cache's answer, if it came in time.
        goal: (3,) in the odometry frame; None: hold the position.
        communication_s: age of the frame when it arrived.
        load_s: time from its arrival until it was handed over.
    """

    frame: LatentFrame
    warm_start: WarmStart | None
    goal: Floats | None
    communication_s: float
    load_s: float
