"""Checks whether the braking path, the swept footprint from now until standstill, is clear of obstacles.

Positions on the path are given as path time: the time in which the twist would get there at unchanged speed. A twist
scaled by a share s <= 1 keeps its arc, and needs a path time of s * reaction + s^2 * braking until standstill.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edge_worldmodel.core.geometry import signed_distance, transform_points
from edge_worldmodel.core.polygon import is_inside
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.types import Floats, Mask, Points, Pose, Twist
from edge_worldmodel.kernels.library import sweep_footprint

_STEP_M = 0.04
_MAX_STEPS = 64
CLOSER_M = 1e-6
"""A point blocks only motions that come closer to it by more than this, so the robot can always move away."""
_GRAVITY_MPS2 = 9.81
_LEAST_DECELERATION = 0.2
"""Share of the level deceleration that must remain downhill; with less the robot may not drive there."""
_ROUNDING_M = 1e-9
"""Rounding moves a distance by less than this."""
_SAMPLE_M, _LOOK_STEP_M, _MAX_SAMPLES, _MAX_LOOK_STEPS = 0.1, 0.1, 48, 8
"""Spacing and greatest number of the places at which the swept area must have been looked at."""
_BESIDE_M = 0.05
"""Places this close to the present footprint need not have been looked at."""


@dataclass(frozen=True)
class RobotFootprint:
    """Outline of the robot on the ground.

    Attributes:
        outline: corners (n, 2) in the base frame; empty for a circle.
        radius_m: radius of the circle around the base.
    """

    outline: Points
    radius_m: float

    @functools.cached_property
    def reach_m(self) -> float:
        """Distance of the farthest point of the footprint from the base."""
        return float(np.hypot(*self.outline.T).max()) if len(self.outline) else self.radius_m

    @cached_property
    def turning_reach_m(self) -> float:
        """Distance of the farthest point that comes to a new place when the robot turns on the spot; 0 for a circle."""
        return self.reach_m if len(self.outline) else 0.0

    @cached_property
    def inner_radius_m(self) -> float:
        """Radius of the largest circle around the base that the footprint holds."""
        return float(-self.clearance(np.zeros((1, 2)))[0])

    @cached_property
    def samples(self) -> Points:
        """Points (n, 2) along the outline."""
        if not len(self.outline):
            angles = np.linspace(0.0, 2.0 * np.pi, _count(2.0 * np.pi * self.radius_m), endpoint=False)
            return self.radius_m * np.stack((np.cos(angles), np.sin(angles)), axis=-1)
        ends = np.concatenate((self.outline, self.outline[:1]))
        along_m = np.concatenate(([0.0], np.hypot(*np.diff(ends, axis=0).T).cumsum()))
        even_m = np.linspace(0.0, along_m[-1], _count(float(along_m[-1])), endpoint=False)
        at_m = np.unique(np.concatenate((along_m[:-1], even_m)))
        return np.stack((np.interp(at_m, along_m, ends[:, 0]), np.interp(at_m, along_m, ends[:, 1])), axis=-1)

    def clearance(self, points: Points) -> Floats:
        """Return the distance (...) in metres of points (..., 2) to the footprint, negative inside."""
        if len(self.outline):
            return signed_distance(self.outline, points)
        return np.sqrt((points * points).sum(axis=-1)) - self.radius_m

    def extent_m(self, direction: Points) -> float:
        """Return how far it reaches in a direction (2,) of length 1 in the base frame."""
        return float((self.outline @ direction).max()) if len(self.outline) else self.radius_m

    def is_inside(self, fence: Points, poses: Pose) -> bool:
        """Return whether the whole footprint stays inside a polygon (m, 2) at all poses (k, 3)."""
        if len(self.outline):
            return bool(is_inside(transform_points(poses, self.outline), fence).all())
        return bool((signed_distance(fence, poses[:, :2]) <= -self.radius_m).all())


@dataclass(frozen=True)
class Brakes:
    """How the drive base stops: ``reaction_s`` at unchanged speed, then the decelerations (without the slip).

    Attributes:
        downhill: sine of the slope along the base's x and y axis; positive where the ground falls that way.
    """

    reaction_s: float
    deceleration_mps2: float
    yaw_deceleration_radps2: float
    downhill: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def from_config(cls, config: SupervisorConfig) -> Brakes:
        """Take the values from the supervisor's parameters."""
        share = 1.0 - config.slip
        return cls(
            reaction_s=config.reaction_time_s,
            deceleration_mps2=config.braking_deceleration_mps2 * share,
            yaw_deceleration_radps2=config.braking_yaw_deceleration_radps2 * share,
        )

    def deceleration(self, twist: Twist) -> float:
        """Return the deceleration of a twist (3,) on this slope, at least a share of that on level ground."""
        return max(self.deceleration_mps2 - self._pull_mps2(twist), _LEAST_DECELERATION * self.deceleration_mps2)

    def slope_problem(self, twist: Twist) -> str:
        """Return why a twist (3,) cannot be braked on this slope; empty if it can."""
        left_mps2 = self.deceleration_mps2 - self._pull_mps2(twist)
        if left_mps2 >= _LEAST_DECELERATION * self.deceleration_mps2:
            return ""
        slope = math.degrees(math.asin(min(self._pull_mps2(twist) / _GRAVITY_MPS2, 1.0)))
        return (
            f"the robot cannot brake downhill here: {slope:.1f} degrees take {self._pull_mps2(twist):.2f} of"
            f" {self.deceleration_mps2:.2f} m/s^2"
        )

    def braking_s(self, twist: Twist) -> float:
        """Return the path time of braking from a twist (3,): v / 2a, half of the duration."""
        straight_s = math.hypot(twist[0], twist[1]) / (2.0 * self.deceleration(twist))
        return max(straight_s, abs(float(twist[2])) / (2.0 * self.yaw_deceleration_radps2))

    def _pull_mps2(self, twist: Twist) -> float:
        """Return how much gravity accelerates the robot along a twist (3,), at most while it turns; zero uphill."""
        vx, vy, rate = twist.tolist()
        steepness, speed_mps = math.hypot(*self.downhill), math.hypot(vx, vy)
        if not steepness or not speed_mps:
            return 0.0
        pull_mps2 = _GRAVITY_MPS2 * steepness
        angle_rad = math.copysign(1.0, rate) * (math.atan2(self.downhill[1], self.downhill[0]) - math.atan2(vy, vx))
        # From the motion to the way downhill, in the sense of the turn: it shrinks until the robot stands.
        angle_rad %= 2.0 * math.pi
        least_rad = max(angle_rad - self._turn_rad(speed_mps, abs(rate), pull_mps2), 0.0)
        return max(pull_mps2 * max(math.cos(angle_rad), math.cos(least_rad)), 0.0)

    def _turn_rad(self, speed_mps: float, rate_radps: float, pull_mps2: float) -> float:
        """Return how far the robot turns until it stands, if gravity pulls it along all the way."""
        least_mps2 = max(self.deceleration_mps2 - pull_mps2, _LEAST_DECELERATION * self.deceleration_mps2)
        braking_s = max(speed_mps / (2.0 * least_mps2), rate_radps / (2.0 * self.yaw_deceleration_radps2))
        return rate_radps * (self.reaction_s + braking_s)


