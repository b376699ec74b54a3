"""Velocity, acceleration and jerk hold for every input."""

import os

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.limits import (
    REST,
    Motion,
    MotionLimits,
    limit_change,
    limit_tip_speed,
    limit_velocity,
    tip_speed_mps,
)

CASES = int(os.environ.get("EDGE_WORLDMODEL_CASES", "500"))
LIMITS = MotionLimits.from_config(SupervisorConfig(max_lateral_mps=0.4))
SPEED = st.floats(-50.0, 50.0) | st.sampled_from([0.0, 1e-9, -1e-9, 1.5, -0.5])
STEP = st.tuples(SPEED, SPEED, SPEED, st.floats(0.001, 0.02), st.integers(1, 30))
TOLERANCE = 1e-9


@settings(max_examples=CASES, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=12))
def test_all_three_limits_hold_for_any_targets_and_time_steps(steps):
    motion = REST
    for vx, vy, rate, dt_s, times in steps:
        for _ in range(times):
            before, (motion, _) = motion, limit_change(np.array([vx, vy, rate]), motion, LIMITS, dt_s)
            change = (motion.twist - before.twist) / dt_s
            assert np.all(motion.twist >= LIMITS.lower - TOLERANCE) and np.all(motion.twist <= LIMITS.upper + TOLERANCE)
            assert np.all(np.abs(change) <= LIMITS.acceleration + 1e-6)
            assert np.all(np.abs(motion.acceleration - before.acceleration) <= LIMITS.jerk * dt_s + TOLERANCE)
            np.testing.assert_allclose(change, motion.acceleration, atol=1e-6)  # no hidden clipping


CAR = MotionLimits.from_config(SupervisorConfig(max_curvature_radpm=2.5))


