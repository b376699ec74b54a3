"""The newest value of each input, and the rules by which the supervisor trusts it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from edge_worldmodel.core.geometry import points_in_frame
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import Fault, FaultKind
from edge_worldmodel.core.safety.motion.braking import RobotFootprint
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.time_units import to_nanoseconds, to_seconds
from edge_worldmodel.core.types import Floats, Plan, Pose, Twist

ValueT = TypeVar("ValueT")

_MAX_POSES = 1000
_MAX_VALIDITY_S = 3.0
_MAX_COORDINATE_M = 1e6
_MAX_TWIST = 100.0
"""In m/s or rad/s. Larger numbers are defects, not speeds."""
_CLOCK_JUMP_NS = 10_000_000
"""A ROS clock that goes back by more than this has jumped; less is a correction."""
_MOVING = np.array([0.1, 0.1, 0.2])
"""Twist in m/s and rad/s from which two readings of a sensor must differ."""
_SAME_SURFACE_M = 1e-3
_MIN_HITS_TO_COMPARE = 10
"""Two sweeps with fewer hits may well be equal."""
_LONGEST_PROBLEM = 400
"""In letters; a text may quote what a message says."""
_OTHER_CLOCK_S = 1.0
"""A stamp that is further from the clock than this comes from another clock, not from a slow computer."""
_CLOCK_ADVICE = "; synchronise the clocks of the computers (chrony, PTP), or set use_sim_time for a recording"
MIN_TICK_S = 1e-3
"""A shorter time between two ticks counts as this long."""
SILENT_PERIODS = 3.0
"""After a longer silence of the supervisor the watchdog commands zero."""


@dataclass(frozen=True)
class Instant:
    """Both clocks at one moment. The ROS clock may stop or jump; the steady clock never does."""

    ros_ns: int
    steady_ns: int


@dataclass(frozen=True)
class OdometrySample:
    """Pose and twist of the base at a ROS time; height and vertical speed matter for drones only.

    Attributes:
        pose: (3,) in ``frame_id``.
        twist: (3,) in ``child_frame_id``, the base frame.
        downhill: sine of the slope along the base's x and y axis; positive where the ground falls that way.
    """

    stamp_ns: int
    frame_id: str
    child_frame_id: str
    pose: Pose
    twist: Twist
    height_m: float = 0.0
    climb_mps: float = 0.0
    downhill: tuple[float, float] = (0.0, 0.0)


class Intake(Generic[ValueT]):
    """Keeps the newest value of one input and tells whether it can be trusted.

    One bad message makes the input untrusted until its next good one. Silence is measured on the steady clock
    since receipt, age on the ROS clock since the stamp; both have a limit.

    Args:
        name: name of the input, for people.
        kind: kind of the fault that it raises.
        timeout_s: longest silence.
        max_age_s: greatest age of a stamp.
        future_tolerance_s: how far a stamp may lie in the future.
        repeats: whether a message with the same stamp as the one before counts as a sign of life.
    """

    def __init__(
        self,
        name: str,
        kind: FaultKind,
        timeout_s: float,
        max_age_s: float,
        future_tolerance_s: float,
        *,
        repeats: bool,
    ) -> None:
        self.name = name
        self.value: ValueT | None = None
        self.rejected: Counter[str] = Counter()
        self.last_rejection = ""
        """Why the newest rejected message was not used."""
        self._kind = kind
        self._timeout_s, self._max_age_s = timeout_s, max_age_s
        self._future_ns = int(future_tolerance_s * 1e9)
        self._repeats = repeats
        self.forget()

    def forget(self) -> None:
        """Drop the value, as after a jump of the clock."""
        self.value = None
        self._problem = ""
        self._stamp_ns: int | None = None
        self._received_ns = 0
        self._gap_s = 0.0

    def offer(self, value: ValueT, stamp_ns: int, problem: str, now: Instant, *, frozen: bool = False) -> None:
        """Take a value if nothing is wrong with it or its stamp.

        Args:
            value: value of the message.
            stamp_ns: its stamp.
            problem: description of a problem found in the value, empty if there is none.
            now: time of receipt.
            frozen: whether its content repeats although it should not; then it is no sign of life.
        """
        if not problem and stamp_ns > now.ros_ns + self._future_ns:
            ahead_s = to_seconds(stamp_ns - now.ros_ns)
            problem = f"stamp lies {ahead_s:.2f} s in the future of the ROS clock{_clock_advice(ahead_s)}"
        if not problem and self._stamp_ns is not None and stamp_ns < self._stamp_ns:
            problem = f"stamp jumped back by {(self._stamp_ns - stamp_ns) / 1e9:.2f} s"
        if not problem and stamp_ns <= 0 and to_seconds(now.ros_ns - stamp_ns) > self._max_age_s:
            problem = f"stamp is {stamp_ns} ns: its driver does not set header.stamp"
        if not problem and (age_s := to_seconds(now.ros_ns - stamp_ns)) > self._max_age_s:
            limit = f"the limit is {self._max_age_s:g} s"
            problem = f"stamp is {age_s:.2f} s old by the ROS clock, {limit}{_clock_advice(age_s)}"
        if problem:
            self.reject(problem)
        elif frozen:
            self._count("frozen", "its content stays the same although the robot moves; restart its driver")
        elif stamp_ns != self._stamp_ns or self._repeats or self.value is None:
            self._gap_s = self.silence_s(now) if self._received_ns else 0.0
            self.value, self._stamp_ns, self._received_ns, self._problem = value, stamp_ns, now.steady_ns, ""
        else:
            self._count("duplicate", "the same stamp came twice")

    def reject(self, problem: str) -> None:
        """Stop trusting the input until its next good message, for the given reason."""
        problem = problem[:_LONGEST_PROBLEM]
        self._count("bad", problem)
        self.value, self._problem = None, problem

    def _count(self, how: str, why: str) -> None:
        self.rejected[how] += 1
        self.last_rejection = f"{self.name}: {why}"

    def age_s(self, now: Instant) -> float:
        """Return the age of the newest value by its stamp; NaN without a value."""
        if self.value is None or self._stamp_ns is None:
            return float("nan")
        return to_seconds(now.ros_ns - self._stamp_ns)

    def silence_s(self, now: Instant) -> float:
        """Return the time since the newest value was received, on the steady clock."""
        return to_seconds(now.steady_ns - self._received_ns)

    def fault(self, now: Instant) -> Fault | None:
        """Return the reason why the input cannot be trusted now; None if it can."""
        if self._problem:
            return Fault(self._kind, f"{self.name}: {self._problem}")
        if self.value is None:
            return Fault(self._kind, f"{self.name}: nothing received yet")
        silence_s = self.silence_s(now)
        if silence_s > self._timeout_s:
            return Fault(self._kind, f"{self.name}: silent for {silence_s:.2f} s, {self._limit()}")
        if self.age_s(now) > self._max_age_s:
            return Fault(self._kind, f"{self.name}: {self.age_s(now):.2f} s old, the limit is {self._max_age_s:g} s")
        return None

    def _limit(self) -> str:
        """Return the limit of the silence, and what to do where the last two values were further apart."""
        limit = f"the limit is {self._timeout_s:g} s"
        if self._gap_s <= self._timeout_s:
            return limit
        return (
            f"{limit}, but it came {self._gap_s:.2f} s after the one before: give a slow sensor 2.5 periods as timeout"
        )


def _clock_advice(offset_s: float) -> str:
    """Return what to do about a stamp that is so far from the clock."""
    return _CLOCK_ADVICE if offset_s > _OTHER_CLOCK_S else ""


class ClockWatch:
    """Checks that the ROS clock advances and does not jump back.

    Args:
        timeout_s: longest time for which it may stop.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._ros_ns = 0
        self._advanced_ns = 0
        self._jumped = False

    def update(self, now: Instant) -> bool:
        """Note the time; return whether the clock jumped back, so that older inputs must be dropped."""
        jumped = now.ros_ns < self._ros_ns - _CLOCK_JUMP_NS
        if jumped or now.ros_ns > self._ros_ns:
            self._ros_ns, self._advanced_ns = now.ros_ns, now.steady_ns
        self._jumped |= jumped
        return jumped

    def take_fault(self, now: Instant) -> Fault | None:
        """Return the fault of the clock; a jump is reported once."""
        jumped, self._jumped = self._jumped, False
        if jumped:
            return Fault(FaultKind.CLOCK, "the ROS clock jumped back; all older inputs were dropped")
        if now.ros_ns <= 0 or to_seconds(now.steady_ns - self._advanced_ns) > self._timeout_s:
            return Fault(FaultKind.CLOCK, "the ROS clock does not advance")
        return None


