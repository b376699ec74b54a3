"""One tick on the planner's worker thread: how much to imagine, until when, and whether it was worth it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core.budget import Budget, LateError
from edge_worldmodel.core.effort import EffortControl
from edge_worldmodel.core.planner import Planner, PlannerOutput
from edge_worldmodel.core.types import Plan
from edge_worldmodel.nodes.planning_job import Job, PlannerNodeConfig


@dataclass(frozen=True)
class Clocks:
    """Monotonic seconds for durations, and the ROS time in nanoseconds."""

    steady_s: Callable[[], float]
    ros_ns: Callable[[], int]


class Thinking:
    """Plans on one job after another and adapts the effort to how long that takes."""

    def __init__(self, planner: Planner, timing: PlannerNodeConfig, effort: EffortControl, clocks: Clocks) -> None:
        self._planner, self._timing, self._clocks = planner, timing, clocks
        self.effort = effort

    def tick(self, job: Job, previous: Plan | None) -> PlannerOutput:
        """Plan on one frame.

        Raises:
            LateError: the plan could not be followed long enough to be worth sending.
            EdgeWorldModelError: the frame or the backend is unusable; see the planner.
        """
        timing, clock_s = self._timing, self._clocks.steady_s
        usable_s = max(self._planner.config.validity_s - timing.min_use_s - self._age_s(job), 0.0)
        budget = Budget(min(timing.tick_budget_s, usable_s), clock_s, usable_s)
        try:
            output = self._planner.plan(
                job.frame,
                goal=job.goal,
                # seeded by the frame: the same recording gives the same plans
                rng=np.random.default_rng([timing.seed, job.frame.sequence]),
                warm_start=job.warm_start,
                previous=previous,
                effort=self.effort.effort(),
                budget=budget,
                clock_s=clock_s,
            )
        finally:
            self.effort.ticked(budget.elapsed_s, timing.tick_budget_s, budget.cut_short)
        left_s = self._planner.config.validity_s - self._age_s(job)
        if left_s < timing.min_use_s:
            raise LateError(f"a plan came {left_s:.2f} s before its end and was not sent: the last one runs on")
        return output

    def _age_s(self, job: Job) -> float:
        return (self._clocks.ros_ns() - job.frame.stamp_ns) * 1e-9
