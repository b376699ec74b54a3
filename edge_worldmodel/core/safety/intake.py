"""What the supervisor last received, and whether that may still be trusted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import Cause, Fault
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.types import Floats, Plan

ValueT = TypeVar("ValueT")
_MAX_POSES = 1000
_MAX_VALIDITY_S = 3.0
_MAX_COORDINATE = 1e6
_MAX_TWIST = 100.0
"""Beyond these, in m and m/s or rad/s, a number is a defect and not a place or a speed."""


@dataclass(frozen=True)
class Clock:
    """Both clocks at one moment: the ROS clock may stand, jump or run backward, the steady one never does."""

    ros_ns: int
    steady_ns: int


@dataclass(frozen=True)
class Odometry:
    """Base pose (3,) in ``frame_id`` and base twist (3,) in ``child_frame_id`` at a ROS time.

    Height and vertical speed matter to drones only.
    """

    stamp_ns: int
    frame_id: str
    child_frame_id: str
    pose: Floats
    twist: Floats
    height_m: float = 0.0
    climb_mps: float = 0.0


class Intake(Generic[ValueT]):
    """The newest value of one stream, with the rules that make it trustworthy.

    One bad message takes the trust away until the next good one. Silence is measured on the steady clock from
    receipt, age on the ROS clock from the stamp; both count.

    Args:
        name: what a person calls the stream.
        cause: fault to raise for it.
        timeout_s: longest silence.
        max_age_s: oldest stamp.
        future_tolerance_s: how far a stamp may lie in the future.
        repeats: whether the same stamp again counts as a sign of life.
    """

    def __init__(
        self, name: str, cause: Cause, timeout_s: float, max_age_s: float, future_tolerance_s: float, *, repeats: bool
    ) -> None:
        self.name = name
        self.value: ValueT | None = None
        self.rejected: Counter[str] = Counter()
        self._cause = cause
        self._timeout_s, self._max_age_s = timeout_s, max_age_s
        self._future_ns = int(future_tolerance_s * 1e9)
        self._repeats = repeats
        self.forget()

    def forget(self) -> None:
        """Start over, as after a jump of the clock."""
        self.value = None
        self._problem = ""
        self._stamp_ns: int | None = None
        self._received_ns = 0

    def offer(self, value: ValueT, stamp_ns: int, problem: str, clock: Clock, *, frozen: bool = False) -> None:
        """Take a value unless ``problem`` or its stamp speaks against it; a ``frozen`` one is no sign of life."""
        if not problem and stamp_ns > clock.ros_ns + self._future_ns:
            problem = f"stamp lies {(stamp_ns - clock.ros_ns) / 1e9:.2f} s in the future"
        if not problem and self._stamp_ns is not None and stamp_ns < self._stamp_ns:
            problem = f"stamp jumped back by {(self._stamp_ns - stamp_ns) / 1e9:.2f} s"
        if not problem and (clock.ros_ns - stamp_ns) * 1e-9 > self._max_age_s:
            problem = f"stamp is {(clock.ros_ns - stamp_ns) / 1e9:.2f} s old, the limit is {self._max_age_s:g} s"
        if problem:
            self.reject(problem)
        elif frozen:
            self.rejected["frozen"] += 1
        elif stamp_ns != self._stamp_ns or self._repeats or self.value is None:
            self.value, self._stamp_ns, self._received_ns, self._problem = value, stamp_ns, clock.steady_ns, ""
        else:
            self.rejected["duplicate"] += 1

    def reject(self, problem: str) -> None:
        """Distrust the stream until its next good message; ``problem`` says why in plain words."""
        self.rejected["bad"] += 1
        self.value, self._problem = None, problem

    def age_s(self, clock: Clock) -> float:
        """Return the age of the newest value's stamp, NaN without one."""
        if self.value is None or self._stamp_ns is None:
            return float("nan")
        return (clock.ros_ns - self._stamp_ns) * 1e-9

    def silence_s(self, clock: Clock) -> float:
        """Return how long ago the newest value arrived, on the steady clock."""
        return (clock.steady_ns - self._received_ns) * 1e-9

    def fault(self, clock: Clock) -> Fault | None:
        """Return why this stream cannot be trusted now, None when it can."""
        if self._problem:
            return Fault(self._cause, f"{self.name}: {self._problem}")
        if self.value is None:
            return Fault(self._cause, f"{self.name}: nothing received yet")
        silence_s = self.silence_s(clock)
        if silence_s > self._timeout_s:
            return Fault(self._cause, f"{self.name}: silent for {silence_s:.2f} s, the limit is {self._timeout_s:g} s")
        if self.age_s(clock) > self._max_age_s:
            return Fault(self._cause, f"{self.name}: {self.age_s(clock):.2f} s old, the limit is {self._max_age_s:g} s")
        return None


