"""The robot's pose and twist at any recent time, interpolated from a bounded buffer of poses."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import numpy as np
from numpy.typing import ArrayLike

from edge_worldmodel.core.geometry import compose, interpolate_pose, relative
from edge_worldmodel.core.rejection import RejectedInputError, RejectionKind
from edge_worldmodel.core.stamps import StampGate
from edge_worldmodel.core.time_units import NS_PER_S
from edge_worldmodel.core.types import Floats, Pose, Twist

# A pose source without twists is differentiated over at least this time on each side, to average its noise.
_DIFFERENCE_NS = NS_PER_S // 10
# A step beyond these is a relocalisation and no motion of a robot.
_JUMP_M, _JUMP_RAD = 0.5, 0.8
_FASTEST_MPS, _FASTEST_RADPS = 20.0, 12.0
# Beyond any map; larger finite numbers could overflow later.
_LARGEST = 1e9


class PoseBuffer:
    """Recent base poses in a fixed frame, with twists where the source measures them.

    Args:
        capacity: poses kept.
        max_gap_s: longest time between two poses for interpolation between them.
        max_ahead_s: longest time after the newest pose for which the last twist is extrapolated.
    """

    def __init__(self, capacity: int = 2000, max_gap_s: float = 0.5, max_ahead_s: float = 0.15) -> None:
        """Start empty."""
        self._capacity = max(2, capacity)
        self._max_gap_ns = int(max_gap_s * NS_PER_S)
        self._max_ahead_ns = int(max_ahead_s * NS_PER_S)
        self.clear()

    def clear(self) -> None:
        """Forget every pose and every stamp."""
        self._gate = StampGate()
        self._forget()

    def _forget(self) -> None:
        self._stamps_ns: list[int] = []
        self._poses: list[Pose] = []
        self._twists: list[Twist | None] = []

    @property
    def newest_ns(self) -> int | None:
        """Stamp of the newest pose, None while there is none."""
        return self._stamps_ns[-1] if self._stamps_ns else None

    def reaches(self, stamp_ns: int) -> bool:
        """Return whether the poses reach a time, by extrapolation at most."""
        return bool(self._stamps_ns) and stamp_ns <= self._stamps_ns[-1] + self._max_ahead_ns

    def add(self, stamp_ns: int, pose: ArrayLike, twist: ArrayLike | None = None) -> RejectionKind | None:
        """Keep a pose.

        Args:
            stamp_ns: its stamp, later than the last one.
            pose: (x_m, y_m, yaw_rad) of the base in the fixed frame.
            twist: (vx_mps, vy_mps, yaw_rate_radps) in the base frame, where the source measures it.

        Returns:
            CLOCK_RESET or POSE_JUMP when all older poses were dropped because of this one, else None.

        Raises:
            RejectedInputError: POSE_NOT_FINITE or a cause of StampGate; the buffer stays as it was.
        """
        pose = _finite_triple("pose", pose)
        twist = None if twist is None else _finite_triple("twist", twist)
        note = RejectionKind.CLOCK_RESET if self._gate.admit(stamp_ns, "poses") else None
        if note is None and self._poses and self._is_jump(stamp_ns, pose):
            note = RejectionKind.POSE_JUMP
        if note is not None:
            self._forget()
        self._stamps_ns.append(stamp_ns)
        self._poses.append(pose)
        self._twists.append(twist)
        if len(self._stamps_ns) > self._capacity:
            del self._stamps_ns[0], self._poses[0], self._twists[0]
        return note

    def _is_jump(self, stamp_ns: int, pose: Pose) -> bool:
        step = np.abs(relative(self._poses[-1], pose))
        elapsed_s = (stamp_ns - self._stamps_ns[-1]) / NS_PER_S
        too_far = np.hypot(step[0], step[1]) > _JUMP_M + _FASTEST_MPS * elapsed_s
        return bool(too_far or step[2] > _JUMP_RAD + _FASTEST_RADPS * elapsed_s)

    def at(self, stamp_ns: int) -> tuple[Pose, Twist]:
        """Return the pose in the fixed frame and the twist in the base frame at a time, both (3,).

        Raises:
            RejectedInputError: NO_POSE, the time is outside of the buffer or in a gap.
        """
        if not self._stamps_ns:
            raise RejectedInputError(
                RejectionKind.NO_POSE, "no pose of the robot has come yet: is the source of ego_motion running?"
            )
        after = bisect_left(self._stamps_ns, stamp_ns)
        if after < len(self._stamps_ns) and self._stamps_ns[after] == stamp_ns:
            return self._poses[after].copy(), self._twist_near(stamp_ns, after)
        if after == 0:
            raise RejectedInputError(
                RejectionKind.NO_POSE, f"no pose as old as {stamp_ns} ns: the oldest is of {self._stamps_ns[0]} ns"
            )
        if after == len(self._stamps_ns):
            return self._ahead(stamp_ns)
        start_ns, end_ns = self._stamps_ns[after - 1], self._stamps_ns[after]
        if end_ns - start_ns > self._max_gap_ns:
            gap_s = (end_ns - start_ns) / NS_PER_S
            raise RejectedInputError(
                RejectionKind.NO_POSE, f"stamp {stamp_ns} ns lies in a gap of {gap_s:.2f} s between poses"
            )
        fraction = (stamp_ns - start_ns) / (end_ns - start_ns)
        return interpolate_pose(self._poses[after - 1], self._poses[after], fraction), self._twist_near(stamp_ns, after)

    def _ahead(self, stamp_ns: int) -> tuple[Pose, Twist]:
        ahead_ns = stamp_ns - self._stamps_ns[-1]
        if ahead_ns > self._max_ahead_ns:
            raise RejectedInputError(
                RejectionKind.NO_POSE,
                f"stamp {stamp_ns} ns is {ahead_ns / NS_PER_S:.3f} s past the newest pose: the source of ego_motion is"
                " late, has stopped, or has another clock than the sensor",
            )
        twist = self._twist_near(self._stamps_ns[-1], len(self._stamps_ns) - 1)
        return extrapolate(self._poses[-1], twist, ahead_ns / NS_PER_S), twist

    def _twist_near(self, stamp_ns: int, after: int) -> Twist:
        before = max(after - 1, 0)
        start, end = self._twists[before], self._twists[after]
        if start is None or end is None:
            return self._difference(stamp_ns)
        span_ns = self._stamps_ns[after] - self._stamps_ns[before]
        fraction = (stamp_ns - self._stamps_ns[before]) / span_ns if span_ns else 1.0
        twist: Twist = start + fraction * (end - start)
        return twist

    def _difference(self, stamp_ns: int) -> Twist:
        first = max(bisect_right(self._stamps_ns, stamp_ns - _DIFFERENCE_NS) - 1, 0)
        last = min(bisect_left(self._stamps_ns, stamp_ns + _DIFFERENCE_NS), len(self._stamps_ns) - 1)
        elapsed_s = (self._stamps_ns[last] - self._stamps_ns[first]) / NS_PER_S
        if elapsed_s <= 0.0:
            return np.zeros(3)
        step = relative(self._poses[first], self._poses[last])
        # The chord of the arc, in the base frame halfway along the turn.
        middle = np.array([0.0, 0.0, 0.5 * step[2]])
        chord = relative(middle, np.array([step[0], step[1], 0.0]))
        return np.array([chord[0], chord[1], step[2]]) / elapsed_s


def extrapolate(pose: ArrayLike, twist: ArrayLike, time_s: float) -> Pose:
    """Return the pose (3,) after ``time_s`` of motion with a constant base twist (3,), along an arc."""
    vx, vy, rate = np.asarray(twist, dtype=np.float64)
    turn = rate * time_s
    # sin(turn) / turn and (1 - cos(turn)) / turn, also for a turn of zero
    along = np.sinc(turn / np.pi)
    across = 0.5 * turn * np.sinc(0.5 * turn / np.pi) ** 2
    step = np.array([along * vx - across * vy, across * vx + along * vy, 0.0]) * time_s
    step[2] = turn
    return compose(pose, step)


def _finite_triple(name: str, values: ArrayLike) -> Floats:
    triple = np.array(values, dtype=np.float64)
    if triple.shape != (3,) or not np.all(np.abs(triple) < _LARGEST):  # false for NaN
        raise RejectedInputError(
            RejectionKind.POSE_NOT_FINITE, f"{name} {triple.tolist()}: expected three numbers within {_LARGEST:g}"
        )
    return triple
