"""Is the path on which the robot would come to rest clear of everything the sensors see?

The path is parametrised by path time: the arc that the twist would cover in that many seconds at unchanged
speed. A twist scaled by s keeps its arc and covers s * reaction + s^2 * braking seconds of it until rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.polygon import signed_distance
from edge_worldmodel.core.types import Floats

_STEP_M = 0.04
_MAX_STEPS = 64
_CLOSER_M = 1e-6
"""A point only blocks a motion that comes closer to it, so that the robot can always move away."""
_SEEN_WITHIN_RAD = 0.18
"""A direction counts as seen when a ray ends at most this far beside it."""


@dataclass(frozen=True)
class Footprint:
    """Outline (n, 2) in the base frame, or a circle of ``radius_m`` when it is empty."""

    outline: Floats
    radius_m: float

    @property
    def reach_m(self) -> float:
        """Distance of the farthest point of the robot from the base origin."""
        return float(np.hypot(*self.outline.T).max()) if len(self.outline) else self.radius_m

    def clearance(self, points: Floats) -> Floats:
        """Return the distance (...) of points (..., 2) to the robot, negative inside it."""
        if len(self.outline):
            return signed_distance(self.outline, points)
        return np.hypot(points[..., 0], points[..., 1]) - self.radius_m


@dataclass(frozen=True)
class Brakes:
    """How the base stops: ``reaction_s`` at unchanged speed, then the decelerations, slip already taken off."""

    reaction_s: float
    deceleration_mps2: float
    yaw_deceleration_radps2: float

    @classmethod
    def from_config(cls, config: SupervisorConfig) -> Brakes:
        """Take the values from the supervisor's parameters."""
        left = 1.0 - config.slip
        return cls(
            config.reaction_time_s,
            config.braking_deceleration_mps2 * left,
            config.braking_yaw_deceleration_radps2 * left,
        )

    def braking_s(self, twist: Floats) -> float:
        """Return the path time of braking from a twist (3,): half of what it takes, v / 2a."""
        straight = math.hypot(twist[0], twist[1]) / (2.0 * self.deceleration_mps2)
        return max(straight, abs(float(twist[2])) / (2.0 * self.yaw_deceleration_radps2))


@dataclass(frozen=True)
class PathCheck:
    """Outcome of a sweep along a path.

    ``free_s`` is the path time until something comes too close, inf when nothing does; ``clearance_m`` the
    smallest distance between the swept robot and anything seen, inf when nothing is seen.
    """

    free_s: float
    clearance_m: float


def arc(twist: Floats, times_s: Floats) -> Floats:
    """Return the poses (n, 3) of a constant base twist (3,) after ``times_s`` (n,), starting at the origin."""
    vx, vy, rate = twist
    yaw = rate * times_s
    along = times_s * np.sinc(yaw / np.pi)
    across = times_s * np.sinc(0.5 * yaw / np.pi) * np.sin(0.5 * yaw)
    return np.stack((vx * along - vy * across, vx * across + vy * along, yaw), axis=-1)


def moved(twist: Floats, time_s: float) -> Floats:
    """Return the pose (3,) on that arc after one time; the fast form for a single pose."""
    vx, vy, half = float(twist[0]), float(twist[1]), 0.5 * float(twist[2]) * time_s
    chord_s = time_s * (math.sin(half) / half if abs(half) > 1e-9 else 1.0)
    cos, sin = math.cos(half), math.sin(half)
    return np.array([chord_s * (vx * cos - vy * sin), chord_s * (vx * sin + vy * cos), 2.0 * half])


def as_seen_from(pose: Floats, points: Floats) -> Floats:
    """Return points (n, 2) as seen from a pose (3,) in their frame."""
    x, y, yaw = pose.tolist()
    cos, sin = math.cos(yaw), math.sin(yaw)
    dx, dy = points[:, 0] - x, points[:, 1] - y
    seen = np.empty_like(points)
    seen[:, 0], seen[:, 1] = cos * dx + sin * dy, cos * dy - sin * dx
    return seen


def check_path(
    twist: Floats, duration_s: float, points: Floats, footprint: Footprint, margin_m: float, min_hits: int = 1
) -> PathCheck:
    """Sweep the footprint along a twist and look how far it gets.

    Args:
        twist: base twist (3,).
        duration_s: path time to look ahead.
        points: everything seen, (n, 2) in the base frame of now.
        footprint: the robot.
        margin_m: distance to keep.
        min_hits: points closer than that which count as an obstacle.
    """
    length_m = (math.hypot(twist[0], twist[1]) + abs(float(twist[2])) * footprint.reach_m) * duration_s
    steps = min(max(math.ceil(length_m / _STEP_M), 1), _MAX_STEPS)
    distance = np.hypot(points[:, 0], points[:, 1])
    kept_m = margin_m + 0.5 * length_m / steps
    near = distance < footprint.reach_m + length_m + kept_m
    if not near.any():
        return PathCheck(math.inf, float(distance.min(initial=math.inf)) - footprint.reach_m - length_m)
    times_s = np.linspace(0.0, duration_s, steps + 1)
    clearance = footprint.clearance(_seen_from(arc(twist, times_s), points[near]))
    closer = (clearance < kept_m) & (clearance < clearance[0] - _CLOSER_M)
    blocked = np.flatnonzero(closer.sum(axis=1) >= min_hits)
    free_s = float(times_s[blocked[0] - 1]) if blocked.size else math.inf
    return PathCheck(free_s, float(clearance.min()))


def allowed_share(free_s: float, reaction_s: float, braking_s: float) -> float:
    """Return the largest share s <= 1 of the speed with s * reaction + s^2 * braking <= free path time."""
    if free_s >= reaction_s + braking_s:
        return 1.0
    return 2.0 * free_s / (reaction_s + math.sqrt(reaction_s**2 + 4.0 * braking_s * free_s))


def is_seen(twist: Floats, endpoints: Floats) -> bool:
    """Return whether any ray, ending at ``endpoints`` (n, 2), looks where a twist (3,) leads; turning always is."""
    if math.hypot(twist[0], twist[1]) < 1e-9:
        return True
    across = twist[0] * endpoints[:, 1] - twist[1] * endpoints[:, 0]
    along = twist[0] * endpoints[:, 0] + twist[1] * endpoints[:, 1]
    return bool((np.abs(np.arctan2(across, along)) < _SEEN_WITHIN_RAD).any())


def _seen_from(poses: Floats, points: Floats) -> Floats:
    """Return points (n, 2) as seen from each pose (t, 3), as (t, n, 2)."""
    cos, sin = np.cos(poses[:, 2:]), np.sin(poses[:, 2:])
    dx, dy = points[:, 0] - poses[:, :1], points[:, 1] - poses[:, 1:2]
    return np.stack((cos * dx + sin * dy, cos * dy - sin * dx), axis=-1)
