"""Deliberation within the time of a control period, with less effort while the machine is slow or hot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_worldmodel.core.errors import EdgeWorldModelError
from edge_worldmodel.core.planner.budget import Budget, LateError
from edge_worldmodel.core.planner.deliberation import Deliberation, PlanningDecision
from edge_worldmodel.core.planner.effort import Effort, EffortControl, ThermalGovernor
from edge_worldmodel.core.planner.request import PlanningRequest
from edge_worldmodel.core.time_units import to_seconds
from edge_worldmodel.core.types import Plan
from edge_worldmodel.nodes.rollout_planner.planning_job import PlannerNodeConfig, PlanningJob
from edge_worldmodel.nodes.rollout_planner.thermal_zones import ZoneReading, read_zones


@dataclass(frozen=True)
class Clocks:
    """Monotonic seconds for durations, and the ROS time in nanoseconds with the name of its clock."""

    steady_s: Callable[[], float]
    ros_ns: Callable[[], int]
    name: str = "this node's clock"


class OldFrameError(EdgeWorldModelError):
    """The stamp of a frame was already so old when it arrived that a plan on it would be of no use."""

    kind = "old_frame"


class TimedDeliberation:
    """Decides on one job after another and adapts the effort to the time that takes."""

    def __init__(
        self,
        deliberation: Deliberation,
        timing: PlannerNodeConfig,
        effort: EffortControl,
        thermal: ThermalGovernor,
        clocks: Clocks,
    ) -> None:
        self.deliberation = deliberation
        self._timing, self._clocks = timing, clocks
        self._effort, self._thermal = effort, thermal
        self._validity_s = deliberation.planner.config.validity_s

    def effort(self) -> Effort:
        """Return the effort of the next tick."""
        return self._effort.effort(self._thermal.level, self._thermal.reason)

    def read_temperature(self) -> ZoneReading | None:
        """Read the thermal zones, which may change the effort; None: there is no zone to read."""
        if not self._timing.thermal_path:
            return None
        reading = read_zones(Path(self._timing.thermal_path), self._thermal.config.throttle_c)
        if reading is not None:
            self._thermal.update(reading.hottest_c, reading.throttle_c)
        return reading

    def decide(self, job: PlanningJob, previous: Plan | None) -> PlanningDecision:
        """Decide on one frame.

        Args:
            job: the frame with its goal and warm start.
            previous: the plan that the robot has followed until now.

        Raises:
            OldFrameError: the stamp of the frame was too old when it arrived.
            LateError: the plan could not be followed long enough to be worth sending.
            EdgeWorldModelError: the frame or the backend is unusable; see the planner.
        """
        timing = self._timing
        longest_s = self._validity_s - timing.min_use_s
        if job.communication_s > longest_s:
            raise self._old_frame(job)
        usable_s = max(longest_s - self._age_s(job), 0.0)
        request = PlanningRequest(
            frame=job.frame,
            goal=job.goal,
            # Seeded by the frame, so that the same recording gives the same plans.
            rng=np.random.default_rng([timing.seed, job.frame.sequence]),
            warm_start=job.warm_start,
            previous=previous,
            effort=self.effort(),
            budget=Budget(min(timing.tick_budget_s, usable_s), self._clocks.steady_s, usable_s),
        )
        try:
            decision = self.deliberation.decide(request)
        except LateError as error:
            self._note_duration(request.budget)
            raise (self._old_frame(job) if self._is_in_time(job) else error) from error
        except EdgeWorldModelError:
            self._note_duration(request.budget)
            raise
        if decision.output is not None:
            self._note_duration(request.budget)
        left_s = self._validity_s - self._age_s(job)
        if left_s >= timing.min_use_s:
            return decision
        if self._is_in_time(job):
            raise self._old_frame(job)
        raise LateError(
            f"a plan took so long that {max(left_s, 0.0):.2f} s of its validity were left: it was not sent, the"
            " last one runs on"
        )

    def _is_in_time(self, job: PlanningJob) -> bool:
        """Return whether the time since a frame arrived would leave enough, had its stamp been new on arrival."""
        return self._age_s(job) - job.communication_s <= self._validity_s - self._timing.min_use_s

    def _old_frame(self, job: PlanningJob) -> OldFrameError:
        use_s = self._validity_s - self._timing.min_use_s
        return OldFrameError(
            f"the stamps of LatentFrame are {job.communication_s:.2f} s old by {self._clocks.name} when they arrive,"
            f" and a plan is of use only for {use_s:.2f} s; synchronise the clocks of the computers (chrony, PTP), or"
            " for a recording set use_sim_time and play it with its clock"
        )

    def _note_duration(self, budget: Budget) -> None:
        self._effort.ticked(budget.elapsed_s, self._timing.tick_budget_s, budget.cut_short)

    def _age_s(self, job: PlanningJob) -> float:
        return to_seconds(self._clocks.ros_ns() - job.frame.stamp_ns)
