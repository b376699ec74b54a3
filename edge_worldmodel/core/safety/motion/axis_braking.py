"""Braking paths of a base that brakes each axis by itself, so that it leaves the arc of its twist."""

from __future__ import annotations

import math

import numpy as np

from edge_worldmodel.core.safety.motion.braking import Brakes, RobotFootprint, arc_pose
from edge_worldmodel.core.types import Floats, Pose, Twist

_STEP_M, _MAX_STEPS = 0.08, 24
_SAME_PATH_M = 0.02
"""If no point of the footprint can leave the arc by more than this, its neighbours are not checked."""


def leaves_arc(twist: Twist, brakes: Brakes, footprint: RobotFootprint) -> bool:
    """Return whether braking each axis by itself leads noticeably away from the arc of a twist (3,)."""
    braking_s = brakes.braking_s(twist)
    turn_rad = abs(float(twist[2])) * braking_s
    sideways_m = 0.5 * math.hypot(twist[0], twist[1]) * braking_s
    # Two axes of translation that stop one after the other bend the path, too.
    bend_m = min(abs(float(twist[0])), abs(float(twist[1]))) * braking_s
    reach_m = footprint.reach_m if len(footprint.outline) else 0.0
    return min(turn_rad, math.pi) * (sideways_m + reach_m) + bend_m > _SAME_PATH_M


def axis_braking_poses(
    twist: Twist, reaction_s: float, brakes: Brakes, footprint: RobotFootprint, *, is_car: bool = False
) -> tuple[Pose, Floats]:
    """Return where a base may come when it brakes each axis by itself.

    The paths are those on which every axis brakes as hard as configured, on which the yaw rate stops at once, and on
    which only the yaw rate goes on. A base that brakes harder on some axis stays between them and the arc. A car
    may turn its wheels straight ahead on a zero command, as ros2_controllers do, at once or while it brakes.

    Args:
        twist: base twist (3,) until braking begins.
        reaction_s: time at unchanged twist before that.
        brakes: decelerations.
        footprint: footprint of the robot.
        is_car: whether it turns by its wheels, only while it rolls.

    Returns:
        Poses (n, 3) in the present base frame, and the path time (n,) of each.
    """
    slowest, way_s = _braking_times_s(twist, brakes), brakes.braking_s(twist)
    straight = slowest * (1.0, 1.0, 0.0)
    if is_car:
        stops = [straight, straight + (0.0, 0.0, 0.5 * slowest[0])]
    else:
        stops = [slowest, straight]
        if len(footprint.outline):
            stops.append(slowest * (0.0, 0.0, 1.0))
    begin = arc_pose(twist, reaction_s)
    length_m = math.hypot(twist[0], twist[1]) * way_s + abs(float(twist[2])) * way_s * footprint.reach_m
    steps = min(max(math.ceil(length_m / _STEP_M), 2), _MAX_STEPS)
    share = np.linspace(0.0, 1.0, steps + 1)
    paths = [_braking_path(twist, stop_s, begin, share) for stop_s in stops]
    return np.concatenate(paths), np.tile(reaction_s + share * way_s, len(paths))


def _braking_times_s(twist: Twist, brakes: Brakes) -> Floats:
    """Return how long (3,) each axis brakes."""
    vx, vy, rate = (abs(value) for value in twist.tolist())
    deceleration_mps2 = brakes.deceleration(twist)
    return np.array((vx / deceleration_mps2, vy / deceleration_mps2, rate / brakes.yaw_deceleration_radps2))


def _braking_path(twist: Twist, stop_s: Floats, begin: Pose, share: Floats) -> Pose:
    """Return the poses (n, 3) of a base whose axes stop evenly after ``stop_s`` (3,), at shares (n,) of the way."""
    longest_s = float(stop_s.max())
    times_s = longest_s * (1.0 - np.sqrt(1.0 - share))
    braked_s = np.minimum(times_s[:, None], stop_s)
    moved = twist * braked_s * (1.0 - 0.5 * braked_s / np.maximum(stop_s, 1e-9))
    yaw = begin[2] + moved[:, 2]
    step, middle = np.diff(moved[:, :2], axis=0), 0.5 * (yaw[1:] + yaw[:-1])
    cos, sin = np.cos(middle), np.sin(middle)
    poses = np.empty((len(share), 3))
    poses[0, :2], poses[:, 2] = begin[:2], yaw
    poses[1:, 0] = begin[0] + np.cumsum(cos * step[:, 0] - sin * step[:, 1])
    poses[1:, 1] = begin[1] + np.cumsum(sin * step[:, 0] + cos * step[:, 1])
    return poses
