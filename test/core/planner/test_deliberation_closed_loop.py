"""Using plans again in a closed loop: most ticks of a quiet drive need no imagination, and there is no contact."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from edge_worldmodel.core.planner.attention import AttentionConfig
from edge_worldmodel.core.planner.deliberation import Deliberation
from edge_worldmodel.core.planner.request import PlanningRequest
from edge_worldmodel.core.planner.robot_limits import RobotLimits
from edge_worldmodel.core.types import Plan

from .test_planner_closed_loop import ROOM, World, drive, make_planner


@dataclass
class Decided:
    plan: Plan


class Attentive:
    """Stands in for the planner in ``drive``."""

    def __init__(self, **config: float) -> None:
        self.planner = make_planner()
        self.world_model, self.limits = self.planner.world_model, self.planner.limits
        self.deliberation = Deliberation(self.planner, AttentionConfig(**config))

    def outlook(self, request: PlanningRequest) -> None:
        """The deliberation builds its own."""

    def plan(self, request: PlanningRequest, outlook: None) -> Decided:
        return Decided(self.deliberation.decide(replace(request, warm_start=None)).plan)

    @property
    def reused_share(self) -> float:
        reasons = self.deliberation.attention.reasons
        return reasons["reused"] / reasons.total()


@pytest.mark.parametrize("seed", range(6))
def test_a_quiet_drive_mostly_uses_plans_again(seed: int) -> None:
    rng = np.random.default_rng(1000 + seed)
    bearing = rng.uniform(-np.pi, np.pi)
    goal = 8.0 * np.array([np.cos(bearing), np.sin(bearing)])
    middle = 0.45 * goal + rng.uniform(-0.5, 0.5, 2)
    world = World(np.array([*ROOM, (*(middle - 0.7), *(middle + 0.7))]))
    planner = Attentive(reuse_s=0.8)
    result = drive(planner, world, np.array([0.0, 0.0, bearing]), goal, seed)
    assert result.reached and result.closest_m > RobotLimits().radius_m, result
    assert planner.reused_share > 0.4, planner.deliberation.attention.reasons


@pytest.mark.parametrize("seed", range(6))
def test_using_plans_again_causes_no_contact_with_people(seed: int) -> None:
    rng = np.random.default_rng(seed)
    side = 1.0 if seed % 2 else -1.0
    # The deterministic backend imagines a frozen world: people who walk are news every time.
    people = [(rng.uniform(3.0, 6.0), side * rng.uniform(2.0, 4.0), 0.25, 0.0, -side * 0.5) for _ in range(3)]
    world = World(np.array([*ROOM]), np.array(people))
    planner = Attentive()
    result = drive(planner, world, np.zeros(3), np.array([8.0, 0.0]), seed)
    always = drive(make_planner(), World(np.array([*ROOM]), np.array(people)), np.zeros(3), np.array([8.0, 0.0]), seed)
    touched, touched_always = (r.closest_m <= RobotLimits().radius_m for r in (result, always))
    assert not touched or touched_always, (result, planner.deliberation.attention.reasons)