class TickLength:
    """Measures the time between two ticks.

    Args:
        period_s: longest length that counts: a late tick must not change the speed more.
    """

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._last_ns: int | None = None

    def was_held_up(self, now: Instant) -> bool:
        """Return whether so much time has passed since the last tick that the watchdog has commanded zero."""
        last_ns = now.steady_ns if self._last_ns is None else self._last_ns
        return now.steady_ns - last_ns > to_nanoseconds(SILENT_PERIODS * self._period_s)

    def take_s(self, now: Instant) -> float:
        """Return the time since the last call in seconds, from ``MIN_TICK_S`` to one period."""
        last_ns, self._last_ns = self._last_ns, now.steady_ns
        if last_ns is None:
            return self._period_s
        return min(max(to_seconds(now.steady_ns - last_ns), MIN_TICK_S), self._period_s)


def plan_problem(plan: Plan, config: SupervisorConfig) -> str:
    """Return a description of what is wrong with a plan's content; empty if nothing is."""
    poses, twists = plan.trajectory.poses, plan.trajectory.twists
    validity_s = to_seconds(plan.valid_until_ns - plan.stamp_ns)
    if plan.frame_id != config.odom_frame:
        return f"frame is '{plan.frame_id}', expected '{config.odom_frame}'"
    if poses.ndim != 2 or poses.shape[1:] != (3,) or twists.shape != poses.shape or not 2 <= len(poses) <= _MAX_POSES:
        return f"{poses.shape} poses and {twists.shape} twists, expected (n, 3) both with n from 2 to {_MAX_POSES}"
    if not (_is_within(poses, _MAX_COORDINATE_M) and _is_within(twists, _MAX_TWIST)):
        return "a pose or twist is not finite or too large"
    if not 1e-3 <= plan.trajectory.dt_s <= 10.0:
        return f"time step is {plan.trajectory.dt_s} s, expected 0.001 to 10 s"
    if not 0.0 <= plan.risk <= 1.0:
        return f"risk is {plan.risk}, expected 0 to 1"
    if validity_s == 0.0:
        return "withdrawn by the planner, which gets no new frames"
    if not 0.0 < validity_s <= _MAX_VALIDITY_S:
        return f"validity is {validity_s:.2f} s, expected up to {_MAX_VALIDITY_S:g} s"
    return ""


