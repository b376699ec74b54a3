"""Checks whether the braking path, the swept footprint from now until standstill, is clear of obstacles.

Positions on the path are given as path time: the time in which the twist would get there at unchanged speed. A twist
scaled by a share s <= 1 keeps its arc, and needs a path time of s * reaction + s^2 * braking until standstill.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core.geometry import signed_distance, transform_points
from edge_worldmodel.core.polygon import is_inside
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.types import Floats, Points, Pose, Twist

_STEP_M = 0.04
_MAX_STEPS = 64
_CLOSER_M = 1e-6
"""A point blocks only motions that come closer to it by more than this, so the robot can always move away."""
_SEEN_WITHIN_RAD = 0.18
"""A direction is seen if a ray ends at most at this angle from it."""


@dataclass(frozen=True)
class RobotFootprint:
    """Outline of the robot on the ground.

    Attributes:
        outline: corners (n, 2) in the base frame; empty for a circle.
        radius_m: radius of the circle around the base.
    """

    outline: Points
    radius_m: float

    @property
    def reach_m(self) -> float:
        """Distance of the farthest point of the footprint from the base."""
        return float(np.hypot(*self.outline.T).max()) if len(self.outline) else self.radius_m

    def clearance(self, points: Points) -> Floats:
        """Return the distance (...) in metres of points (..., 2) to the footprint, negative inside."""
        if len(self.outline):
            return signed_distance(self.outline, points)
        return np.hypot(points[..., 0], points[..., 1]) - self.radius_m

    def is_inside(self, fence: Points, poses: Pose) -> bool:
        """Return whether the whole footprint stays inside a polygon (m, 2) at all poses (k, 3)."""
        if len(self.outline):
            return bool(is_inside(transform_points(poses, self.outline), fence).all())
        return bool((signed_distance(fence, poses[:, :2]) <= -self.radius_m).all())


@dataclass(frozen=True)
class Brakes:
    """How the drive base stops: ``reaction_s`` at unchanged speed, then the decelerations (without the slip)."""

    reaction_s: float
    deceleration_mps2: float
    yaw_deceleration_radps2: float

    @classmethod
    def from_config(cls, config: SupervisorConfig) -> Brakes:
        """Take the values from the supervisor's parameters."""
        share = 1.0 - config.slip
        return cls(
            reaction_s=config.reaction_time_s,
            deceleration_mps2=config.braking_deceleration_mps2 * share,
            yaw_deceleration_radps2=config.braking_yaw_deceleration_radps2 * share,
        )

    def braking_s(self, twist: Twist) -> float:
        """Return the path time of braking from a twist (3,): v / 2a, half of the duration."""
        straight_s = math.hypot(twist[0], twist[1]) / (2.0 * self.deceleration_mps2)
        return max(straight_s, abs(float(twist[2])) / (2.0 * self.yaw_deceleration_radps2))


@dataclass(frozen=True)
class PathCheck:
    """Result of a check along a path.

    Attributes:
        free_s: path time until an obstacle is too close; inf if none is.
        clearance_m: smallest distance between swept footprint and obstacles; inf without obstacles.
    """

    free_s: float
    clearance_m: float


def arc_poses(twist: Twist, times_s: Floats) -> Pose:
    """Return the poses (n, 3) that a constant base twist (3,) reaches from the origin after times (n,)."""
    vx, vy, rate = twist
    yaw = rate * times_s
    along = times_s * np.sinc(yaw / np.pi)
    across = times_s * np.sinc(0.5 * yaw / np.pi) * np.sin(0.5 * yaw)
    return np.stack((vx * along - vy * across, vx * across + vy * along, yaw), axis=-1)


def arc_pose(twist: Twist, time_s: float) -> Pose:
    """Return the pose (3,) that a constant base twist (3,) reaches after one time; faster than ``arc_poses``."""
    vx, vy, half = float(twist[0]), float(twist[1]), 0.5 * float(twist[2]) * time_s
    chord_s = time_s * (math.sin(half) / half if abs(half) > 1e-9 else 1.0)
    cos, sin = math.cos(half), math.sin(half)
    return np.array([chord_s * (vx * cos - vy * sin), chord_s * (vx * sin + vy * cos), 2.0 * half])


def check_path(
    twist: Twist, duration_s: float, points: Points, footprint: RobotFootprint, margin_m: float, min_hits: int = 1
) -> PathCheck:
    """Sweep the footprint along the arc of a twist and find the first obstacle.

    Args:
        twist: base twist (3,).
        duration_s: path time to check.
        points: obstacles (n, 2) in the present base frame.
        footprint: footprint of the robot.
        margin_m: distance to keep.
        min_hits: number of points within the margin that count as an obstacle.
    """
    length_m = (math.hypot(twist[0], twist[1]) + abs(float(twist[2])) * footprint.reach_m) * duration_s
    steps = min(max(math.ceil(length_m / _STEP_M), 1), _MAX_STEPS)
    distance = np.hypot(points[:, 0], points[:, 1])
    # Between two samples the footprint may come closer by up to half a step.
    kept_m = margin_m + 0.5 * length_m / steps
    near = distance < footprint.reach_m + length_m + kept_m
    if not near.any():
        return PathCheck(math.inf, float(distance.min(initial=math.inf)) - footprint.reach_m - length_m)
    times_s = np.linspace(0.0, duration_s, steps + 1)
    clearance = footprint.clearance(_points_in_frames(arc_poses(twist, times_s), points[near]))
    closer = (clearance < kept_m) & (clearance < clearance[0] - _CLOSER_M)
    blocked = np.flatnonzero(closer.sum(axis=1) >= min_hits)
    free_s = float(times_s[blocked[0] - 1]) if blocked.size else math.inf
    return PathCheck(free_s, float(clearance.min()))


def allowed_share(free_s: float, reaction_s: float, braking_s: float) -> float:
    """Return the largest share s <= 1 of the speed with s * reaction + s^2 * braking <= free path time."""
    if free_s >= reaction_s + braking_s:
        return 1.0
    return 2.0 * free_s / (reaction_s + math.sqrt(reaction_s**2 + 4.0 * braking_s * free_s))


def is_seen(twist: Twist, endpoints: Points) -> bool:
    """Return whether a ray looks in the direction of a twist; always true for turning on the spot.

    Args:
        twist: base twist (3,).
        endpoints: ends (n, 2) of all rays in the base frame.
    """
    if math.hypot(twist[0], twist[1]) < 1e-9:
        return True
    across = twist[0] * endpoints[:, 1] - twist[1] * endpoints[:, 0]
    along = twist[0] * endpoints[:, 0] + twist[1] * endpoints[:, 1]
    return bool((np.abs(np.arctan2(across, along)) < _SEEN_WITHIN_RAD).any())


def _points_in_frames(poses: Pose, points: Points) -> Points:
    """Return points (n, 2) in the frame of each pose (t, 3), as (t, n, 2)."""
    cos, sin = np.cos(poses[:, 2:]), np.sin(poses[:, 2:])
    dx, dy = points[:, 0] - poses[:, :1], points[:, 1] - poses[:, 1:2]
    return np.stack((cos * dx + sin * dy, cos * dy - sin * dx), axis=-1)
