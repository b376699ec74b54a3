"""Getting out where the robot is boxed in: turn towards the opening, or back off along what was driven.

Both only where the grid shows observed, free cells, and never closer to anything than the robot stands already.
What comes of it is a candidate like the others: imagined, scored, and supervised.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.geometry import relative, wrap_angle
from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.planner.candidates.driving import roll_out
from edge_worldmodel.core.planner.guidance.local_map import ROUNDING_M, LocalMap, cells_of, clearance, lookup, too_close
from edge_worldmodel.core.planner.robot_limits import DT_S, STEPS, RobotLimits
from edge_worldmodel.core.types import Floats, LatentFrame

_BEARINGS = np.linspace(-np.pi, np.pi, 180, endpoint=False)
_RAY_M = np.arange(0.1, 3.01, 0.1)
_OPEN_M = 0.7
"""Free way in a direction that makes it an opening."""
_FACING_RAD = 0.3
_STEERING_S = 1.5
"""A robot that nearly faces an opening turns towards it within this time, driving."""
_ROOM_M = 1.0
"""Who can get this far without coming closer to anything than wanted is not boxed in."""
_SLOWLY = 0.35
"""Share of the highest speed at which a recovery drives."""
_TRAIL_STEP_M = 0.1
_WORTH_M, _WORTH_RAD = 0.2, 0.2
_LOOSER_M = 0.1
"""Half a cell, within which a clearance counts as the same."""
_LEAST_M = 0.05
"""Neither occupied cells nor those beside them are ever part of a way out."""


@dataclass(frozen=True)
class RecoveryConfig(Config):
    """When a robot counts as stuck."""

    stuck_after_s: float = param(
        4.0, "time without getting anywhere after which a way out is looked for; 0: never", minimum=0.0, maximum=600.0
    )
    stuck_within_m: float = param(0.3, "way that counts as getting somewhere", minimum=0.05, maximum=5.0)
    trail_m: float = param(3.0, "driven way that is remembered for backing off", minimum=0.0, maximum=20.0)


@dataclass(frozen=True)
class Escape:
    """A way out as one more candidate: targets (T, 2), and why in words."""

    name: str
    targets: Floats
    reason: str


class Recovery:
    """Notices from frame to frame that the robot is stuck, and looks for the way out."""

    def __init__(self, limits: RobotLimits, clear_m: float, config: RecoveryConfig | None = None) -> None:
        """Watch a robot whose paths want ``clear_m`` of clearance."""
        self.config = config or RecoveryConfig()
        self._limits, self._clear_m = limits, clear_m
        self._trail: deque[Floats] = deque(maxlen=max(round(self.config.trail_m / _TRAIL_STEP_M), 1))
        self._place: Floats | None = None
        self._since_ns, self._stuck_s, self._escaping = 0, 0.0, False

    def watch(self, frame: LatentFrame, goal: ArrayLike | None) -> float:
        """Note a frame and return for how long the robot has got nowhere although it wants to, in seconds."""
        if not self._trail or np.hypot(*(frame.pose - self._trail[-1])[:2]) >= _TRAIL_STEP_M:
            self._trail.append(frame.pose.copy())
        here = frame.pose[:2]
        moved = self._place is None or np.hypot(*(here - self._place)) > self.config.stuck_within_m
        if goal is None or moved or frame.stamp_ns < self._since_ns:
            self._place, self._since_ns = here.copy(), frame.stamp_ns
        self._stuck_s = (frame.stamp_ns - self._since_ns) * 1e-9
        return self._stuck_s

    def escape(self, frame: LatentFrame, surroundings: LocalMap, towards_rad: float) -> Escape | None:
        """Return the way out, None while the robot is not boxed in or where there is none.

        Args:
            frame: the present.
            surroundings: what is seen now.
            towards_rad: bearing of the way to the goal; of openings alike the one nearest to it is taken.
        """
        stuck_s = self._stuck_s
        waited = self._escaping or stuck_s >= self.config.stuck_after_s
        self._escaping = self.config.stuck_after_s > 0.0 and waited and boxed_in(surroundings, self._clear_m)
        if not self._escaping:
            return None
        needed_m = self._needed_m(surroundings)
        bearing = opening(surroundings, needed_m, towards_rad)
        # Facing the opening for long has not helped: try the way back, in turn.
        in_vain = bearing is not None and abs(bearing) <= _FACING_RAD and stuck_s // self.config.stuck_after_s % 3 == 2
        if bearing is None or in_vain:
            backing = self._back_off(frame, surroundings, needed_m, stuck_s)
            if bearing is None or backing is not None:
                return backing
        turning = self._checked("recover_turn", self._turn(bearing), frame, surroundings, needed_m, stuck_s, bearing)
        # A car does not turn on the spot.
        return turning or self._back_off(frame, surroundings, needed_m, stuck_s)

    def _needed_m(self, surroundings: LocalMap) -> float:
        """Return the clearance in the grid that the way out keeps: what is wanted, or about what there is now.

        The grid counts a cell that is touched as full, so that it shows up to a cell less than there is. The
        supervisor, which sees the raw data, has the last word on it.
        """
        here_m = float(lookup(surroundings.clearance_m, np.zeros(2)))
        return max(min(self._clear_m, here_m) - _LOOSER_M, _LEAST_M)

    def _turn(self, bearing: float) -> Floats:
        """Turn towards a bearing on the spot, then go slowly ahead; nearly facing it, turn on the way."""
        rate, slow_mps = 0.5 * self._limits.max_yaw_rate_radps, _SLOWLY * self._limits.max_speed_mps
        turning_s = abs(bearing) / rate
        targets = np.tile([slow_mps, 0.0], (STEPS, 1))
        if abs(bearing) <= _FACING_RAD:
            targets[: round(_STEERING_S / DT_S), 1] = bearing / _STEERING_S
        else:
            targets[: round(turning_s / DT_S)] = 0.0, math.copysign(rate, bearing)
        return targets

    def _back_off(self, frame: LatentFrame, surroundings: LocalMap, needed_m: float, stuck_s: float) -> Escape | None:
        if self._limits.min_speed_mps >= 0.0 or len(self._trail) < 3:
            return None
        behind = relative(frame.pose, np.stack(self._trail))[::-1, :2]
        behind = behind[np.hypot(*behind.T) > 2 * _TRAIL_STEP_M]
        if not len(behind) or behind[0, 0] > 0.0:
            return None  # what was driven last does not lie behind
        aim = behind[min(3, len(behind) - 1)]
        speed = _SLOWLY * self._limits.min_speed_mps
        # Pure pursuit backwards: the arc from here through the point aimed at.
        curvature = 2.0 * aim[1] / float(aim @ aim)
        targets = np.tile([speed, speed * curvature], (STEPS, 1))
        return self._checked("recover_back", targets, frame, surroundings, needed_m, stuck_s, None)

    def _checked(
        self,
        name: str,
        targets: Floats,
        frame: LatentFrame,
        surroundings: LocalMap,
        needed_m: float,
        stuck_s: float,
        bearing: float | None,
    ) -> Escape | None:
        """Return the part of a way out that leads over observed free cells, None where that is next to nothing."""
        poses, _ = roll_out(frame.twist, targets[None], self._limits)
        way = poses[0, :, :2]
        # No part of the footprint may come over cells that nobody has seen.
        unseen_m = lookup(clearance(surroundings.unknown), way)
        unseen = too_close(unseen_m, self._limits.radius_m - _LOOSER_M) & (unseen_m < unseen_m[0])
        bad = unseen | too_close(surroundings.clearance_at(way), needed_m)
        bad[0] = False
        if bad.any():
            braking_s = _SLOWLY * self._limits.max_speed_mps / self._limits.max_decel_mps2
            last = max(int(np.argmax(bad)) - 1 - math.ceil(braking_s / DT_S), 0)
            targets = targets.copy()
            targets[last:] = 0.0
            poses, _ = roll_out(frame.twist, targets[None], self._limits)
        end = poses[0, -1]
        if np.hypot(end[0], end[1]) < _WORTH_M and abs(wrap_angle(end[2])) < _WORTH_RAD:
            return None
        said = "backing off along what was driven" if bearing is None else f"opening at {math.degrees(bearing):.0f} deg"
        return Escape(name, targets, f"boxed in for {stuck_s:.0f} s: {said}")


def boxed_in(surroundings: LocalMap, clear_m: float) -> bool:
    """Return whether the robot cannot get a metre away without coming closer to something than ``clear_m``."""
    passable = ~too_close(surroundings.clearance_m, clear_m)
    iy, ix = cells_of(np.zeros(2))
    start: NDArray[np.bool_] = np.zeros_like(passable)
    start[iy - 1 : iy + 1, ix - 1 : ix + 1] = True  # the robot stands where four cells meet
    _, labels = cv2.connectedComponents((passable | start).astype(np.uint8), connectivity=4)
    reachable = labels == labels[iy, ix]
    centres = np.argwhere(reachable) + 0.5 - 0.5 * len(reachable)
    farthest_m = float(np.hypot(*centres.T).max()) * EGO_GRID.cell_size_m
    return farthest_m < _ROOM_M


def opening(surroundings: LocalMap, needed_m: float, towards_rad: float) -> float | None:
    """Return the bearing with the longest observed free way that keeps ``needed_m``, None where there is none."""
    rays = np.stack([np.cos(_BEARINGS), np.sin(_BEARINGS)], axis=-1)[:, None] * _RAY_M[:, None]
    blocked = surroundings.unknown[cells_of(rays)] | too_close(surroundings.clearance_at(rays), needed_m - ROUNDING_M)
    free_m = np.where(blocked.any(axis=1), blocked.argmax(axis=1), len(_RAY_M)) * _RAY_M[0]
    off = np.abs(wrap_angle(_BEARINGS - towards_rad))
    best = int(np.argmax(free_m - 0.1 * off))
    if free_m[best] < _OPEN_M:
        return None
    # The middle of the rays that lead as far: what one cell shows is too coarse to pass a gap by.
    as_far = np.roll(free_m >= free_m[best] - 2.0 * EGO_GRID.cell_size_m, len(_BEARINGS) // 2 - best)
    middle = len(_BEARINGS) // 2
    right = middle - int(np.argmin(as_far[middle::-1])) + 1 if not as_far[: middle + 1].all() else 0
    left = middle + int(np.argmin(as_far[middle:])) - 1 if not as_far[middle:].all() else len(_BEARINGS) - 1
    return float(wrap_angle(_BEARINGS[best] + (0.5 * (left + right) - middle) * (_BEARINGS[1] - _BEARINGS[0])))
