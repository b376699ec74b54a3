"""Recovery: noticing that the robot is boxed in, and proposing an escape.

The robot turns towards an opening, or backs off along the path it has driven. It does so only over cells that were
observed free, and never closer to an obstacle than it is already. The escape is a candidate like the others: it is
imagined, scored and supervised.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import ArrayLike

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.geometry import relative, wrap_angle
from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.planner.candidates.driving import roll_out
from edge_worldmodel.core.planner.guidance.local_map import ROUNDING_M, LocalMap, cells_of, clearance, lookup, too_close
from edge_worldmodel.core.planner.guidance.outlook import Outlook
from edge_worldmodel.core.planner.robot_limits import DT_S, STEPS, RobotLimits
from edge_worldmodel.core.time_units import to_seconds
from edge_worldmodel.core.types import Floats, LatentFrame, Mask, Points, Pose

_BEARINGS = np.linspace(-np.pi, np.pi, 180, endpoint=False)
_RAY_M = np.arange(0.1, 3.01, 0.1)
_OPEN_M = 0.7
"""Free distance in a direction that makes it an opening."""
_FACING_RAD = 0.3
"""A robot that faces an opening to within this angle turns while it drives."""
_STEERING_S = 1.5
"""Time within which a robot that nearly faces an opening turns to it."""
_FREE_M = 1.0
"""A robot that can get this far away with the clearance it wants is not boxed in."""
_SPEED_SHARE = 0.35
"""Share of the highest speed at which an escape is driven."""
_TRAIL_STEP_M = 0.1
_MIN_WAY_M, _MIN_TURN_RAD = 0.2, 0.2
"""Least way and turn of an escape; a smaller one would not change the situation."""
_TOLERANCE_M = 0.1
"""Half a cell; clearances that differ by less count as the same."""
_MIN_CLEARANCE_M = 0.05
"""Keeps an escape out of occupied cells and their neighbours."""


@dataclass(frozen=True)
class RecoveryConfig(Config):
    """When a robot counts as stuck."""

    stuck_after_s: float = param(
        4.0, "time without progress after which the robot looks for an escape; 0: never", minimum=0.0, maximum=600.0
    )
    stuck_within_m: float = param(0.3, "distance that counts as progress", minimum=0.05, maximum=5.0)
    trail_m: float = param(3.0, "length of the driven path that is kept for backing off", minimum=0.0, maximum=20.0)


@dataclass(frozen=True)
class Escape:
    """A further candidate, which leads a boxed-in robot out.

    Attributes:
        name: of the maneuver.
        targets: (T, 2) speed and yaw rate.
        reason: for people.
    """

    name: str
    targets: Floats
    reason: str


class Recovery:
    """Notices over several frames that the robot is stuck, and then looks for an escape."""

    def __init__(self, limits: RobotLimits, clear_m: float, config: RecoveryConfig | None = None) -> None:
        """Watch a robot whose paths keep ``clear_m`` of clearance from its centre."""
        self.config = config or RecoveryConfig()
        self._limits, self._clear_m = limits, clear_m
        self._trail: deque[Pose] = deque(maxlen=max(round(self.config.trail_m / _TRAIL_STEP_M), 1))
        self._place: Points | None = None
        self._since_ns, self._stuck_s, self._escaping = 0, 0.0, False

    def watch(self, frame: LatentFrame, goal: ArrayLike | None) -> float:
        """Note a frame; return the seconds for which the robot has made no progress although it has a goal."""
        if not self._trail or np.hypot(*(frame.pose - self._trail[-1])[:2]) >= _TRAIL_STEP_M:
            self._trail.append(frame.pose.copy())
        position = frame.pose[:2]
        moved = self._place is None or np.hypot(*(position - self._place)) > self.config.stuck_within_m
        if goal is None or moved or frame.stamp_ns < self._since_ns:
            self._place, self._since_ns = position.copy(), frame.stamp_ns
        self._stuck_s = to_seconds(frame.stamp_ns - self._since_ns)
        return self._stuck_s

    def escape(self, frame: LatentFrame, outlook: Outlook) -> Escape | None:
        """Return an escape; None if the robot is not boxed in, or if there is no way out."""
        seen, stuck_s = outlook.seen, self._stuck_s
        waited = self._escaping or stuck_s >= self.config.stuck_after_s
        self._escaping = self.config.stuck_after_s > 0.0 and waited and boxed_in(seen, self._clear_m)
        if not self._escaping:
            return None
        needed_m = self._needed_m(seen)
        bearing = opening(seen, needed_m, float(outlook.cost_to_go.heading(np.zeros(2))))
        # If facing the opening has not helped for some time, backing off is tried for a while, then the opening again.
        in_vain = bearing is not None and abs(bearing) <= _FACING_RAD and stuck_s // self.config.stuck_after_s % 3 == 2
        if bearing is None or in_vain:
            backing = self._back_off(frame, seen, needed_m, stuck_s)
            if bearing is None or backing is not None:
                return backing
        reason = f"boxed in for {stuck_s:.0f} s: opening at {math.degrees(bearing):.0f} deg"
        turning = self._checked(Escape("recover_turn", self._turn(bearing), reason), frame, seen, needed_m)
        # A car, which cannot turn on the spot, backs off instead.
        return turning or self._back_off(frame, seen, needed_m, stuck_s)

    def _needed_m(self, seen: LocalMap) -> float:
        """Return the clearance that an escape keeps: the wanted one, or the present one if that is less.

        Half a cell is subtracted, because the grid shows up to a cell less than there is. The supervisor still checks
        the raw data.
        """
        present_m = float(lookup(seen.clearance_m, np.zeros(2)))
        return max(min(self._clear_m, present_m) - _TOLERANCE_M, _MIN_CLEARANCE_M)

    def _turn(self, bearing: float) -> Floats:
        """Return targets (T, 2): turn towards a bearing, then drive slowly; if nearly facing it, turn on the way."""
        rate_radps, slow_mps = 0.5 * self._limits.max_yaw_rate_radps, _SPEED_SHARE * self._limits.max_speed_mps
        turning_s = abs(bearing) / rate_radps
        targets = np.tile([slow_mps, 0.0], (STEPS, 1))
        if abs(bearing) <= _FACING_RAD:
            targets[: round(_STEERING_S / DT_S), 1] = bearing / _STEERING_S
        else:
            targets[: round(turning_s / DT_S)] = 0.0, math.copysign(rate_radps, bearing)
        return targets

    def _back_off(self, frame: LatentFrame, seen: LocalMap, needed_m: float, stuck_s: float) -> Escape | None:
        """Return an escape backwards along the driven path; None if that is not possible."""
        if self._limits.min_speed_mps >= 0.0 or len(self._trail) < 3:
            return None
        behind = relative(frame.pose, np.stack(self._trail))[::-1, :2]
        behind = behind[np.hypot(*behind.T) > 2 * _TRAIL_STEP_M]
        if not len(behind) or behind[0, 0] > 0.0:
            return None  # the robot has turned since: the driven path does not lie behind it
        aim = behind[min(3, len(behind) - 1)]
        speed_mps = _SPEED_SHARE * self._limits.min_speed_mps
        # Pure pursuit backwards: the arc through a point of the driven path.
        curvature = 2.0 * aim[1] / float(aim @ aim)
        targets = np.tile([speed_mps, speed_mps * curvature], (STEPS, 1))
        reason = f"boxed in for {stuck_s:.0f} s: backing off along the driven path"
        return self._checked(Escape("recover_back", targets, reason), frame, seen, needed_m)

    def _checked(self, escape: Escape, frame: LatentFrame, seen: LocalMap, needed_m: float) -> Escape | None:
        """Return an escape that stops before it leaves observed free cells; None if it is then too short."""
        poses, _ = roll_out(frame.twist, escape.targets[None], self._limits)
        path = poses[0, :, :2]
        # No part of the footprint may enter cells that have not been observed.
        unknown_m = lookup(clearance(seen.unknown), path)
        over_unknown = too_close(unknown_m, self._limits.radius_m - _TOLERANCE_M) & (unknown_m < unknown_m[0])
        refused = over_unknown | too_close(seen.clearance_at(path), needed_m)
        refused[0] = False
        if refused.any():
            braking_s = _SPEED_SHARE * self._limits.max_speed_mps / self._limits.max_decel_mps2
            last = max(int(np.argmax(refused)) - 1 - math.ceil(braking_s / DT_S), 0)
            targets = escape.targets.copy()
            targets[last:] = 0.0
            escape = replace(escape, targets=targets)
            poses, _ = roll_out(frame.twist, targets[None], self._limits)
        end = poses[0, -1]
        hardly_moves = np.hypot(end[0], end[1]) < _MIN_WAY_M and abs(wrap_angle(end[2])) < _MIN_TURN_RAD
        return None if hardly_moves else escape


def boxed_in(seen: LocalMap, clear_m: float) -> bool:
    """Return whether the robot cannot get a metre away without coming closer to an obstacle than ``clear_m``."""
    passable = ~too_close(seen.clearance_m, clear_m)
    iy, ix = cells_of(np.zeros(2))
    start: Mask = np.zeros_like(passable)
    start[iy - 1 : iy + 1, ix - 1 : ix + 1] = True  # four cells meet at the robot's centre
    _, labels = cv2.connectedComponents((passable | start).astype(np.uint8), connectivity=4)
    reachable = labels == labels[iy, ix]
    centres = np.argwhere(reachable) + 0.5 - 0.5 * len(reachable)
    farthest_m = float(np.hypot(*centres.T).max()) * EGO_GRID.cell_size_m
    return farthest_m < _FREE_M


def opening(seen: LocalMap, needed_m: float, towards_rad: float) -> float | None:
    """Return the bearing of the longest straight way over observed free cells, None if all are too short.

    Args:
        seen: the present frame.
        needed_m: clearance that the way keeps.
        towards_rad: bearing of the way to the goal; it decides between equally good openings.
    """
    rays = np.stack([np.cos(_BEARINGS), np.sin(_BEARINGS)], axis=-1)[:, None] * _RAY_M[:, None]
    blocked = seen.unknown[cells_of(rays)] | too_close(seen.clearance_at(rays), needed_m - ROUNDING_M)
    free_m = np.where(blocked.any(axis=1), blocked.argmax(axis=1), len(_RAY_M)) * _RAY_M[0]
    detour_rad = np.abs(wrap_angle(_BEARINGS - towards_rad))
    best = int(np.argmax(free_m - 0.1 * detour_rad))
    if free_m[best] < _OPEN_M:
        return None
    # A gap is passed in the middle of all rays that lead about as far: a single cell is too coarse to aim at.
    as_far = np.roll(free_m >= free_m[best] - 2.0 * EGO_GRID.cell_size_m, len(_BEARINGS) // 2 - best)
    middle = len(_BEARINGS) // 2
    right = middle - int(np.argmin(as_far[middle::-1])) + 1 if not as_far[: middle + 1].all() else 0
    left = middle + int(np.argmin(as_far[middle:])) - 1 if not as_far[middle:].all() else len(_BEARINGS) - 1
    return float(wrap_angle(_BEARINGS[best] + (0.5 * (left + right) - middle) * (_BEARINGS[1] - _BEARINGS[0])))
