"""Ticks recorded in a drive are decided again: with other noise, with and without early exit, warm and cold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

pytest.importorskip("mujoco")

from edge_worldmodel.backends.deterministic_backend import DeterministicBackend
from edge_worldmodel.core.model.world_model import WorldModel
from edge_worldmodel.core.planner.attention import AttentionConfig
from edge_worldmodel.core.planner.budget import Budget
from edge_worldmodel.core.planner.guidance.outlook import Outlook
from edge_worldmodel.core.planner.planner import Planner
from edge_worldmodel.core.planner.planner_config import PlannerConfig
from edge_worldmodel.core.planner.planner_output import PlannerOutput
from edge_worldmodel.core.planner.recovery import Escape
from edge_worldmodel.core.planner.request import PlanningRequest
from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.controllers.ours.ours import Ours
from edge_worldmodel.sim.robots import PRESETS, RobotSpec
from edge_worldmodel.sim.world import Person

from .conftest import BOX, drive_through, room

ALWAYS_IMAGINE = AttentionConfig(reuse_s=0.0)


class Tick(NamedTuple):
    """The request of one call of the planner, and its output."""

    request: PlanningRequest
    output: PlannerOutput

    def decide_again(self, planner: Planner, other_draws: int = 0, **changes: Any) -> PlannerOutput:
        """Plan again; ``other_draws`` above 0 gives other noise and disturbances, but the same candidates."""
        rng = np.random.default_rng(7)
        # Candidates come from a child of the generator, which drawing from the generator does not change.
        rng.standard_normal(other_draws)
        request = replace(self.request, rng=rng, budget=Budget(), **changes)
        return planner.plan(request, planner.outlook(request))


class Recording(Ours):
    """Our controller, with the inputs and outputs of every tick in which it imagined."""

    def reset(self, robot: RobotSpec, goal: Floats, seed: int, walls: Sequence[Floats] = ()) -> None:
        super().reset(robot, goal, seed, walls)
        self.ticks: list[Tick] = []
        plan = self._deliberation.planner.plan

        def recorded(request: PlanningRequest, outlook: Outlook, escape: Escape | None = None) -> PlannerOutput:
            output = plan(request, outlook, escape)
            self.ticks.append(Tick(request, output))
            return output

        self._deliberation.planner.plan = recorded


@pytest.fixture(scope="module")
def drive() -> Recording:
    world_model = WorldModel(DeterministicBackend(), "deterministic")
    ours = Recording(PRESETS["generic"], 0.8, world_model, attention=ALWAYS_IMAGINE)
    crossing = (Person((3.0, -2.0), ((3.0, 2.0),), None, 1.0, 0.25),)
    drive_through(ours, room(BOX, people=crossing), limit_s=1.5)
    return ours


def planner_like(ours: Recording, **changes: Any) -> Planner:
    """A planner as in the drive, not recorded, with some settings changed."""
    planner = ours._deliberation.planner
    return Planner(planner.world_model, planner.limits, replace(planner.config, **changes), planner.disturbances)


def test_other_noise_changes_what_is_imagined_but_not_what_is_proposed(drive: Recording) -> None:
    once, twice, other = (drive.ticks[-1].decide_again(planner_like(drive), draws) for draws in (0, 0, 1000))
    for a, b, c in zip(once.rollout_set.rollouts, twice.rollout_set.rollouts, other.rollout_set.rollouts, strict=True):
        assert (a.name, a.cost) == (b.name, b.cost)
        np.testing.assert_array_equal(a.trajectory.poses, c.trajectory.poses)
    assert not np.array_equal(once.solution, other.solution)


def test_early_exit_imagines_fewer_and_chooses_the_same(drive: Recording) -> None:
    early, everything = planner_like(drive, imagined_at_once=2), planner_like(drive, imagined_at_once=64)
    imagined = 0
    for tick in drive.ticks[::3]:
        some, all_of_them = (tick.decide_again(planner).rollout_set for planner in (early, everything))
        assert some.selected == all_of_them.selected
        assert np.isfinite([rollout.risk for rollout in all_of_them.rollouts]).all()
        imagined += int(np.isfinite([rollout.risk for rollout in some.rollouts]).sum())
    assert 0 < imagined < len(drive.ticks[::3]) * drive._deliberation.planner.config.maneuvers


def test_ticks_with_a_warm_start_take_fewer_steps(drive: Recording) -> None:
    assert drive._cache.hit_rate > 0.5
    assert {tick.output.rollout_set.steps for tick in drive.ticks[2:]} == {PlannerConfig().steps_warm}
    cold = drive.ticks[-1].decide_again(planner_like(drive), warm_start=None)
    assert cold.rollout_set.steps == PlannerConfig().steps_cold