@dataclass(frozen=True)
class PathCheck:
    """Result of a check along a path.

    Attributes:
        free_s: path time until an obstacle is too close; inf if none is.
        clearance_m: smallest distance between swept footprint and obstacles; inf without obstacles, NaN if not wanted.
    """

    free_s: float
    clearance_m: float


def _count(length_m: float) -> int:
    return min(math.ceil(length_m / _SAMPLE_M), _MAX_SAMPLES)


def arc_poses(twist: Twist, times_s: Floats) -> Pose:
    """Return the poses (n, 3) that a constant base twist (3,) reaches from the origin after times (n,)."""
    vx, vy, rate = twist.tolist()
    half = (0.5 * rate) * times_s
    cos, sin = np.cos(half), np.sin(half)
    chord_s = times_s if abs(rate) < 1e-9 else sin * (2.0 / rate)
    poses = np.empty((len(times_s), 3))
    poses[:, 0] = chord_s * (vx * cos - vy * sin)
    poses[:, 1] = chord_s * (vx * sin + vy * cos)
    poses[:, 2] = 2.0 * half
    return poses


def arc_pose(twist: Twist, time_s: float) -> Pose:
    """Return the pose (3,) that a constant base twist (3,) reaches after one time; faster than ``arc_poses``."""
    vx, vy, half = float(twist[0]), float(twist[1]), 0.5 * float(twist[2]) * time_s
    chord_s = time_s * (math.sin(half) / half if abs(half) > 1e-9 else 1.0)
    cos, sin = math.cos(half), math.sin(half)
    return np.array([chord_s * (vx * cos - vy * sin), chord_s * (vx * sin + vy * cos), 2.0 * half])


