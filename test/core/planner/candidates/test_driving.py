"""Rolling out keeps every kind of robot within its limits of speed, acceleration, jerk and curvature."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.planner.candidates.driving import roll_out
from edge_worldmodel.core.planner.candidates.libraries import library_of
from edge_worldmodel.core.planner.candidates.maneuvers import propose
from edge_worldmodel.core.planner.candidates.start_state import StartState
from edge_worldmodel.core.planner.guidance.local_map import local_map
from edge_worldmodel.core.planner.guidance.outlook import Outlook
from edge_worldmodel.core.planner.planner_config import PlannerConfig
from edge_worldmodel.core.planner.robot_limits import DT_S, KINDS, STEPS, RobotLimits
from edge_worldmodel.core.tensors import HORIZON_STEPS

NOBODY = np.zeros((1 + HORIZON_STEPS, 64, 64), bool)
FREE = local_map(np.stack([np.zeros((64, 64)), np.ones((64, 64))]).astype(np.float32))
CLEAR_M, MARGIN_M, TINY = 0.3, 0.05, 1e-9

robots = st.builds(
    RobotLimits,
    kind=st.sampled_from(KINDS),
    max_speed_mps=st.floats(0.2, 3.0),
    min_speed_mps=st.sampled_from([0.0, -0.3, -1.0]),
    max_lateral_mps=st.floats(0.1, 2.0),
    max_yaw_rate_radps=st.floats(0.2, 4.0),
    max_accel_mps2=st.floats(0.2, 5.0),
    max_decel_mps2=st.floats(0.2, 5.0),
    max_yaw_accel_radps2=st.floats(0.5, 10.0),
    max_curvature_radpm=st.floats(0.2, 5.0),
    max_jerk_mps3=st.sampled_from([1.0, 5.0, 20.0, 100.0]),
    max_yaw_jerk_radps3=st.sampled_from([5.0, 50.0, 300.0]),
)


def _assert_within(twists: np.ndarray, limits: RobotLimits) -> None:
    speed, aside, turn = np.moveaxis(twists, -1, 0)
    assert (speed <= limits.max_speed_mps + TINY).all() and (speed >= limits.min_speed_mps - TINY).all()
    assert (np.abs(aside) <= (limits.max_lateral_mps if limits.axes == 3 else 0.0) + TINY).all()
    assert (np.abs(turn) <= limits.max_yaw_rate_radps + TINY).all()
    for linear in (speed, aside):
        growth = np.diff(np.abs(linear), axis=1) / DT_S
        assert (growth <= limits.max_accel_mps2 + TINY).all() and (growth >= -limits.max_decel_mps2 - TINY).all()
        assert (linear[:, 1:] * linear[:, :-1] >= 0.0).all(), "it jumped through rest"
    if limits.kind == "ackermann":
        assert (np.abs(turn) <= limits.max_curvature_radpm * np.abs(speed) + TINY).all()
        # Braking takes yaw rate away however fast the wheels are steered.
        braking = limits.max_curvature_radpm * np.abs(np.diff(speed, axis=1))
        assert (np.abs(np.diff(turn, axis=1)) <= limits.max_yaw_accel_radps2 * DT_S + braking + TINY).all()
    else:
        assert (np.abs(np.diff(turn, axis=1)) <= limits.max_yaw_accel_radps2 * DT_S + TINY).all()


@settings(max_examples=40, deadline=None)
@given(robots, st.integers(0, 10**6))
def test_limits_hold_for_any_targets_from_any_reached_state(limits: RobotLimits, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for targets in (
        rng.uniform(-4.0, 4.0, (6, STEPS, limits.axes)),
        np.repeat(rng.uniform(-4.0, 4.0, (6, 2, limits.axes)), STEPS // 2, axis=1),
    ):
        _, before = roll_out(np.zeros(3), targets, limits)
        _assert_within(before, limits)
        start = before[0, rng.integers(1, STEPS)]
        _, after = roll_out(start, targets, limits)
        _assert_within(after, limits)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.5, 30.0), st.integers(0, 10**6))
def test_jerk_is_limited_going_forward_and_carried_on_from_the_acceleration_before(jerk: float, seed: int) -> None:
    limits = RobotLimits(max_jerk_mps3=jerk, max_yaw_jerk_radps3=3.0 * jerk, max_accel_mps2=1.0, max_decel_mps2=1.0)
    rng = np.random.default_rng(seed)
    targets = np.repeat(rng.uniform([0.0, -1.5], [1.0, 1.5], (8, 2, 2)), STEPS // 2, axis=1)
    _, twists = roll_out(np.zeros(3), targets, limits)
    change = np.diff(twists, axis=1) / DT_S
    at_rest = np.zeros_like(change[:, :1])
    jerks = np.abs(np.diff(np.concatenate([at_rest, change], axis=1), axis=1)) / DT_S
    # From rest on, up to the step in which the robot comes to rest again.
    moving = twists[:, 1:, 0] > TINY
    assert (jerks[..., 0][moving] <= jerk + 1e-6).all()
    assert (jerks[..., 2] <= 3.0 * jerk + 1e-6).all()
    assert (twists[..., 0] <= np.maximum(targets[:, :1, 0], targets[:, -1:, 0]) + 1e-6).all(), "no overshoot"
    middle = 7
    _, onward = roll_out(twists[0, middle], targets[:1, middle:], limits, change[0, middle - 1])
    np.testing.assert_allclose(onward[0], twists[0, middle:], atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(robots, st.floats(-6.0, 6.0), st.floats(-6.0, 6.0), st.integers(3, 12), st.integers(0, 40), st.booleans())
def test_every_kind_of_robot_has_a_choice(
    limits: RobotLimits, x: float, y: float, count: int, refined: int, with_previous: bool
) -> None:
    config = PlannerConfig(maneuvers=count, margin_m=MARGIN_M, wall_margin_m=MARGIN_M, refined=refined)
    previous = np.full((STEPS, limits.axes), 0.1) if with_previous else None
    start, outlook = StartState(np.zeros(3), None, previous), Outlook(FREE, NOBODY, np.array([x, y]), CLEAR_M)
    candidates = propose(library_of(limits), start, outlook, config, np.random.default_rng(count))
    assert len(candidates) == min(count, len(candidates)) >= 3
    assert len(set(candidates.names)) == len(candidates)
    assert candidates.names[0] == ("hover" if limits.kind == "quadrotor" else "brake")
    assert ("previous" in candidates.names) == with_previous
    np.testing.assert_array_equal(candidates.twists[0], np.zeros((STEPS + 1, 3)))
    _assert_within(candidates.twists, limits)


def test_each_library_holds_the_maneuvers_of_its_kind_of_robot() -> None:
    def moves(**limits: object) -> np.ndarray:
        library = library_of(RobotLimits(**limits))
        return roll_out(np.zeros(3), library.targets, library.limits)[0]

    on_the_spot = np.abs(moves()[:, -1, 2])[np.hypot(*moves()[:, -1, :2].T) < 1e-6]
    assert on_the_spot.max() > 3.0
    car = moves(kind="ackermann", min_speed_mps=-0.5, max_curvature_radpm=1.0)
    assert not ((np.hypot(*car[:, -1, :2].T) < 0.01) & (np.abs(car[:, -1, 2]) > 0.01)).any(), "a car turned on the spot"
    assert car[:, -1, 0].min() < -0.5 and np.abs(car[:, -1, 2]).max() > 1.5
    for kind in ("holonomic", "quadrotor"):
        slides = moves(kind=kind, max_lateral_mps=0.8)
        assert ((np.abs(slides[:, -1, 1]) > 1.5) & (np.abs(slides[:, -1, 2]) < 1e-6)).sum() >= 2


def test_sampling_around_the_best_comes_nearer_to_the_goal() -> None:
    limits, gains = RobotLimits(), []
    for seed in range(24):
        rng = np.random.default_rng(seed)
        frame = np.stack([rng.random((64, 64)) < 0.01, np.ones((64, 64))]).astype(np.float32)
        frame[0, 28:36, 28:36] = 0.0
        outlook = Outlook(local_map(frame), NOBODY, rng.uniform(-5.0, 5.0, 2), CLEAR_M)

        def nearest(refined: int, outlook=outlook, rng=rng) -> float:
            config = PlannerConfig(margin_m=MARGIN_M, wall_margin_m=MARGIN_M, refined=refined)
            found = propose(library_of(limits), StartState(np.array([0.5, 0.0, 0.0])), outlook, config, rng)
            clear = (outlook.seen.clearance_at(found.poses[..., :2]) >= CLEAR_M).all(axis=1)
            return float(outlook.cost_to_go.at(found.poses[clear, -1, :2]).min(initial=20.0))

        gains.append(nearest(0) - nearest(64))
    assert np.mean(gains) > 0.0 and min(gains) > -0.05


def test_a_holonomic_robot_without_sideways_speed_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_lateral_mps"):
        RobotLimits(kind="holonomic")


@given(st.floats(0.2, 3.0), st.floats(0.2, 2.0))
def test_discs_cover_a_rectangular_body(length_m: float, width_m: float) -> None:
    corner_m = 0.5 * float(np.hypot(length_m, width_m))
    limits = RobotLimits(radius_m=corner_m, length_m=length_m, width_m=width_m)
    outline = np.stack(np.meshgrid(np.linspace(-0.5, 0.5, 41) * length_m, np.linspace(-0.5, 0.5, 41) * width_m), -1)
    away = np.min([np.hypot(outline[..., 0] - x, outline[..., 1]) for x in limits.discs_m], axis=0)
    assert away.max() <= limits.body_radius_m + TINY
    assert limits.body_radius_m <= corner_m + TINY
    with pytest.raises(ConfigError, match="corners"):
        RobotLimits(radius_m=corner_m - 0.02, length_m=length_m, width_m=width_m)


def test_a_body_has_both_a_length_and_a_width_or_is_a_circle() -> None:
    with pytest.raises(ConfigError, match="set both"):
        RobotLimits(length_m=0.4)
    assert RobotLimits(radius_m=0.3).discs_m == (0.0,) and RobotLimits(radius_m=0.3).body_radius_m == 0.3
