"""Which messages are taken, for how long they are trusted, and what is wrong with the others."""

import math
from dataclasses import replace

import numpy as np
import pytest

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import FaultKind
from edge_worldmodel.core.safety.inputs.intake import (
    Instant,
    Intake,
    OdometrySample,
    odometry_problem,
    plan_problem,
    sweep_problem,
)
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.types import Plan, Trajectory

MS = 1_000_000
NOW = Instant(100_000 * MS, 7_000 * MS)
CONFIG = SupervisorConfig()


def intake(repeats=False) -> Intake[str]:
    return Intake("lamp", FaultKind.SENSOR, 0.2, 0.5, 0.1, repeats=repeats)


def later(ms, steady_ms=None) -> Instant:
    return Instant(NOW.ros_ns + ms * MS, NOW.steady_ns + (ms if steady_ms is None else steady_ms) * MS)


def taken(age_ms=0, **options) -> Intake[str]:
    stream = intake(**options)
    stream.offer("first", NOW.ros_ns - age_ms * MS, "", NOW)
    assert stream.value == "first" and not stream.rejected
    return stream


def test_before_anything_came_it_is_a_fault_of_its_kind():
    fault = intake().fault(NOW)
    assert fault is not None and fault.kind is FaultKind.SENSOR and fault.text == "lamp: nothing received yet"
    assert math.isnan(intake().age_s(NOW))


def test_what_came_is_trusted_and_has_an_age_and_a_silence():
    stream = taken(age_ms=300)
    assert stream.fault(later(50)) is None
    assert stream.age_s(later(50)) == pytest.approx(0.35)
    assert stream.silence_s(later(0, steady_ms=70)) == pytest.approx(0.07)


@pytest.mark.parametrize(("steady_ms", "silent"), [(200, False), (201, True)])
def test_silence_is_counted_on_the_steady_clock_from_receipt(steady_ms, silent):
    fault = taken().fault(later(0, steady_ms))
    assert (fault is not None) is silent
    assert fault is None or (
        fault.kind is FaultKind.SENSOR and "lamp: silent for 0.20 s, the limit is 0.2 s" in fault.text
    )


@pytest.mark.parametrize(("period_ms", "slow"), [(150, False), (250, True)])
def test_a_slow_sensor_is_told_from_a_silent_one(period_ms, slow):
    stream, again = taken(), later(period_ms)
    stream.offer("second", again.ros_ns, "", again)
    text = stream.fault(later(period_ms + 220)).text
    assert ("came 0.25 s after the one before: give a slow sensor 2.5 periods as timeout" in text) is slow
    stream.forget()
    stream.offer("third", later(2000).ros_ns, "", later(2000))
    assert "slow" not in stream.fault(later(2220)).text


@pytest.mark.parametrize(("ros_ms", "old"), [(499, False), (501, True)])
def test_age_is_counted_on_the_ros_clock_from_the_stamp(ros_ms, old):
    fault = taken().fault(later(ros_ms, 0))
    assert (fault is not None) is old
    assert fault is None or (fault.kind is FaultKind.SENSOR and "lamp: 0.50 s old, the limit is 0.5 s" in fault.text)


@pytest.mark.parametrize(
    ("stamp_ms", "problem"),
    [(100, ""), (101, "lamp: stamp lies 0.10 s in the future"), (-499, ""), (-501, "lamp: stamp is 0.50 s old")],
)
def test_a_stamp_may_be_a_little_ahead_and_not_too_old(stamp_ms, problem):
    stream = intake()
    stream.offer("value", NOW.ros_ns + stamp_ms * MS, "", NOW)
    assert (stream.value == "value") is (not problem) and stream.rejected["bad"] == bool(problem)
    assert not problem or stream.fault(NOW).text.startswith(problem)


def test_a_stamp_before_the_last_one_takes_the_trust_away_until_a_good_one():
    stream = taken()
    stream.offer("second", NOW.ros_ns - 40 * MS, "", NOW)
    assert stream.value is None and stream.fault(NOW).text == "lamp: stamp jumped back by 0.04 s"
    stream.offer("third", NOW.ros_ns + 10 * MS, "", later(10))
    assert stream.value == "third" and stream.fault(later(10)) is None
    assert stream.rejected == {"bad": 1}


