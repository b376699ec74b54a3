"""One tick in the planner's process: late plans are not sent, and lateness lowers the effort."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_worldmodel.backends.deterministic_backend import DeterministicBackend
from edge_worldmodel.core import tensors
from edge_worldmodel.core.model.world_model import WorldModel
from edge_worldmodel.core.planner.attention import AttentionConfig
from edge_worldmodel.core.planner.budget import LateError
from edge_worldmodel.core.planner.deliberation import Deliberation
from edge_worldmodel.core.planner.effort import EffortControl, ThermalGovernor
from edge_worldmodel.core.planner.planner import Planner
from edge_worldmodel.core.planner.planner_config import PlannerConfig
from edge_worldmodel.core.types import LatentFrame
from edge_worldmodel.nodes.rollout_planner.planning_job import PlannerNodeConfig, PlanningJob
from edge_worldmodel.nodes.rollout_planner.timed_deliberation import Clocks, OldFrameError, TimedDeliberation

GOAL = np.array([5.0, 0.0])


class Machine(DeterministicBackend):
    """A backend and a clock: every run takes ``run_s``."""

    run_s = 0.0
    now_s = 100.0

    def run(self, network: str, inputs: dict) -> dict:
        self.now_s += self.run_s
        return super().run(network, inputs)


def deliberation_on(machine: Machine, **timing: object) -> TimedDeliberation:
    planner = Planner(WorldModel(machine, "m"), config=PlannerConfig())
    clocks = Clocks(lambda: machine.now_s, lambda: round(machine.now_s * 1e9))
    deliberation = Deliberation(planner, AttentionConfig(reuse_s=0.0))
    timing_config = PlannerNodeConfig(**timing)
    return TimedDeliberation(deliberation, timing_config, EffortControl(), ThermalGovernor(), clocks)


def job_at(now_s: float, **more: object) -> PlanningJob:
    context = np.zeros(tensors.CONTEXT.with_batch(1), np.float32)
    at_rest = np.zeros(3)
    frame = LatentFrame(round(now_s * 1e9), "odom", "base_link", at_rest, at_rest, context, 0.5, 0.1, "m", 1)
    return PlanningJob(frame, None, GOAL, 0.0, 0.0)


def test_a_tick_in_time_gives_a_plan() -> None:
    machine = Machine()
    machine.run_s = 0.005
    output = deliberation_on(machine).decide(job_at(machine.now_s), None).output
    assert output.plan.trajectory.twists[-1, 0] > 0.5 and output.rollout_set.effort == ""


def test_a_frame_that_came_late_and_a_slow_tick_add_up() -> None:
    machine = Machine()
    machine.run_s = 0.12
    timed = deliberation_on(machine, budget_s=1.0)
    timed.decide(job_at(machine.now_s), None)
    with pytest.raises(LateError):
        timed.decide(job_at(machine.now_s - 0.4), None)


@pytest.mark.parametrize("age_s", [0.45, 3.0])
def test_old_stamps_are_no_fault_of_the_backend(age_s) -> None:
    machine = Machine()
    machine.run_s = 0.03
    job = replace(job_at(machine.now_s - age_s), communication_s=age_s)
    with pytest.raises(OldFrameError) as raised:
        deliberation_on(machine, budget_s=1.0).decide(job, None)
    text = str(raised.value)
    assert f"{age_s:.2f} s old by this node's clock" in text and "use_sim_time" in text and "backend" not in text


def test_a_slow_machine_imagines_less_and_says_so() -> None:
    machine = Machine()
    machine.run_s = 0.035
    timed = deliberation_on(machine)
    said = [timed.decide(job_at(machine.now_s), None).output.rollout_set.effort for _ in range(3)]
    assert said[0].startswith("time was up after ") and "ticks came late" in said[2]


def test_the_budget_follows_the_control_period() -> None:
    assert PlannerNodeConfig().tick_budget_s == pytest.approx(0.08)
    assert PlannerNodeConfig(control_period_s=0.05).tick_budget_s == pytest.approx(0.04)
    assert PlannerNodeConfig(budget_s=0.03).tick_budget_s == pytest.approx(0.03)


def _zone(folder, name: str, celsius: float, **trips: float) -> None:
    zone = folder / name
    zone.mkdir(exist_ok=True)
    (zone / "temp").write_text(f"{round(1000 * celsius)}\n")
    for index, (kind, limit_c) in enumerate(trips.items()):
        (zone / f"trip_point_{index}_type").write_text(f"{kind}\n")
        (zone / f"trip_point_{index}_temp").write_text(f"{round(1000 * limit_c)}\n")


def test_a_hot_chip_imagines_less_before_it_throttles_and_more_when_it_has_cooled(tmp_path) -> None:
    _zone(tmp_path, "thermal_zone0", 40.0, passive=95.0)
    timed = deliberation_on(Machine(), thermal_path=str(tmp_path))
    levels = []
    for celsius in (60.0, 81.0, 94.0, 100.0, 94.0, 86.0, 84.0, 79.0):
        _zone(tmp_path, "thermal_zone1", celsius, active=50.0, passive=90.0, critical=110.0)
        assert timed.read_temperature().hottest_c == celsius
        levels.append(timed.effort().level)
    assert levels == [0, 1, 3, 3, 3, 3, 3, 2]
    assert timed.effort().reason == "level 2 of 3: 79 C of 90 C"
    _zone(tmp_path, "thermal_zone1", 60.0)
    timed.read_temperature()
    assert timed.effort().reason == ""
    output = timed.decide(job_at(100.0), None).output
    assert output.rollout_set.futures_per_maneuver == 4


def test_zones_that_cannot_be_read_change_nothing(tmp_path) -> None:
    timed = deliberation_on(Machine(), thermal_path=str(tmp_path))
    assert timed.read_temperature() is None
    _zone(tmp_path, "thermal_zone0", 20.0)
    (tmp_path / "thermal_zone0" / "temp").write_text("asleep\n")
    assert timed.read_temperature() is None and timed.effort().level == 0
    assert deliberation_on(Machine(), thermal_path="").read_temperature() is None