@settings(max_examples=CASES // 10, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=12))
def test_a_car_keeps_its_turning_radius_in_every_command(steps):
    motion = REST
    for vx, _, rate, dt_s, times in steps:
        for _ in range(times):
            before, (motion, _) = motion, limit_change(np.array([vx, 0.0, rate]), motion, CAR, dt_s)
            assert abs(motion.twist[2]) <= 2.5 * abs(motion.twist[0]) + TOLERANCE
            free, _ = limit_change(np.array([vx, 0.0, rate]), before, LIMITS, dt_s)
            np.testing.assert_array_equal(motion.twist[:2], free.twist[:2])
            assert abs(motion.acceleration[2]) <= CAR.acceleration[2]


def test_a_car_that_brakes_steers_no_tighter():
    motion = Motion(np.array([1.5, 0.0, 2.0]), np.zeros(3))
    names: set[str] = set()
    while motion.twist[0] > 0.01:
        motion, limits = limit_change(np.array([0.0, 0.0, 2.0]), motion, CAR, 0.02)
        names.update(limits)
        assert abs(motion.twist[2]) <= 2.5 * motion.twist[0] + TOLERANCE
    assert "curvature" not in names, "what is asked for is within the limit already"
    assert limit_change(np.array([1.0, 0.0, 2.0]), REST, CAR, 0.02)[1] == ("jerk",)


def test_a_car_cannot_turn_on_the_spot():
    assert not limit_velocity(np.array([0.0, 0.0, 1.0]), CAR).any()
    np.testing.assert_allclose(limit_velocity(np.array([-0.2, 0.0, 1.0]), CAR), [-0.2, 0.0, 0.5])
    np.testing.assert_allclose(limit_velocity(np.array([0.5, 0.0, -1.0]), CAR), [0.5, 0.0, -1.0])


@settings(max_examples=CASES, deadline=None)
@given(SPEED, SPEED, SPEED)
def test_velocity_limit_keeps_the_path(vx, vy, rate):
    twist = np.array([vx, vy, rate])
    limited = limit_velocity(twist, LIMITS)
    assert np.all(limited >= LIMITS.lower - TOLERANCE) and np.all(limited <= LIMITS.upper + TOLERANCE)
    np.testing.assert_allclose(np.cross(twist, limited), 0.0, atol=1e-6)


def test_an_axis_that_cannot_move_does_not_stop_the_others():
    wheels = MotionLimits.from_config(SupervisorConfig())
    np.testing.assert_allclose(limit_velocity(np.array([0.5, 0.3, 0.1]), wheels), [0.5, 0.0, 0.1])


def test_a_steady_target_is_reached_without_overshoot():
    motion, speeds = REST, []
    for _ in range(100):
        motion, _ = limit_change(np.array([1.0, 0.0, 0.0]), motion, LIMITS, 0.02)
        speeds.append(motion.twist[0])
    assert max(speeds) <= 1.0 + TOLERANCE
    assert abs(speeds[-1] - 1.0) < 1e-6
    assert speeds[34] > 0.9  # 2 m/s^2 reach 1 m/s in 0.5 s plus the jerk ramps


def test_limits_that_change_a_command_noticeably_are_named():
    assert limit_change(np.array([1.0, 0.0, 0.0]), REST, LIMITS, 0.02)[1] == ("jerk",)
    assert limit_change(np.zeros(3), REST, LIMITS, 0.02)[1] == ()
    motion = REST
    names = []
    for _ in range(10):
        motion, names = limit_change(np.array([1.5, 0.0, 0.0]), motion, LIMITS, 0.02)
    assert names == ("acceleration",)


def test_each_bound_comes_from_its_own_parameter():
    config = SupervisorConfig(
        max_forward_mps=1.1,
        max_reverse_mps=0.6,
        max_lateral_mps=0.7,
        max_yaw_rate_radps=1.3,
        max_acceleration_mps2=1.7,
        max_jerk_mps3=11.0,
        max_yaw_acceleration_radps2=1.9,
        max_yaw_jerk_radps3=13.0,
    )
    limits = MotionLimits.from_config(config)
    np.testing.assert_array_equal(limits.upper, [1.1, 0.7, 1.3])
    np.testing.assert_array_equal(limits.lower, [-0.6, -0.7, -1.3])
    np.testing.assert_array_equal(limits.acceleration, [1.7, 1.7, 1.9])
    np.testing.assert_array_equal(limits.jerk, [11.0, 11.0, 13.0])


def test_axes_that_cannot_move_stay_at_zero():
    still = MotionLimits(np.zeros(3), np.zeros(3), np.ones(3), np.ones(3))
    assert not limit_velocity(np.array([1.0, -1.0, 1.0]), still).any()
    only_back = MotionLimits(np.array([-1.0, 0.0, 0.0]), np.zeros(3), np.ones(3), np.ones(3))
    np.testing.assert_array_equal(limit_velocity(np.array([-2.0, 0.0, 0.0]), only_back), [-1.0, 0.0, 0.0])


def test_a_target_out_of_bounds_is_approached_as_the_bound_is():
    for sign in (1.0, -1.0):
        beyond, bound = np.full(3, 90.0 * sign), LIMITS.upper if sign > 0.0 else LIMITS.lower
        near = Motion(bound - 0.01 * sign, np.zeros(3))
        step, names = limit_change(beyond, near, LIMITS, 0.02)
        assert names == () and step.twist.shape == step.acceleration.shape == (3,)
        np.testing.assert_allclose(step.twist, limit_change(bound, near, LIMITS, 0.02)[0].twist)
        np.testing.assert_allclose(step.acceleration, (step.twist - near.twist) / 0.02)


def test_acceleration_that_is_there_can_only_be_taken_back_at_the_jerk_limit():
    rising = Motion(np.array([0.5, 0.0, 0.0]), np.array([1.0, 0.0, 0.0]))
    step, names = limit_change(np.array([-0.5, 0.0, 0.0]), rising, LIMITS, 0.02)
    assert step.acceleration[0] == 1.0 - 20.0 * 0.02 and names == ("jerk",)
    assert step.twist[0] == 0.5 + 0.6 * 0.02


@settings(max_examples=CASES, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=12), st.sampled_from([LIMITS, CAR]), st.floats(0.0, 0.6))
def test_no_point_is_faster_than_the_creeping_speed_while_the_command_changes_its_turn(steps, limits, reach_m):
    motion, creep_mps = REST, 0.15
    for vx, vy, rate, dt_s, times in steps:
        target = np.array([vx, 0.0 if limits is CAR else vy, rate])
        target *= min(1.0, creep_mps / max(tip_speed_mps(target, reach_m), 1e-9))
        for _ in range(times):
            before = motion
            changed, _ = limit_change(target, before, limits, dt_s)
            motion = limit_tip_speed(changed, before.twist, creep_mps, reach_m, dt_s)
            assert tip_speed_mps(motion.twist, reach_m) <= creep_mps + TOLERANCE
            if limits is CAR:  # its steering goes before the yaw acceleration
                assert abs(motion.twist[2]) <= 2.5 * abs(motion.twist[0]) + TOLERANCE
            else:
                np.testing.assert_allclose((motion.twist - before.twist) / dt_s, motion.acceleration, atol=1e-6)
                assert np.all(np.abs(motion.acceleration) <= limits.acceleration + 1e-6)


def test_a_command_that_is_too_fast_for_creeping_slows_down_before_it_turns():
    motion, speeds = Motion(np.array([0.5, 0.0, 0.0]), np.zeros(3)), []
    for _ in range(60):
        before = motion
        changed, _ = limit_change(np.array([0.0, 0.0, 0.4]), before, LIMITS, 0.02)
        motion = limit_tip_speed(changed, before.twist, 0.15, 0.3, 0.02)
        speeds.append(tip_speed_mps(motion.twist, 0.3))
        assert motion.twist[2] == 0.0 or speeds[-1] <= 0.15 + TOLERANCE
    speeds = np.array(speeds)
    assert np.all(speeds[1:] <= np.maximum(speeds[:-1], 0.15) + TOLERANCE) and abs(motion.twist[2] - 0.4) < 0.01