def test_a_problem_found_before_comes_first_and_is_told():
    stream = taken()
    stream.offer("second", NOW.ros_ns + 900 * MS, "broken", NOW)
    assert stream.value is None and stream.fault(NOW).text == "lamp: broken"
    assert math.isnan(stream.age_s(NOW))


@pytest.mark.parametrize("repeats", [False, True])
def test_the_same_stamp_again_is_a_sign_of_life_only_where_that_is_meant(repeats):
    stream = taken(repeats=repeats)
    stream.offer("again", NOW.ros_ns, "", later(150))
    assert stream.rejected["duplicate"] == (not repeats)
    assert (stream.value == "again") is repeats
    assert (stream.fault(later(250)) is None) is repeats


def test_after_a_bad_one_the_same_stamp_is_taken_again():
    stream = taken()
    stream.reject("broken")
    stream.offer("again", NOW.ros_ns, "", NOW)
    assert stream.value == "again" and stream.fault(NOW) is None


def test_a_frozen_one_is_counted_and_changes_nothing():
    stream = taken()
    stream.offer("frozen", NOW.ros_ns + 100 * MS, "", later(100), frozen=True)
    assert stream.value == "first" and stream.rejected == {"frozen": 1}
    assert stream.fault(later(199)) is None and stream.fault(later(201)) is not None
    stream.reject("broken")
    stream.offer("frozen", NOW.ros_ns + 110 * MS, "", later(110), frozen=True)
    assert stream.value is None and stream.fault(later(110)) is not None


def test_forgetting_starts_over_even_with_older_stamps():
    stream = taken()
    stream.reject("broken")
    stream.forget()
    assert stream.value is None and stream.fault(NOW).text == "lamp: nothing received yet"
    back = Instant(NOW.ros_ns - 5_000 * MS, NOW.steady_ns)
    stream.offer("older", back.ros_ns, "", back)
    assert stream.value == "older" and stream.fault(back) is None


def plan(n=9, dt_s=0.4, risk=0.1, valid_ms=600, frame="odom") -> Plan:
    trajectory = Trajectory(dt_s, np.zeros((n, 3)), np.zeros((n, 3)))
    return Plan(NOW.ros_ns, frame, trajectory, NOW.ros_ns + valid_ms * MS, risk, "test", "", "model", 1)


@pytest.mark.parametrize(
    "good",
    [
        {},
        {"n": 2},
        {"n": 1000},
        {"dt_s": 1e-3},
        {"dt_s": 10.0},
        {"risk": 0.0},
        {"risk": 1.0},
        {"valid_ms": 3000},
        {"valid_ms": 1},
    ],
)
def test_plans_at_the_bounds_are_good(good):
    assert plan_problem(plan(**good), CONFIG) == ""


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ({"frame": "map"}, "frame is 'map', expected 'odom'"),
        ({"n": 1}, "expected (n, 3) both with n from 2 to 1000"),
        ({"n": 1001}, "expected (n, 3) both"),
        ({"dt_s": 0.9e-3}, "time step"),
        ({"dt_s": 10.1}, "time step"),
        ({"dt_s": math.nan}, "time step"),
        ({"risk": -0.01}, "risk"),
        ({"risk": 1.01}, "risk"),
        ({"risk": math.nan}, "risk"),
        ({"valid_ms": 3001}, "validity is 3.00 s, expected up to 3 s"),
        ({"valid_ms": -1}, "validity"),
        ({"valid_ms": 0}, "withdrawn by the planner"),
    ],
)
def test_plans_beyond_the_bounds_are_not(bad, problem):
    assert problem in plan_problem(plan(**bad), CONFIG)


@pytest.mark.parametrize(
    ("poses", "twists"),
    [
        (np.zeros((4, 3)), np.zeros((5, 3))),
        (np.zeros((4, 2)), np.zeros((4, 2))),
        (np.zeros(3), np.zeros(3)),
        (np.zeros((4, 3, 1)), np.zeros((4, 3, 1))),
    ],
)
def test_a_plan_of_another_shape_is_refused(poses, twists):
    bent = replace(plan(), trajectory=Trajectory(0.4, poses, twists))
    assert f"{poses.shape} poses and {twists.shape} twists" in plan_problem(bent, CONFIG)


