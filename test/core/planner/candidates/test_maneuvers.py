"""Candidates keep the robot's limits from any start, and differ from one another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.planner.candidates.candidates import Candidates
from edge_worldmodel.core.planner.candidates.driving import integrate, roll_out
from edge_worldmodel.core.planner.candidates.libraries import library_of
from edge_worldmodel.core.planner.candidates.maneuvers import propose
from edge_worldmodel.core.planner.candidates.start_state import StartState, targets_of
from edge_worldmodel.core.planner.guidance.cost_to_go import cost_to_go
from edge_worldmodel.core.planner.guidance.local_map import LocalMap, local_map
from edge_worldmodel.core.planner.guidance.outlook import Outlook
from edge_worldmodel.core.planner.planner_config import PlannerConfig
from edge_worldmodel.core.planner.robot_limits import DT_S, STEPS, RobotLimits
from edge_worldmodel.core.tensors import HORIZON_STEPS

NOBODY = np.zeros((1 + HORIZON_STEPS, 64, 64), bool)
CLEAR_M, MARGIN_M = 0.3, 0.05
FREE = local_map(np.stack([np.zeros((64, 64)), np.ones((64, 64))]).astype(np.float32))

limits_of_any_robot = st.builds(
    RobotLimits,
    max_speed_mps=st.floats(0.2, 3.0),
    min_speed_mps=st.sampled_from([0.0, -0.3, -1.0]),
    max_yaw_rate_radps=st.floats(0.2, 4.0),
    max_accel_mps2=st.floats(0.2, 5.0),
    max_decel_mps2=st.floats(0.2, 5.0),
    max_yaw_accel_radps2=st.floats(0.5, 10.0),
)


def _propose(
    limits: RobotLimits,
    twist: np.ndarray,
    goal: np.ndarray | None,
    count: int = 8,
    previous_targets: np.ndarray | None = None,
    seen: LocalMap = FREE,
) -> Candidates:
    config = PlannerConfig(maneuvers=count, margin_m=MARGIN_M, wall_margin_m=MARGIN_M, refined=0)
    start = StartState(twist, previous_targets=previous_targets)
    rng = np.random.default_rng(0)
    return propose(library_of(limits), start, Outlook(seen, NOBODY, goal, CLEAR_M), config, rng)


@settings(max_examples=60, deadline=None)
@given(limits_of_any_robot, st.floats(-1, 1), st.floats(-1, 1), st.floats(-9, 9), st.floats(-9, 9))
def test_limits_hold_by_construction(limits: RobotLimits, v: float, w: float, x: float, y: float) -> None:
    low = limits.min_speed_mps if v < 0 else limits.max_speed_mps
    twist = np.array([abs(v) * low, 0.0, w * limits.max_yaw_rate_radps])
    candidates = _propose(limits, twist, np.array([x, y]))
    speed, turn = candidates.twists[..., 0], candidates.twists[..., 2]
    tiny = 1e-9
    assert (speed <= limits.max_speed_mps + tiny).all() and (speed >= limits.min_speed_mps - tiny).all()
    assert (np.abs(turn) <= limits.max_yaw_rate_radps + tiny).all()
    assert (np.abs(np.diff(turn, axis=1)) <= limits.max_yaw_accel_radps2 * DT_S + tiny).all()
    growth = np.diff(np.abs(speed), axis=1) / DT_S
    assert (growth <= limits.max_accel_mps2 + tiny).all()
    assert (growth >= -limits.max_decel_mps2 - tiny).all()
    assert (speed[:, 1:] * speed[:, :-1] >= 0.0).all(), "speed jumped through zero"
    np.testing.assert_allclose(candidates.twists[:, 0], np.tile(twist, (len(candidates), 1)))


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 20), st.floats(-6, 6), st.floats(-6, 6), st.booleans())
def test_candidates_are_enough_and_different(count: int, x: float, y: float, with_previous: bool) -> None:
    previous = np.tile([0.5, 0.3], (STEPS, 1)) if with_previous else None
    candidates = _propose(RobotLimits(), np.zeros(3), np.array([x, y]), count, previous_targets=previous)
    assert len(candidates) == min(count, len(candidates)) >= min(count, 12)
    assert len(set(candidates.names)) == len(candidates)
    assert candidates.names[0] == "brake"
    assert ("previous" in candidates.names) == with_previous
    if count >= 8:
        assert any("left" in name for name in candidates.names)
        assert any("right" in name for name in candidates.names)
        assert any("slow" in name for name in candidates.names)


def test_fewer_than_three_are_refused() -> None:
    with pytest.raises(ConfigError, match="maneuvers = 2"):
        _propose(RobotLimits(), np.zeros(3), None, 2)


def test_brake_stops_and_previous_continues() -> None:
    limits = RobotLimits()
    twist = np.array([0.9, 0.0, 0.4])
    targets = np.tile([0.6, -0.2], (STEPS, 1))
    candidates = _propose(limits, twist, np.array([4.0, 0.0]), previous_targets=targets)
    brake, previous = candidates.twists[:2]
    assert (brake[7:] == 0.0).all() and brake[5, 0] > 0.0
    np.testing.assert_allclose(previous[-1], [0.6, 0.0, -0.2])
    np.testing.assert_array_equal(targets_of(previous)[-1], [0.6, -0.2])


def test_goal_behind_gets_a_turn_and_goal_ahead_a_way_there() -> None:
    behind = _propose(RobotLimits(), np.zeros(3), np.array([-5.0, 0.0]))
    field = cost_to_go(FREE, np.array([-5.0, 0.0]), CLEAR_M)
    assert field.at(behind.poses[:, -1, :2]).min() < 4.2
    ahead = _propose(RobotLimits(), np.zeros(3), np.array([2.0, 0.5]))
    end = ahead.poses[ahead.names.index("route_fast"), -1]
    assert np.hypot(end[0] - 2.0, end[1] - 0.5) < 0.15
    assert ahead.twists[ahead.names.index("route_fast"), -1, 0] < 0.2, "it must slow down at the goal"


def test_blocked_maneuvers_come_last() -> None:
    frame = np.stack([np.zeros((64, 64)), np.ones((64, 64))]).astype(np.float32)
    frame[0, 20:44, 39:41] = 1.0
    seen = local_map(frame)
    candidates = _propose(RobotLimits(), np.array([0.8, 0.0, 0.0]), np.array([5.0, 0.0]), 6, seen=seen)
    clear = (seen.clearance_at(candidates.poses[..., :2]) >= CLEAR_M).all(axis=1)
    assert clear.sum() >= 3


def test_reverse_is_proposed_only_where_allowed() -> None:
    assert not any("back" in name for name in library_of(RobotLimits()).names)
    library = library_of(RobotLimits(min_speed_mps=-0.4))
    assert any("back" in name for name in library.names)
    _, twists = roll_out(np.zeros(3), library.targets, library.limits)
    assert twists[..., 0].min() == pytest.approx(-0.4)


@given(st.floats(0.1, 2.0), st.floats(-2.0, 2.0).filter(lambda w: abs(w) > 0.05))
def test_integration_follows_the_circle(speed: float, turn: float) -> None:
    poses = integrate(np.tile([speed, 0.0, turn], (STEPS + 1, 1)))
    centre = np.array([0.0, speed / turn])
    np.testing.assert_allclose(np.hypot(*(poses[:, :2] - centre).T), abs(speed / turn), rtol=0.01)
    assert poses[-1, 2] == pytest.approx(turn * STEPS * DT_S)


def test_maneuver_tensor_holds_the_imagined_times() -> None:
    candidates = _propose(RobotLimits(), np.zeros(3), np.array([5.0, 0.0]))
    tensor = candidates.maneuver_tensor()
    assert tensor.shape == (8, 8, 3)
    np.testing.assert_array_equal(tensor[:, 0], candidates.poses[:, 4])
    np.testing.assert_array_equal(tensor[:, -1], candidates.poses[:, 32])
