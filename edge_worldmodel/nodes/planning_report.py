"""What the planner tells people: how it plans, and whether it has anything to plan on."""

from __future__ import annotations

import time

from diagnostic_msgs.msg import DiagnosticStatus

from edge_worldmodel.core.types import RolloutSet
from edge_worldmodel.nodes.health import Health

_TELL_AFTER_S = 2.0
"""A frame that is late now and then is the supervisor's business; people hear of frames that stay away."""
_NO_FRAMES = (
    "no LatentFrame arrives, so no plan is sent and the robot stands."
    " Check that perception is active and what its /diagnostics say about its sensors."
)


class PlanningReport:
    """Keeps a Health up to date with the planner."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._plans = self._warm = self._steps = 0
        self._missing_since_s: float | None = None

    def planned(self, rollouts: RolloutSet, dropped: int) -> None:
        """Note one plan, and how many frames were dropped so far because newer ones came."""
        self._plans += 1
        self._warm += rollouts.warm_started
        self._steps += rollouts.steps
        self._health.figures.update(
            plans=self._plans,
            warm_start_rate=self._warm / self._plans,
            denoise_steps_mean=self._steps / self._plans,
            compute_s=rollouts.latency.compute_s,
            frames_dropped=dropped,
        )

    def watched(self, missing: bool) -> None:
        """Note whether frames are missing now; it is a problem when that lasts."""
        if not missing:
            self._missing_since_s = None
            self._health.solved("frames")
            return
        now_s = time.perf_counter()
        if self._missing_since_s is None:
            self._missing_since_s = now_s
        if now_s - self._missing_since_s > _TELL_AFTER_S:
            self._health.problem("frames", _NO_FRAMES, DiagnosticStatus.WARN)
