"""Decides how much of a planned twist may pass, given the obstacles that the sensors see now.

Imagined obstacles can only reduce the speed, and only to a share of it: a wrong forecast costs time, and nothing
else. They take no part in the final checks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.geometry import compose
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import Fault, FaultKind
from edge_worldmodel.core.safety.limits import (
    REST,
    Motion,
    MotionLimits,
    limit_change,
    limit_tip_speed,
    limit_velocity,
    tip_speed_mps,
)
from edge_worldmodel.core.safety.motion.approach import Movers, approach_share
from edge_worldmodel.core.safety.motion.axis_braking import BesideArc, BrakingFan, beside_arc, leaves_arc
from edge_worldmodel.core.safety.motion.braking import (
    CLOSER_M,
    Brakes,
    PathCheck,
    RobotFootprint,
    allowed_s,
    allowed_share,
    arc_poses,
    check_path,
    seen_s,
)
from edge_worldmodel.core.types import Mask, Points, Pose, Twist
from edge_worldmodel.kernels.library import mark_near

_Rows = NDArray[np.int64]

_MIN_SHARE = 0.05
"""Below this share of the planned speed the robot stops."""
_IMAGINED_SHARE = 0.3
"""Smallest share of the planned speed to which imagined obstacles slow the robot down."""
_ALREADY_SEEN_M = 0.3
"""An imagined obstacle this close to a seen one is the seen one."""
_NOISE_CLOSER_M = 0.02
"""A point blocks the measured braking path only if that comes closer to it by more than the noise of odometry does."""
_DRIVES = np.array([0.1, 0.1, 0.2])
"""A measured twist above this, in m/s and rad/s, is more than noise."""
_SHOWS_WHEELS_MPS, _START_MPS = 0.08, 0.1
"""A car slower than the first does not show where its wheels point; it may start at the second in any case."""
_ROUNDING_MPS = 1e-6

_REACH_SAMPLES, _REACH_SLACK_M = 9, 0.02
"""Number of places of a path whose surroundings hold all points that matter, and half of a step of ``check_path``."""
_FENCE_SAMPLES = 9
"""Number of poses of the braking path at which the footprint must be inside the geofence."""


@dataclass(frozen=True)
class ObstaclePoints:
    """Points around the robot in the present base frame.

    Attributes:
        hits: obstacles (n, 2) that the sensors see.
        imagined: obstacles (k, 2) that the world model imagines.
        has_seen: tells for places (n, 2) whether a sensor has looked at them; None without sensors.
        movers: everything that may come into the robot's way.
    """

    hits: Points
    imagined: Points
    has_seen: Callable[[Points], Mask] | None
    movers: Movers = field(default_factory=Movers)


@dataclass(frozen=True)
class GateDecision:
    """Result of the gate.

    Attributes:
        motion: command that may pass; rest if there is a fault.
        fault: reason why nothing may pass, or None.
        slowed: whether the command is slower than planned.
        limits: names of everything that changed the command.
        clearance_m: smallest distance to an obstacle along the braking path; NaN if it was not checked.
    """

    motion: Motion = REST
    fault: Fault | None = None
    slowed: bool = False
    limits: tuple[str, ...] = ()
    clearance_m: float = math.nan


class PathGate:
    """Slows a planned twist down until the robot can stop in time, limits its change, and checks the result."""

    def __init__(self, config: SupervisorConfig) -> None:
        self._config = config
        self.limits = MotionLimits.from_config(config)
        self._level_brakes = self.brakes = Brakes.from_config(config)
        self.footprint = RobotFootprint(config.footprint, config.footprint_radius_m)
        self._fence = config.geofence
        correction = (config.max_correction_mps, config.max_correction_mps, config.max_correction_radps)
        self._correction = np.array(correction) + 1e-6
        self._wheels_unknown = False

    def decide(
        self,
        planned: Twist,
        measured: Twist,
        previous: Motion,
        obstacles: ObstaclePoints,
        pose: Pose | None,
        dt_s: float,
        downhill: tuple[float, float] = (0.0, 0.0),
    ) -> GateDecision:
        """Decide what may pass in this tick.

        Args:
            planned: twist (3,) that the plan asks for.
            measured: measured twist (3,) of the robot.
            previous: previous command.
            obstacles: points around the robot.
            pose: (3,) in the frame of the geofence; None without a geofence.
            dt_s: time since the last tick.
            downhill: sine of the slope along the base's x and y axis; positive where the ground falls that way.
        """
        self.brakes = replace(self._level_brakes, downhill=downhill)
        # A car that hardly moves does not show where its wheels point, and they need time to turn.
        self._wheels_unknown = self.limits.curvature_radpm > 0.0 and abs(float(measured[0])) < _SHOWS_WHEELS_MPS
        if problem := self._slope_problem(planned, measured):
            return GateDecision(fault=Fault(FaultKind.SLOPE, problem))
        allowed, names, fault = self._slow_down(planned, obstacles)
        if fault is not None:
            return GateDecision(fault=fault)
        motion, shaping = limit_change(allowed, previous, self.limits, dt_s)
        creep_mps = max(tip_speed_mps(allowed, self.footprint.turning_reach_m), self._config.unseen_speed_mps)
        if "unseen" in names or creep_mps == self._config.unseen_speed_mps:
            motion = limit_tip_speed(motion, previous.twist, creep_mps, self.footprint.turning_reach_m, dt_s)
        # On its way from the command before, it may point where the robot cannot brake.
        if problem := self.brakes.slope_problem(motion.twist):
            return GateDecision(fault=Fault(FaultKind.SLOPE, problem))
        check = self._check(motion.twist, self.brakes.reaction_s, obstacles.hits)
        fault = self._final_fault(motion.twist, measured, check, obstacles.hits, pose)
        if fault is not None:
            return GateDecision(fault=fault, clearance_m=check.clearance_m)
        return GateDecision(motion=motion, slowed=bool(names), limits=(*names, *shaping), clearance_m=check.clearance_m)

    def _slope_problem(self, planned: Twist, measured: Twist) -> str:
        """Return why the robot may not drive on this slope; empty if it may."""
        drives = bool((np.abs(measured) > _DRIVES).any())
        return self.brakes.slope_problem(planned) or (self.brakes.slope_problem(measured) if drives else "")

    def _slow_down(self, planned: Twist, obstacles: ObstaclePoints) -> tuple[Twist, tuple[str, ...], Fault | None]:
        """Reduce the planned twist on its arc until the robot can stop gently before any obstacle it sees."""
        allowed, names = limit_velocity(planned, self.limits), []
        # A correction of the path may exceed the limits; without it the robot is as fast as planned.
        if (np.abs(allowed - planned) > self._correction).any():
            names.append("velocity")
        seen_share = self._seen_share(allowed, obstacles.has_seen)
        if seen_share < 1.0:
            allowed = allowed * seen_share
            names.append("unseen")
        share = self._share(allowed, obstacles.hits)
        if share < _MIN_SHARE:
            return allowed, (), Fault(FaultKind.OBSTACLE, "an obstacle is in the braking path")
        if share < 1.0:
            names.append("braking_path")
        approach = self._approach_share(allowed * share, obstacles.movers)
        if approach < 1.0:
            share *= approach
            names.append("approach")
        imagined_share = self._imagined_share(allowed, obstacles)
        if imagined_share < share:
            names.append("imagined")
        return allowed * min(share, imagined_share), tuple(names), None

    def _seen_share(self, twist: Twist, has_seen: Callable[[Points], Mask] | None) -> float:
        """Return the share of a twist at which the robot stops before places that no sensor has looked at.

        The share is not below that at which no point of the footprint is faster than ``unseen_speed_mps``.
        """
        tip_mps = tip_speed_mps(twist, self.footprint.turning_reach_m)
        if has_seen is None or tip_mps <= self._config.unseen_speed_mps:
            return 1.0
        reaction_s, braking_s = self.brakes.reaction_s, self.brakes.braking_s(twist)
        free_s = seen_s(twist, reaction_s + braking_s, self.footprint, has_seen)
        return max(allowed_share(free_s, reaction_s, braking_s), self._config.unseen_speed_mps / tip_mps)

    def _approach_share(self, twist: Twist, movers: Movers) -> float:
        """Return the share of a twist at which no mover touches the robot while it moves."""
        # The command is slowed down no faster than its limits allow; that of jerk delays the deceleration.
        deceleration_mps2 = min(self.brakes.deceleration_mps2, self._config.max_acceleration_mps2)
        delay_s = 0.5 * deceleration_mps2 / self._config.max_jerk_mps3
        reaction_s = self.brakes.reaction_s + delay_s
        brakes = replace(self.brakes, reaction_s=reaction_s, deceleration_mps2=deceleration_mps2)
        return approach_share(twist, movers, brakes, self.footprint, self._config.sensor_noise_m)

    def _imagined_share(self, twist: Twist, obstacles: ObstaclePoints) -> float:
        """Return the share of a twist that suits the obstacles that are only imagined."""
        imagined = self._in_reach(twist, obstacles.imagined)
        # The cheap check of all imagined points first: mostly none is in the way.
        if self._share(twist, imagined) >= 1.0:
            return 1.0
        return max(self._share(twist, _only_imagined(imagined, obstacles.hits)), _IMAGINED_SHARE)

    def _in_reach(self, twist: Twist, points: Points) -> Points:
        """Return those of the points (n, 2) that lie near the path of a twist; no other matters for slowing it down."""
        reaction_s = self.brakes.reaction_s + self._config.slowing_lead_s
        duration_s, reach_m = reaction_s + self.brakes.braking_s(twist), self.footprint.reach_m
        length_m = (math.hypot(twist[0], twist[1]) + abs(float(twist[2])) * reach_m) * duration_s
        places, beside = arc_poses(twist, np.linspace(0.0, duration_s, _REACH_SAMPLES)), self._beside(twist, reaction_s)
        places = (places if beside is None else np.concatenate((places, beside.poses)))[:, :2]
        # Between two places the path lies less than half of their distance outside of the box around them.
        beside_m = reach_m + self._config.safety_margin_m + self._config.sensor_noise_m + _REACH_SLACK_M
        beside_m += length_m / (_REACH_SAMPLES - 1)
        low, high = places.min(axis=0) - beside_m, places.max(axis=0) + beside_m
        x, y = points.T
        near: Points = points.take(np.flatnonzero((x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1])), axis=0)
        return near

    def _share(self, twist: Twist, points: Points) -> float:
        """Return the share of a twist at which the robot can stop gently before any of the points (n, 2)."""
        if not len(points):
            return 1.0
        reaction_s = self.brakes.reaction_s + self._config.slowing_lead_s
        free_s = self._check(twist, reaction_s, points, wants_clearance=False).free_s
        return allowed_share(free_s, reaction_s, self.brakes.braking_s(twist))

    def _check(
        self,
        twist: Twist,
        reaction_s: float,
        points: Points,
        closer_m: float = CLOSER_M,
        *,
        wants_clearance: bool = True,
    ) -> PathCheck:
        """Check the braking paths of a twist (3,): its arc, and where the base comes if it brakes its axes apart."""
        margin_m = self._config.safety_margin_m + self._config.sensor_noise_m
        duration_s, beside = reaction_s + self.brakes.braking_s(twist), self._beside(twist, reaction_s)
        check = check_path(
            twist,
            duration_s,
            points,
            self.footprint,
            margin_m,
            self._config.min_hits,
            beside=None if beside is None else (beside.poses, beside.times_s),
            closer_m=closer_m,
            wants_clearance=wants_clearance,
        )
        free_s = check.free_s
        if self._wheels_unknown and abs(float(twist[0])) > _START_MPS + _ROUNDING_MPS:
            # It may start slowly in any case, or a car close beside a wall could never come away.
            start_s = allowed_s(_START_MPS / abs(float(twist[0])), reaction_s, self.brakes.braking_s(twist))
            free_s = min(free_s, max(self._start_free_s(twist, duration_s, points), start_s))
        for fan in () if beside is None else beside.fans:
            free_s = min(free_s, self._fan_free_s(twist, reaction_s, fan, points))
        clearance_m = min(check.clearance_m, 0.0) if free_s < check.free_s else check.clearance_m
        return PathCheck(free_s, clearance_m)

    def _start_free_s(self, twist: Twist, duration_s: float, points: Points) -> float:
        """Return the path time until a car with its wheels fully to one side touches a point (n, 2); inf if never."""
        turn = np.array((0.0, 0.0, twist[0] * self.limits.curvature_radpm))
        straight = twist * (1.0, 1.0, 0.0)
        return min(
            check_path(
                way, duration_s, points, self.footprint, 0.0, self._config.min_hits, wants_clearance=False
            ).free_s
            for way in (straight - turn, straight + turn)
        )

    def _fan_free_s(self, twist: Twist, reaction_s: float, fan: BrakingFan, points: Points) -> float:
        """Return the path time until the robot may be at a point (n, 2) between its braking paths; inf if at none."""
        speed_mps = math.hypot(twist[0], twist[1])
        front_m = self.footprint.extent_m(twist[:2] / speed_mps)
        length_m = fan.distances_m(points, front_m + self._config.safety_margin_m + self._config.sensor_noise_m)
        reached = np.flatnonzero(length_m < math.inf)
        # A robot may always leave a point that it covers already.
        reached = reached[self.footprint.clearance(points[reached]) > 0.0]
        if len(reached) < self._config.min_hits:
            return math.inf
        nearest_m = float(np.sort(length_m[reached])[self._config.min_hits - 1])
        return reaction_s + max(nearest_m - front_m, 0.0) / speed_mps

    def _beside(self, twist: Twist, reaction_s: float) -> BesideArc | None:
        """Return where the base may come beside its arc; None if it stays on it."""
        if not leaves_arc(twist, self.brakes, self.footprint):
            return None
        is_car = self.limits.curvature_radpm > 0.0
        return beside_arc(twist, reaction_s, self.brakes, self.footprint, is_car=is_car)

    def _final_fault(
        self, twist: Twist, measured: Twist, check: PathCheck, hits: Points, pose: Pose | None
    ) -> Fault | None:
        """Return why the limited command must not pass, None if it may. There is no ``slowing_lead_s`` here."""
        if check.free_s < math.inf:
            text = "an obstacle appeared in the braking path, too close to slow down gently"
            return Fault(FaultKind.OBSTACLE, text)
        reaction_s = self.brakes.reaction_s
        if self._check(measured, reaction_s, hits, _NOISE_CLOSER_M, wants_clearance=False).free_s < math.inf:
            return Fault(FaultKind.OBSTACLE, "an obstacle is in the braking path of the measured motion")
        drives = bool((np.abs(measured) > _DRIVES).any())
        if pose is not None and not all(self._stays_inside(pose, way) for way in (twist, measured)[: 1 + drives]):
            return Fault(FaultKind.GEOFENCE_AHEAD, "the braking path leaves the geofence")
        return None

    def _stays_inside(self, pose: Pose, twist: Twist) -> bool:
        """Return whether the footprint stays inside the geofence until a twist (3,) is braked."""
        reaction_s = self.brakes.reaction_s
        times_s = np.linspace(0.0, reaction_s + self.brakes.braking_s(twist), _FENCE_SAMPLES)
        beside = self._beside(twist, reaction_s)
        poses = [arc_poses(twist, times_s)] + ([] if beside is None else [beside.poses])
        return self.footprint.is_inside(self._fence, compose(pose, np.concatenate(poses)))


def _only_imagined(imagined: Points, hits: Points) -> Points:
    """Return the imagined points (k, 2) that are not close to any of the seen ones (n, 2)."""
    if not len(imagined) or not len(hits):
        return imagined
    # Only points in neighbouring cells can be close, so the work grows with the points and not with their product.
    low = imagined.min(axis=0) - 2.0 * _ALREADY_SEEN_M
    columns, rows = (_cells(imagined.max(axis=0), low) + 3).tolist()
    cells = _cells(imagined, low)
    keys = cells[:, 0] + columns * cells[:, 1]
    points, starts = imagined.take(keys.argsort(kind="stable"), axis=0), np.zeros(columns * rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(keys, minlength=columns * rows), out=starts[1:])
    x, y = hits.T
    right, top = low + _ALREADY_SEEN_M * (np.array((columns, rows)) - 0.5)
    beside = (x > low[0] + 0.5 * _ALREADY_SEEN_M) & (x < right) & (y > low[1] + 0.5 * _ALREADY_SEEN_M) & (y < top)
    hits = hits.take(np.flatnonzero(beside), axis=0)
    near = mark_near(points, starts, hits, low, columns, _ALREADY_SEEN_M)
    if near is None:
        near = _mark_near(points, starts, hits, low, columns)
    kept: Points = points[~near]
    return kept


def _cells(points: Points, corner: Points) -> _Rows:
    """Return the cell (..., 2) as ix, iy of each point; cells begin at the corner (2,)."""
    return np.floor((points - corner) / _ALREADY_SEEN_M).astype(np.int64)


def _mark_near(points: Points, starts: _Rows, others: Points, corner: Points, columns: int) -> Mask:
    """Mark (k,) the points that lie near any of the others; the twin of the kernel."""
    near = np.zeros(len(points), dtype=np.bool_)
    middle = np.clip(_cells(others, corner) @ (1, columns), columns + 1, len(starts) - columns - 3)
    for row in (-columns, 0, columns):
        first, end = starts[middle + row - 1], starts[middle + row + 2]
        count = end - first
        other = np.repeat(np.arange(len(others)), count)
        point = np.arange(len(other)) + np.repeat(first - (np.cumsum(count) - count), count)
        apart = points[point] - others[other]
        near[point[(apart * apart).sum(axis=-1) <= _ALREADY_SEEN_M * _ALREADY_SEEN_M]] = True
    return near
