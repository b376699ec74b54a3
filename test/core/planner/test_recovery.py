"""A boxed-in robot gets out over observed free cells without a contact."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from edge_worldmodel.core import tensors
from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.planner.candidates.driving import roll_out
from edge_worldmodel.core.planner.deliberation import Deliberation
from edge_worldmodel.core.planner.guidance.local_map import LocalMap, local_map
from edge_worldmodel.core.planner.guidance.outlook import Outlook
from edge_worldmodel.core.planner.planner import Planner
from edge_worldmodel.core.planner.recovery import Escape, Recovery, RecoveryConfig, boxed_in, opening
from edge_worldmodel.core.planner.robot_limits import RobotLimits
from edge_worldmodel.core.types import LatentFrame

from .test_deliberation_closed_loop import Decided
from .test_planner_closed_loop import ROOM, World, drive, make_planner

CLEAR_M = 0.3
CENTRES = EGO_GRID.cell_centres()
REVERSES = RobotLimits(min_speed_mps=-0.4)
SLOT = [(-1.5, 0.36, 0.4, 0.66), (-1.5, -0.66, 0.4, -0.36), (0.4, -0.66, 0.7, 0.66)]
"""A blind alley, wide enough to drive in, too narrow for the margin that the planner wants."""


def _map(free: np.ndarray, unknown: np.ndarray | None = None) -> LocalMap:
    unknown = np.zeros_like(free) if unknown is None else unknown
    return local_map(np.stack([~free & ~unknown, free & ~unknown]).astype(np.float32))


def _outlook(seen: LocalMap) -> Outlook:
    return Outlook(seen, np.zeros((9, 64, 64), bool), np.array([5.0, 0.0]), CLEAR_M)


def _frame(t_s: float, pose: tuple[float, float, float]) -> LatentFrame:
    nothing = np.zeros(tensors.CONTEXT.shape, np.float32)
    return LatentFrame(round(t_s * 1e9), "odom", "base_link", np.array(pose), np.zeros(3), nothing, 0.0, 0.0, "m", 0)


def _within(x_m: tuple[float, float], y_m: tuple[float, float]) -> np.ndarray:
    x, y = np.moveaxis(CENTRES, -1, 0)
    return (x > x_m[0]) & (x < x_m[1]) & (y > y_m[0]) & (y < y_m[1])


@pytest.mark.parametrize("limits", [RobotLimits(), REVERSES])
def test_out_of_a_blind_alley(limits: RobotLimits) -> None:
    """Without a way out it stands there for ever: see the second half."""
    planner = make_planner()
    planner = Planner(planner.world_model, limits, planner.config)
    goal, results = np.array([-5.0, 0.0]), []
    for stuck_after_s, limit_s in ((3.0, 30.0), (0.0, 12.0)):
        deliberation = Deliberation(planner, recovery=RecoveryConfig(stuck_after_s=stuck_after_s))

        def plan(request, _, deliberation=deliberation):
            return Decided(deliberation.decide(replace(request, warm_start=None)).plan)

        parts = {"world_model": planner.world_model, "limits": limits, "outlook": planner.outlook}
        stand_in = SimpleNamespace(plan=plan, **parts)
        results.append(drive(stand_in, World(np.array([*ROOM, *SLOT])), np.zeros(3), goal, 0, limit_s))  # type: ignore[arg-type]
    out, without = results
    assert out.reached and out.closest_m > limits.radius_m, out
    assert "recover_turn" in out.names
    assert not without.reached and not any("recover" in name for name in without.names)


def test_boxed_in_is_read_from_the_grid() -> None:
    assert not boxed_in(_map(np.ones((64, 64), bool)), CLEAR_M)
    assert boxed_in(_map(_within((-0.8, 0.8), (-0.8, 0.8))), CLEAR_M)
    assert boxed_in(_map(_within((-6.0, 0.4), (-0.4, 0.4))), CLEAR_M), "an alley too narrow for the margin"
    assert not boxed_in(_map(_within((-6.0, 0.8), (-0.8, 0.8))), CLEAR_M)


def test_the_opening_is_the_longest_free_way_and_unknown_is_not_free() -> None:
    alley = _within((-6.0, 0.4), (-0.4, 0.4))
    assert abs(abs(opening(_map(alley), 0.05, 0.0)) - np.pi) < 0.1  # type: ignore[arg-type]
    assert opening(_map(alley, unknown=_within((-6.0, -0.4), (-6.0, 6.0))), 0.05, 0.0) is None
    cross = alley | _within((-0.4, 0.4), (-6.0, 6.0))
    for towards in (-np.pi / 2, np.pi / 2):
        assert opening(_map(cross), 0.05, towards) == pytest.approx(towards, abs=0.1), "of two alike, towards the goal"


def _stuck_in_an_alley(limits: RobotLimits, stuck_s: float, hidden: bool = False) -> tuple[Escape | None, LocalMap]:
    """Come two metres along an alley open at both ends, and held up there by something the grid does not show."""
    recovery = Recovery(limits, CLEAR_M, RecoveryConfig(stuck_after_s=2.0))
    for index in range(21):
        recovery.watch(_frame(0.1 * index, (0.1 * index - 2.0, 0.0, 0.0)), [5.0, 0.0])
    for tick in range(1, round(stuck_s / 0.1) + 1):
        frame = _frame(2.0 + 0.1 * tick, (0.0, 0.0, 0.0))
        recovery.watch(frame, [5.0, 0.0])
    unknown = _within((-6.0, -0.3), (-6.0, 6.0)) if hidden else None
    surroundings = _map(_within((-6.0, 6.0), (-0.4, 0.4)), unknown)
    return recovery.escape(frame, _outlook(surroundings)), surroundings


def test_it_backs_off_along_the_driven_path_over_observed_free_cells() -> None:
    ahead, _ = _stuck_in_an_alley(REVERSES, 3.0)
    assert ahead is not None and ahead.name == "recover_turn" and ahead.targets[0, 0] > 0.0, "first the opening ahead"
    escape, surroundings = _stuck_in_an_alley(REVERSES, 4.5)
    assert escape is not None and escape.name == "recover_back" and "backing off" in escape.reason
    poses, twists = roll_out(np.zeros(3), escape.targets[None], REVERSES)
    assert poses[0, -1, 0] < -0.3 and twists[..., 0].min() >= REVERSES.min_speed_mps
    assert surroundings.clearance_at(poses[0, :, :2]).min() > 0.0
    for limits, hidden in ((REVERSES, True), (RobotLimits(), False)):
        other, _ = _stuck_in_an_alley(limits, 4.5, hidden)
        assert other is not None and other.name == "recover_turn", "only over what is seen, only if it can reverse"


def test_a_robot_in_the_open_or_without_a_goal_is_not_boxed_in() -> None:
    open_space, box = _map(np.ones((64, 64), bool)), _map(_within((-6.0, 0.4), (-0.4, 0.4)))
    recovery = Recovery(RobotLimits(), CLEAR_M)
    for t_s in range(20):
        recovery.watch(_frame(float(t_s), (0.0, 0.0, 0.0)), [5.0, 0.0])
    assert recovery.escape(_frame(20.0, (0.0, 0.0, 0.0)), _outlook(open_space)) is None
    assert recovery.escape(_frame(20.0, (0.0, 0.0, 0.0)), _outlook(box)) is not None
    without = Recovery(RobotLimits(), CLEAR_M)
    for t_s in range(20):
        without.watch(_frame(float(t_s), (0.0, 0.0, 0.0)), None)
    assert without.escape(_frame(20.0, (0.0, 0.0, 0.0)), _outlook(box)) is None
