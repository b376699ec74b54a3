"""Diagnostics of the planner: how it plans, and whether it gets frames to plan on."""

from __future__ import annotations

import math
import time

from diagnostic_msgs.msg import DiagnosticStatus

from edge_worldmodel.core.errors import EdgeWorldModelError
from edge_worldmodel.core.planner.budget import LateError
from edge_worldmodel.core.planner.effort import Effort
from edge_worldmodel.core.types import RolloutSet
from edge_worldmodel.nodes.rollout_planner.thermal_zones import ZoneReading
from edge_worldmodel.nodes.rollout_planner.timed_deliberation import TimedDeliberation
from edge_worldmodel.nodes.ros.health import Health

_TELL_AFTER_S = 2.0
"""Missing frames are reported after this time; the supervisor handles single late frames."""
_SLOW_AFTER = 3
"""Frames in a row that come after their timeout; fewer are late ones."""
_NO_FRAMES = (
    "no LatentFrame arrives, so no plan is sent and the robot does not move."
    " Check that perception is active and what its /diagnostics say about its sensors."
)


class PlanningReport:
    """Updates the planner's part of a Health."""

    def __init__(self, health: Health, stalled_after_s: float = 1.0) -> None:
        self._health, self._stalled_after_s = health, stalled_after_s
        self._plans = self._ticks = self._warm_started = self._steps = self._imagined = self._reduced = self._failed = 0
        self._missing_since_s: float | None = None
        self._late_frames = 0

    def frame(self, gap_s: float, timeout_s: float) -> None:
        """Note the time since the last frame, and its limit ``frame_timeout_s``."""
        self._late_frames = self._late_frames + 1 if timeout_s < gap_s < _TELL_AFTER_S else 0
        if self._late_frames == _SLOW_AFTER:
            text = f"frames come every {gap_s:.2f} s, and frame_timeout_s is {timeout_s:g} s, so plans are withdrawn"
            self._health.problem(
                "slow frames",
                f"{text} between them: for a sensor that slow set it to 2.5 periods, and control_period_s to one",
                DiagnosticStatus.WARN,
            )
        elif not self._late_frames:
            self._health.solved("slow frames")

    def decided(self, rollouts: RolloutSet | None, dropped: int, deliberation: TimedDeliberation) -> None:
        """Note one plan.

        Args:
            rollouts: the candidates; None if the last plan is used again.
            dropped: frames that were dropped so far.
            deliberation: has the counts of reasons to imagine, and the effort.
        """
        self._plans += 1
        reasons = deliberation.deliberation.attention.reasons
        self._health.figures.update(
            plans=self._plans,
            plans_reused=reasons["reused"],
            frames_dropped=dropped,
            imagined_because=", ".join(
                f"{reason} {count}" for reason, count in reasons.most_common() if reason != "reused"
            ),
        )
        self._health.solved("planning")
        if rollouts is not None:
            self._note_imagination(rollouts)
        self._report_effort(deliberation.effort())

    def _note_imagination(self, rollouts: RolloutSet) -> None:
        self._ticks += 1
        self._warm_started += rollouts.warm_started
        self._steps += rollouts.steps
        self._imagined += sum(math.isfinite(rollout.risk) for rollout in rollouts.rollouts)
        self._reduced += bool(rollouts.effort)
        self._health.figures.update(
            warm_start_rate=self._warm_started / self._ticks,
            denoise_steps_mean=self._steps / self._ticks,
            compute_s=rollouts.latency.compute_s,
            candidates_imagined_mean=self._imagined / self._ticks,
            plans_with_less=self._reduced,
            effort=rollouts.effort or "everything",
        )

    def temperature(self, reading: ZoneReading | None, effort: Effort) -> None:
        """Note the zone that is nearest to throttling; None: no zone can be read."""
        self._health.figures["temperature_c"] = "no thermal zone to read" if reading is None else reading.hottest_c
        self._report_effort(effort)

    def _report_effort(self, effort: Effort) -> None:
        if effort.reason:
            self._health.problem("effort", f"less is imagined, {effort.reason}", DiagnosticStatus.WARN)
        else:
            self._health.solved("effort")

    def failed(self, error: EdgeWorldModelError) -> None:
        """Note a tick without a plan; the last plan is followed to its end, then the robot stops."""
        self._failed += 1
        self._health.figures["ticks_without_plan"] = self._failed
        level = DiagnosticStatus.WARN if isinstance(error, LateError) else DiagnosticStatus.ERROR
        self._health.problem("planning", f"no plan: {error}", level)

    def watch(self, missing: bool, busy_s: float = 0.0) -> None:
        """Note whether frames are missing now, and for how long the present tick has been running."""
        if busy_s > self._stalled_after_s:
            text = (
                "a tick takes longer than stalled_after_s: the backend is stalled, and the robot does not move until it"
            )
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