def check_path(
    twist: Twist,
    duration_s: float,
    points: Points,
    footprint: RobotFootprint,
    margin_m: float,
    min_hits: int = 1,
    *,
    beside: tuple[Pose, Floats] | None = None,
    closer_m: float = CLOSER_M,
    wants_clearance: bool = True,
) -> PathCheck:
    """Sweep the footprint along the arc of a twist and find the first obstacle.

    Args:
        twist: base twist (3,).
        duration_s: path time to check.
        points: obstacles (n, 2) in the present base frame.
        footprint: footprint of the robot.
        margin_m: distance to keep.
        min_hits: number of points within the margin that count as an obstacle.
        beside: poses (k, 3) beside the arc that are checked, too, and their path times (k,).
        closer_m: a point blocks only if the robot comes closer to it by more than this.
        wants_clearance: whether the clearance is wanted, too, which takes several times as long.
    """
    length_m = (math.hypot(twist[0], twist[1]) + abs(float(twist[2])) * footprint.reach_m) * duration_s
    steps = min(max(math.ceil(length_m / _STEP_M), 1), _MAX_STEPS)
    distance2 = points[:, 0] * points[:, 0] + points[:, 1] * points[:, 1]
    # Between two samples the footprint may come closer by up to half a step.
    step_m = length_m / steps
    kept_m = margin_m + 0.5 * step_m
    near = np.flatnonzero(distance2 < (footprint.reach_m + length_m + kept_m) ** 2)
    if not near.size:
        nearest_m = math.sqrt(distance2.min(initial=math.inf))
        return PathCheck(math.inf, nearest_m - footprint.reach_m - length_m)
    times_s: Floats = np.arange(steps + 1, dtype=np.float64) * (duration_s / steps)
    arc, near_points = arc_poses(twist, times_s), points.take(near, axis=0)
    if beside is not None:
        arc, times_s = np.concatenate((arc, beside[0])), np.concatenate((times_s, beside[1]))
    poses = turned(arc)
    compiled = sweep_footprint(
        footprint.outline,
        footprint.radius_m,
        poses,
        step_m,
        near_points,
        kept_m,
        closer_m,
        min_hits,
        wants_clearance,
    )
    blocked, clearance_m = compiled or _sweep_footprint(footprint, poses, near_points, kept_m, closer_m, min_hits)
    return PathCheck(float(times_s[max(blocked - 1, 0)]) if blocked >= 0 else math.inf, clearance_m)


