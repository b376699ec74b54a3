"""One tick in the planner's process: late plans are not sent, and lateness lowers the effort."""

from __future__ import annotations

import numpy as np
import pytest

from edge_worldmodel.backends.deterministic_backend import DeterministicBackend
from edge_worldmodel.core import tensors
from edge_worldmodel.core.budget import LateError
from edge_worldmodel.core.effort import EffortControl
from edge_worldmodel.core.planner import Planner, PlannerConfig
from edge_worldmodel.core.types import LatentFrame
from edge_worldmodel.core.world_model import WorldModel
from edge_worldmodel.nodes.planning_job import Job, PlannerNodeConfig
from edge_worldmodel.nodes.thinking import Clocks, Thinking

GOAL = np.array([5.0, 0.0])


class Machine(DeterministicBackend):
    """A backend and a clock: every run takes ``run_s``."""

    run_s = 0.0
    now_s = 100.0

    def run(self, network: str, inputs: dict) -> dict:
        self.now_s += self.run_s
        return super().run(network, inputs)


def thinking_on(machine: Machine, **timing: float) -> Thinking:
    planner = Planner(WorldModel(machine, "m"), config=PlannerConfig())
    clocks = Clocks(lambda: machine.now_s, lambda: round(machine.now_s * 1e9))
    return Thinking(planner, PlannerNodeConfig(**timing), EffortControl(), clocks)


def job_at(now_s: float, **more: object) -> Job:
    context = np.zeros(tensors.CONTEXT.with_batch(1), np.float32)
    at_rest = np.zeros(3)
    frame = LatentFrame(round(now_s * 1e9), "odom", "base_link", at_rest, at_rest, context, 0.5, 0.1, "m", 1)
    return Job(frame, None, GOAL, 0.0, 0.0)


def test_a_tick_in_time_gives_a_plan() -> None:
    machine = Machine()
    machine.run_s = 0.005
    output = thinking_on(machine).tick(job_at(machine.now_s), None)
    assert output.plan.trajectory.twists[-1, 0] > 0.5 and output.rollout_set.effort == ""


def test_a_frame_that_came_late_and_a_slow_tick_add_up() -> None:
    machine = Machine()
    machine.run_s = 0.12
    thinking = thinking_on(machine, budget_s=1.0)
    thinking.tick(job_at(machine.now_s), None)
    with pytest.raises(LateError):
        thinking.tick(job_at(machine.now_s - 0.4), None)


def test_a_slow_machine_imagines_less_and_says_so() -> None:
    machine = Machine()
    machine.run_s = 0.035
    thinking = thinking_on(machine)
    said = [thinking.tick(job_at(machine.now_s), None).rollout_set.effort for _ in range(3)]
    assert said[0].startswith("time was up after ") and "ticks came late" in said[2]


def test_the_budget_follows_the_control_period() -> None:
    assert PlannerNodeConfig().tick_budget_s == pytest.approx(0.08)
    assert PlannerNodeConfig(control_period_s=0.05).tick_budget_s == pytest.approx(0.04)
    assert PlannerNodeConfig(budget_s=0.03).tick_budget_s == pytest.approx(0.03)
