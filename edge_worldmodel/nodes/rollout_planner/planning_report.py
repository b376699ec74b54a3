"""What the planner tells people: how it plans, and whether it has anything to plan on."""

from __future__ import annotations

import math
import time

from diagnostic_msgs.msg import DiagnosticStatus

from edge_worldmodel.core.errors import EdgeWorldModelError
from edge_worldmodel.core.planner.budget import LateError
from edge_worldmodel.core.planner.effort import Effort
from edge_worldmodel.core.types import RolloutSet
from edge_worldmodel.nodes.rollout_planner.thermal_zones import Reading
from edge_worldmodel.nodes.rollout_planner.thinking import Thinking
from edge_worldmodel.nodes.ros.health import Health

_TELL_AFTER_S = 2.0
"""A frame that is late now and then is the supervisor's business; people hear of frames that stay away."""
_NO_FRAMES = (
    "no LatentFrame arrives, so no plan is sent and the robot stands."
    " Check that perception is active and what its /diagnostics say about its sensors."
)


class PlanningReport:
    """Keeps a Health up to date with the planner."""

    def __init__(self, health: Health, stalled_after_s: float = 1.0) -> None:
        self._health, self._stalled_after_s = health, stalled_after_s
        self._plans = self._ticks = self._warm = self._steps = self._imagined = self._less = self._failed = 0
        self._missing_since_s: float | None = None

    def decided(self, rollouts: RolloutSet | None, dropped: int, thinking: Thinking) -> None:
        """Note one plan, imagined anew (``rollouts``) or re-used, and how many frames were dropped so far."""
        self._plans += 1
        reasons = thinking.deliberation.attention.reasons
        self._health.figures.update(
            plans=self._plans,
            plans_reused=reasons["reused"],
            frames_dropped=dropped,
            imagined_because=", ".join(f"{why} {count}" for why, count in reasons.most_common() if why != "reused"),
        )
        self._health.solved("planning")
        if rollouts is not None:
            self._imagined_anew(rollouts)
        self._say(thinking.effort())

    def _imagined_anew(self, rollouts: RolloutSet) -> None:
        self._ticks += 1
        self._warm += rollouts.warm_started
        self._steps += rollouts.steps
        self._imagined += sum(math.isfinite(rollout.risk) for rollout in rollouts.rollouts)
        self._less += bool(rollouts.effort)
        self._health.figures.update(
            warm_start_rate=self._warm / self._ticks,
            denoise_steps_mean=self._steps / self._ticks,
            compute_s=rollouts.latency.compute_s,
            candidates_imagined_mean=self._imagined / self._ticks,
            plans_with_less=self._less,
            effort=rollouts.effort or "everything",
        )

    def felt(self, reading: Reading | None, effort: Effort) -> None:
        """Note the temperature of the zone nearest to throttling, None where no zone can be read."""
        self._health.figures["temperature_c"] = "no thermal zone to read" if reading is None else reading.hottest_c
        self._say(effort)

    def _say(self, effort: Effort) -> None:
        if effort.reason:
            self._health.problem("effort", f"less is imagined, {effort.reason}", DiagnosticStatus.WARN)
        else:
            self._health.solved("effort")

    def failed(self, error: EdgeWorldModelError) -> None:
        """Note a tick without a plan; the one before it runs on until it ends, then the robot stands."""
        self._failed += 1
        self._health.figures["ticks_without_plan"] = self._failed
        level = DiagnosticStatus.WARN if isinstance(error, LateError) else DiagnosticStatus.ERROR
        self._health.problem("planning", f"no plan: {error}", level)

    def watched(self, missing: bool, busy_s: float = 0.0) -> None:
        """Note whether frames are missing now, a problem when that lasts, and how long the present tick has taken."""
        if busy_s > self._stalled_after_s:
            text = "a tick takes longer than stalled_after_s: the backend is stalled, and the robot stands until it"
            self._health.problem("stalled", f"{text} comes back. If it does not, restart this node.")
        else:
            self._health.solved("stalled")
        if not missing:
            self._missing_since_s = None
            self._health.solved("frames")
            return
        now_s = time.perf_counter()
        if self._missing_since_s is None:
            self._missing_since_s = now_s
        if now_s - self._missing_since_s > _TELL_AFTER_S:
            self._health.problem("frames", _NO_FRAMES, DiagnosticStatus.WARN)
