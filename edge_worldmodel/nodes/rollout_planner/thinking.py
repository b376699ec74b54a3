"""One tick on the planner's worker thread: how much to imagine, until when, and whether it was worth it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_worldmodel.core.errors import EdgeWorldModelError
from edge_worldmodel.core.planner.budget import Budget, LateError
from edge_worldmodel.core.planner.deliberation import Decision, Deliberation
from edge_worldmodel.core.planner.effort import Effort, EffortControl
from edge_worldmodel.core.planner.heat import Heat
from edge_worldmodel.core.types import Plan
from edge_worldmodel.nodes.rollout_planner.planning_job import Job, PlannerNodeConfig
from edge_worldmodel.nodes.rollout_planner.thermal_zones import Reading, read_zones


@dataclass(frozen=True)
class Clocks:
    """Monotonic seconds for durations, and the ROS time in nanoseconds."""

    steady_s: Callable[[], float]
    ros_ns: Callable[[], int]


class Thinking:
    """Plans on one job after another and adapts the effort to how long that takes."""

    def __init__(
        self, deliberation: Deliberation, timing: PlannerNodeConfig, effort: EffortControl, heat: Heat, clocks: Clocks
    ) -> None:
        self.deliberation = deliberation
        self._timing, self._clocks = timing, clocks
        self._effort, self._heat = effort, heat
        self._validity_s = deliberation.planner.config.validity_s

    def effort(self) -> Effort:
        """Return what the next tick may imagine."""
        return self._effort.effort(self._heat.level, self._heat.reason)

    def feel(self) -> Reading | None:
        """Read the thermal zones, which may lower or raise the effort; None where there are none to read."""
        if not self._timing.thermal_path:
            return None
        reading = read_zones(Path(self._timing.thermal_path), self._heat.config.throttle_c)
        if reading is not None:
            self._heat.felt(reading.hottest_c, reading.throttle_c)
        return reading

    def tick(self, job: Job, previous: Plan | None) -> Decision:
        """Decide on one frame.

        Raises:
            LateError: the plan could not be followed long enough to be worth sending.
            EdgeWorldModelError: the frame or the backend is unusable; see the planner.
        """
        timing, clock_s = self._timing, self._clocks.steady_s
        usable_s = max(self._validity_s - timing.min_use_s - self._age_s(job), 0.0)
        budget = Budget(min(timing.tick_budget_s, usable_s), clock_s, usable_s)
        try:
            decision = self.deliberation.decide(
                job.frame,
                goal=job.goal,
                # seeded by the frame: the same recording gives the same plans
                rng=np.random.default_rng([timing.seed, job.frame.sequence]),
                warm_start=job.warm_start,
                previous=previous,
                effort=self.effort(),
                budget=budget,
                clock_s=clock_s,
            )
        except EdgeWorldModelError:
            self._effort.ticked(budget.elapsed_s, timing.tick_budget_s, budget.cut_short)
            raise
        if decision.output is not None:
            self._effort.ticked(budget.elapsed_s, timing.tick_budget_s, budget.cut_short)
        left_s = self._validity_s - self._age_s(job)
        if left_s < timing.min_use_s:
            raise LateError(f"a plan came {left_s:.2f} s before its end and was not sent: the last one runs on")
        return decision

    def _age_s(self, job: Job) -> float:
        return (self._clocks.ros_ns() - job.frame.stamp_ns) * 1e-9