@pytest.mark.parametrize(("field", "bound"), [("poses", 1e6), ("twists", 100.0)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_one_absurd_number_in_a_plan_is_enough(field, bound, sign):
    trajectory = plan().trajectory
    getattr(trajectory, field)[5, 1] = sign * bound
    assert plan_problem(replace(plan(), trajectory=trajectory), CONFIG) == ""
    for absurd in (sign * bound * 1.001, math.nan, sign * math.inf):
        getattr(trajectory, field)[5, 1] = absurd
        assert "not finite or too large" in plan_problem(replace(plan(), trajectory=trajectory), CONFIG)


def sweep(usable=10) -> Sweep:
    return Sweep(NOW.ros_ns, np.zeros(2), np.ones((usable, 2)), np.ones(usable, dtype=bool))


@pytest.mark.parametrize(
    ("usable", "rays", "problem"),
    [
        (10, 10, ""),
        (1, 1, ""),
        (10, 50, ""),
        (10, 51, "blind: only 10 of 51"),
        (10, 9, "no usable"),
        (0, 9, "no usable"),
    ],
)
def test_a_sweep_needs_its_share_of_usable_rays(usable, rays, problem):
    found = sweep_problem(sweep(usable), rays, CONFIG)
    assert found == "" if not problem else problem in found


def test_a_sweep_of_another_shape_or_with_absurd_numbers_is_refused():
    for bent in (replace(sweep(), hit=np.ones(9, dtype=bool)), replace(sweep(), endpoints=np.ones((10, 3)))):
        assert "no usable rays among 10" in sweep_problem(bent, 10, CONFIG)
    for number, good in ((1e6, True), (1.001e6, False), (math.nan, False)):
        look = sweep()
        look.endpoints[3, 1] = number
        assert (sweep_problem(look, 10, CONFIG) == "") is good


def odometry(**values) -> OdometrySample:
    return replace(OdometrySample(NOW.ros_ns, "odom", "base_link", np.zeros(3), np.zeros(3)), **values)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, ""),
        ({"frame_id": "map"}, "frame is 'map', expected 'odom'"),
        ({"child_frame_id": "laser"}, "child frame is 'laser', expected 'base_link'"),
        ({"pose": np.array([0.0, 1e6, 0.0])}, ""),
        ({"pose": np.array([0.0, 1.001e6, 0.0])}, "pose or twist is not finite or too large"),
        ({"twist": np.array([0.0, 0.0, -100.0])}, ""),
        ({"twist": np.array([0.0, 0.0, -100.1])}, "pose or twist"),
        ({"height_m": -1e6}, ""),
        ({"height_m": -1.001e6}, "height or vertical speed is not finite or too large"),
        ({"climb_mps": 100.0}, ""),
        ({"climb_mps": 100.1}, "height or vertical speed"),
        ({"climb_mps": math.nan}, "height or vertical speed"),
    ],
)
def test_odometry_at_its_bounds_and_beyond(values, problem):
    found = odometry_problem(odometry(**values), CONFIG)
    assert found == "" if not problem else problem in found


def test_height_and_climb_are_zero_unless_measured():
    assert odometry().height_m == 0.0 and odometry().climb_mps == 0.0


def test_each_kind_of_rejection_is_counted():
    stream = taken()
    for ms in (10, 20):
        stream.offer("frozen", NOW.ros_ns + ms * MS, "", later(ms), frozen=True)
        stream.offer("again", NOW.ros_ns, "", later(ms))
    for _ in range(2):
        stream.reject("broken")
    assert stream.rejected == {"frozen": 2, "duplicate": 2, "bad": 2}
    assert stream.fault(NOW).kind is FaultKind.SENSOR


@pytest.mark.parametrize("stamp_ns", [0, -5])
def test_a_driver_that_sets_no_stamps_is_named(stamp_ns):
    stream = intake()
    stream.offer("value", stamp_ns, "", NOW)
    assert "does not set header.stamp" in stream.fault(NOW).text