def sweep_problem(sweep: Sweep, rays: int, config: SupervisorConfig) -> str:
    """Return a description of what is wrong with a sweep; empty if nothing is.

    Args:
        sweep: usable rays only.
        rays: number of rays that the sensor sent, usable or not.
        config: smallest share of usable rays.
    """
    usable = len(sweep.endpoints)
    if not 0 < usable <= rays or sweep.endpoints.shape != (usable, 2) or sweep.hit.shape != (usable,):
        return f"no usable rays among {rays}"
    if not _is_within(sweep.endpoints, _MAX_COORDINATE_M):
        return "an endpoint is not finite or too large"
    if usable < config.min_usable_fraction * rays:
        return f"blind: only {usable} of {rays} rays are usable"
    return ""


def own_body_problem(sweep: Sweep, footprint: RobotFootprint) -> str:
    """Return a description of a sweep that sees nothing but the robot's own body; empty if it sees more."""
    count = len(sweep.hit)
    if not count or not sweep.hit.all() or (footprint.clearance(sweep.endpoints[:: max(count // 8, 1)]) > 0.0).any():
        return ""
    if (footprint.clearance(sweep.endpoints) > 0.0).any():
        return ""
    return (
        f"all {count} returns lie inside the robot's own footprint: is the sensor covered, or are its pose or the"
        " footprint wrong? Parts of the robot that it sees belong into self_filters_m"
    )


def odometry_problem(odometry: OdometrySample, config: SupervisorConfig) -> str:
    """Return a description of what is wrong with an odometry message; empty if nothing is."""
    if odometry.frame_id != config.odom_frame:
        return f"frame is '{odometry.frame_id}', expected '{config.odom_frame}'"
    if odometry.child_frame_id != config.base_frame:
        return f"child frame is '{odometry.child_frame_id}', expected '{config.base_frame}'"
    if not (_is_within(odometry.pose, _MAX_COORDINATE_M) and _is_within(odometry.twist, _MAX_TWIST)):
        return "pose or twist is not finite or too large"
    if not (abs(odometry.height_m) <= _MAX_COORDINATE_M and abs(odometry.climb_mps) <= _MAX_TWIST):
        return "height or vertical speed is not finite or too large"
    if not max(abs(odometry.downhill[0]), abs(odometry.downhill[1])) <= 1.0:
        return "the slope is not finite"
    return ""


def is_moving(twist: Twist) -> bool:
    """Return whether the robot moves so fast, at a base twist (3,), that sensor readings must differ."""
    return bool((np.abs(twist) > _MOVING).any())


def repeats_sweep(previous: Sweep | None, sweep: Sweep) -> bool:
    """Return whether a sweep equals the previous one exactly, as from a driver that hangs."""
    if previous is None or sweep.hit.sum() < _MIN_HITS_TO_COMPARE:
        return False
    return np.array_equal(previous.hit, sweep.hit) and np.array_equal(previous.endpoints, sweep.endpoints)


def looks_the_same(sweep: Sweep, motion: Pose) -> bool:
    """Return whether a scene looks exactly the same after a motion, as a straight corridor does in a simulator.

    The hits are moved; each must lie on the surface between its neighbours in the sweep, except at the far ends.
    The noise of a real sensor is larger than the tolerance, so its sweeps never repeat.

    Args:
        sweep: sweep after the motion, with at least one hit.
        motion: (3,) pose of the base at this sweep in the base frame at the one before.
    """
    hits = sweep.endpoints[sweep.hit] - sweep.origin
    hits = hits[np.argsort(np.arctan2(hits[:, 1], hits[:, 0]))]
    bearings = np.arctan2(hits[:, 1], hits[:, 0])
    moved = points_in_frame(motion, hits + sweep.origin) - sweep.origin
    distance_m, moved_m = np.hypot(*hits.T), np.hypot(*moved.T)
    compared = moved_m <= distance_m.max() - 3.0 * np.abs(moved_m - distance_m)
    after = np.searchsorted(bearings, np.arctan2(moved[:, 1], moved[:, 0])) % len(hits)
    start, edge = hits[after - 1], hits[after] - hits[after - 1]
    away = moved - start
    off_m = np.abs(edge[:, 0] * away[:, 1] - edge[:, 1] * away[:, 0]) / np.maximum(np.hypot(*edge.T), 1e-9)
    return bool((off_m <= _SAME_SURFACE_M)[compared].all() and 2 * compared.sum() >= len(hits))


def repeats_pose(previous: OdometrySample | None, odometry: OdometrySample) -> bool:
    """Return whether odometry reports motion twice but the same pose."""
    if previous is None or not (is_moving(previous.twist) and is_moving(odometry.twist)):
        return False
    return np.array_equal(previous.pose, odometry.pose)


def _is_within(values: Floats, bound: float) -> bool:
    """Return whether all values are finite and at most ``bound`` in size (NaN compares false)."""
    return bool((np.abs(values) <= bound).all())