def plan_problem(plan: Plan, config: SupervisorConfig) -> str:
    """Return what is wrong with a plan whatever the time, empty when nothing is."""
    poses, twists = plan.trajectory.poses, plan.trajectory.twists
    validity_s = (plan.valid_until_ns - plan.stamp_ns) * 1e-9
    if plan.frame_id != config.odom_frame:
        return f"frame is '{plan.frame_id}', expected '{config.odom_frame}'"
    if poses.ndim != 2 or poses.shape[1:] != (3,) or twists.shape != poses.shape or not 2 <= len(poses) <= _MAX_POSES:
        return f"{poses.shape} poses and {twists.shape} twists, expected (n, 3) both with n from 2 to {_MAX_POSES}"
    if not (_within(poses, _MAX_COORDINATE) and _within(twists, _MAX_TWIST)):
        return "a pose or twist is not a usable number"
    if not 1e-3 <= plan.trajectory.dt_s <= 10.0:
        return f"time step is {plan.trajectory.dt_s} s"
    if not 0.0 <= plan.risk <= 1.0:
        return f"risk is {plan.risk}"
    if validity_s == 0.0:
        return "taken back by the planner, which sees nothing new"
    if not 0.0 < validity_s <= _MAX_VALIDITY_S:
        return f"validity is {validity_s:.2f} s, expected up to {_MAX_VALIDITY_S:g} s"
    return ""


def sweep_problem(sweep: Sweep, rays: int, config: SupervisorConfig) -> str:
    """Return what is wrong with a sweep, empty when nothing is.

    Args:
        sweep: usable rays only.
        rays: number of rays that the sensor sent, usable or not.
        config: the share of usable rays below which a sensor counts as blind.
    """
    usable = len(sweep.endpoints)
    if not 0 < usable <= rays or sweep.endpoints.shape != (usable, 2) or sweep.hit.shape != (usable,):
        return f"no usable rays among {rays}"
    if not _within(sweep.endpoints, _MAX_COORDINATE):
        return "an endpoint is not a usable number"
    if usable < config.min_usable_fraction * rays:
        return f"blind: only {usable} of {rays} rays are usable"
    return ""


def odometry_problem(odometry: Odometry, config: SupervisorConfig) -> str:
    """Return what is wrong with an odometry message, empty when nothing is."""
    if odometry.frame_id != config.odom_frame:
        return f"frame is '{odometry.frame_id}', expected '{config.odom_frame}'"
    if odometry.child_frame_id != config.base_frame:
        return f"child frame is '{odometry.child_frame_id}', expected '{config.base_frame}'"
    if not (_within(odometry.pose, _MAX_COORDINATE) and _within(odometry.twist, _MAX_TWIST)):
        return "pose or twist is not a usable number"
    if not (abs(odometry.height_m) <= _MAX_COORDINATE and abs(odometry.climb_mps) <= _MAX_TWIST):
        return "height or vertical speed is not a usable number"
    return ""


def _within(values: Floats, bound: float) -> bool:
    """Return whether all values are finite and not absurd (NaN compares false)."""
    return bool((np.abs(values) <= bound).all())