def _sweep_footprint(
    footprint: RobotFootprint, poses: Floats, points: Points, kept_m: float, closer_m: float, min_hits: int
) -> tuple[int, float]:
    """Return the first blocked pose or -1, and the smallest clearance; the twin of the kernel, with the same results.

    The distance to the outline is computed only for points that are near enough to change the result.

    Args:
        footprint: footprint of the robot.
        poses: (t, 4) as x, y, cos(yaw), sin(yaw).
        points: obstacles (n, 2), at least one.
        kept_m: distance nearer than which a point blocks.
        closer_m: a point blocks only if it is nearer by more than this than at the first pose.
        min_hits: number of points that block together.
    """
    local = points_in_turned(poses, points)
    beyond_m = np.sqrt((local * local).sum(axis=-1)) - footprint.reach_m
    nearest = np.unravel_index(beyond_m.argmin(), beyond_m.shape)
    smallest_m = float(footprint.clearance(local[nearest]))
    candidate = beyond_m < max(kept_m, smallest_m) + _ROUNDING_M
    clearance = footprint.clearance(local[candidate])
    smallest_m = min(smallest_m, float(clearance.min(initial=smallest_m)))
    pose, point = np.nonzero(candidate)
    at_start = footprint.clearance(local[0])
    closer = (clearance < kept_m) & (clearance < at_start[point] - closer_m)
    blocked = np.flatnonzero(np.bincount(pose[closer], minlength=1) >= min_hits)
    return (int(blocked[0]) if blocked.size else -1), smallest_m


def allowed_share(free_s: float, reaction_s: float, braking_s: float) -> float:
    """Return the largest share s <= 1 of the speed with s * reaction + s^2 * braking <= free path time."""
    if free_s >= reaction_s + braking_s:
        return 1.0
    return 2.0 * free_s / (reaction_s + math.sqrt(reaction_s**2 + 4.0 * braking_s * free_s))


def allowed_s(share: float, reaction_s: float, braking_s: float) -> float:
    """Return the path time that a share of the speed needs until standstill; the inverse of ``allowed_share``."""
    return share * reaction_s + share * share * braking_s


def seen_s(twist: Twist, duration_s: float, footprint: RobotFootprint, has_seen: Callable[[Points], Mask]) -> float:
    """Sweep the footprint along the arc of a twist and find the first place that no sensor has looked at.

    Args:
        twist: base twist (3,).
        duration_s: path time to check.
        footprint: footprint of the robot.
        has_seen: tells for places (n, 2) in the present base frame whether they have been looked at.

    Returns:
        Path time until the footprint reaches such a place; inf if it does not.
    """
    length_m = (math.hypot(twist[0], twist[1]) + abs(float(twist[2])) * footprint.reach_m) * duration_s
    steps = min(max(math.ceil(length_m / _LOOK_STEP_M), 1), _MAX_LOOK_STEPS)
    times_s = np.linspace(0.0, duration_s, steps + 1)
    places = transform_points(arc_poses(twist, times_s), footprint.samples)
    unseen = ~has_seen(places[1:].reshape(-1, 2)).reshape(steps, -1)
    for step in np.flatnonzero(unseen.any(axis=1)):
        if (footprint.clearance(places[step + 1][unseen[step]]) > _BESIDE_M).any():
            return float(times_s[step])
    return math.inf


def points_in_frames(poses: Pose, points: Points) -> Points:
    """Return points (n, 2) in the frame of each pose (t, 3), as (t, n, 2)."""
    return points_in_turned(turned(poses), points)


def turned(poses: Pose) -> Floats:
    """Return poses (t, 3) as (t, 4): x, y, cos(yaw), sin(yaw)."""
    rows = np.empty((len(poses), 4))
    rows[:, :2], rows[:, 2], rows[:, 3] = poses[:, :2], np.cos(poses[:, 2]), np.sin(poses[:, 2])
    return rows


def points_in_turned(poses: Floats, points: Points) -> Points:
    """Return points (n, 2) in the frame of each pose (t, 4), as (t, n, 2)."""
    cos, sin = poses[:, 2:3], poses[:, 3:]
    dx, dy = points[:, 0] - poses[:, :1], points[:, 1] - poses[:, 1:2]
    return np.stack((cos * dx + sin * dy, cos * dy - sin * dx), axis=-1)
