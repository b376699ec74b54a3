"""Braking paths of a base that brakes each axis by itself, so that it leaves the arc of its twist."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core.safety.motion.braking import Brakes, RobotFootprint, arc_pose
from edge_worldmodel.core.types import Floats, Points, Pose, Twist

_STEP_M, _MAX_STEPS = 0.08, 24
_SAME_PATH_M = 0.02
"""If no point of the footprint can leave the arc by more than this, its neighbours are not checked."""
_FAN_PATHS = 8
"""Number of paths whose ends bound the area between the braking paths."""


def leaves_arc(twist: Twist, brakes: Brakes, footprint: RobotFootprint) -> bool:
    """Return whether braking each axis by itself leads noticeably away from the arc of a twist (3,)."""
    braking_s = brakes.braking_s(twist)
    turn_rad = abs(float(twist[2])) * braking_s
    sideways_m = 0.5 * math.hypot(twist[0], twist[1]) * braking_s
    # Two axes of translation that stop one after the other bend the path, too.
    bend_m = min(abs(float(twist[0])), abs(float(twist[1]))) * braking_s
    return min(turn_rad, math.pi) * (sideways_m + footprint.turning_reach_m) + bend_m > _SAME_PATH_M


@dataclass(frozen=True)
class BrakingFan:
    """The area between two braking paths that part: a base whose yaw rate stops at some time between ends in there.

    Angles are those of the motion where braking begins, positive in the sense of the turn.

    Attributes:
        begin: pose (3,) where braking begins; its yaw is the direction of motion.
        side: 1.0 for a turn to the left, -1.0 to the right.
        outer_m: distances (n,) from the beginning along the path that turns least, not falling.
        outer_rad: bearing (n,) of that path at these distances.
        inner_m: distances (n,) from the beginning along the path that turns most, not falling.
        inner_rad: bearing (n,) of that path at these distances.
        tip_rad: bearing (k,) of the ends of paths between, not falling.
        tip_m: distance (k,) of these ends.
    """

    begin: Pose
    side: float
    outer_m: Floats
    outer_rad: Floats
    inner_m: Floats
    inner_rad: Floats
    tip_rad: Floats
    tip_m: Floats

    def distances_m(self, points: Points, front_m: float) -> Floats:
        """Return how far each of the points (n, 2) that the fan reaches is from its beginning; inf for the others.

        Args:
            points: in the present base frame.
            front_m: how far the robot reaches ahead of its base.
        """
        apart = points - self.begin[:2]
        length_m = np.hypot(apart[:, 0], apart[:, 1])
        cos, sin = math.cos(self.begin[2]), math.sin(self.begin[2])
        bearing_rad = np.arctan2(self.side * (cos * apart[:, 1] - sin * apart[:, 0]), apart @ (cos, sin))
        reached = bearing_rad >= np.interp(length_m, self.outer_m, self.outer_rad)
        reached &= bearing_rad <= np.interp(length_m, self.inner_m, self.inner_rad)
        reached &= length_m <= np.interp(bearing_rad, self.tip_rad, self.tip_m) + front_m
        return np.where(reached, length_m, np.inf)


@dataclass(frozen=True)
class BesideArc:
    """Where a base may come beside the arc of its twist.

    Attributes:
        poses: (n, 3) in the present base frame.
        times_s: path time (n,) of each pose.
        fans: what lies between the paths of these poses; none if the robot is wide enough to leave nothing out.
    """

    poses: Pose
    times_s: Floats
    fans: tuple[BrakingFan, ...]


def beside_arc(
    twist: Twist, reaction_s: float, brakes: Brakes, footprint: RobotFootprint, *, is_car: bool = False
) -> BesideArc:
    """Return where a base may come when it brakes each axis by itself.

    The paths are those on which every axis brakes as hard as configured, on which the yaw rate stops at once, and on
    which only the yaw rate goes on. A base that brakes harder on some axis stays between them and the arc. The two
    axes of translation may brake together, too, in the direction of the motion. A car
    may turn its wheels straight ahead on a zero command, as ros2_controllers do, at once or while it brakes. On a
    long way the paths part by more than the robot is wide, so the fan between them is returned, too.

    Args:
        twist: base twist (3,) until braking begins.
        reaction_s: time at unchanged twist before that.
        brakes: decelerations.
        footprint: footprint of the robot.
        is_car: whether it turns by its wheels, only while it rolls.
    """
    way_s, begin = brakes.braking_s(twist), arc_pose(twist, reaction_s)
    turn_m, forward_m = abs(float(twist[2])) * way_s * footprint.reach_m, math.hypot(twist[0], twist[1]) * way_s
    share = np.linspace(0.0, 1.0, min(max(math.ceil((forward_m + turn_m) / _STEP_M), 2), _MAX_STEPS) + 1)
    slowest = _braking_times_s(twist, brakes, way_s)
    stops = [] if is_car or not len(footprint.outline) else [slowest[0] * (0.0, 0.0, 1.0)]
    between = []
    for stop_s in slowest:
        straight = stop_s * (1.0, 1.0, 0.0)
        stops += [straight, straight + (0.0, 0.0, 0.5 * stop_s[0]) if is_car else stop_s]
        most_turned = straight + (0.0, 0.0, stop_s[0] if is_car else stop_s[2])
        # A car's paths are three, with the arc: each is turned by half as much against the next.
        apart_rad = 0.5 * abs(float(twist[2])) * most_turned[2] / (2.0 if is_car else 1.0)
        if forward_m * apart_rad > footprint.inner_radius_m:
            shares = np.linspace(0.0, 1.0, _FAN_PATHS)[:, None]
            between.append(_braking_paths(twist, straight + shares * (most_turned - straight), begin, share))
    poses = _braking_paths(twist, np.array(stops), begin, share).reshape(-1, 3)
    tips = [paths[1:, -1] for paths in between]
    times_s = [
        np.tile(reaction_s + share * way_s, len(stops)),
        *(np.full(len(ends), reaction_s + way_s) for ends in tips),
    ]
    return BesideArc(
        poses=np.concatenate((poses, *tips)),
        times_s=np.concatenate(times_s),
        fans=tuple(_fan(twist, paths) for paths in between),
    )


def _fan(twist: Twist, paths: Floats) -> BrakingFan:
    """Return the area between paths (k, n, 3), of which the last turns most."""
    vx, vy, rate = twist.tolist()
    begin = paths[0, 0] + (0.0, 0.0, math.atan2(vy, vx))
    side = math.copysign(1.0, rate)
    apart = paths[..., :2] - begin[:2]
    cos, sin = math.cos(begin[2]), math.sin(begin[2])
    bearing_rad = np.arctan2(side * (cos * apart[..., 1] - sin * apart[..., 0]), apart @ (cos, sin))
    length_m = np.hypot(apart[..., 0], apart[..., 1])
    return BrakingFan(
        begin=begin,
        side=side,
        outer_m=np.maximum.accumulate(length_m[0]),
        outer_rad=bearing_rad[0],
        inner_m=np.maximum.accumulate(length_m[-1]),
        inner_rad=np.maximum.accumulate(bearing_rad[-1]),
        tip_rad=np.maximum.accumulate(bearing_rad[:, -1]),
        tip_m=length_m[:, -1],
    )


def _braking_times_s(twist: Twist, brakes: Brakes, way_s: float) -> list[Floats]:
    """Return how long (3,) each axis brakes: all by themselves, and if it differs, with the translation as one."""
    vx, vy, rate = (abs(value) for value in twist.tolist())
    deceleration_mps2, yaw_s = brakes.deceleration(twist), rate / brakes.yaw_deceleration_radps2
    times_s = [np.array((vx / deceleration_mps2, vy / deceleration_mps2, yaw_s))]
    if min(vx, vy) * way_s > _SAME_PATH_M:
        along_s = math.hypot(vx, vy) / deceleration_mps2
        times_s.append(np.array((along_s, along_s, yaw_s)))
    return times_s


def _braking_paths(twist: Twist, stop_s: Floats, begin: Pose, share: Floats) -> Floats:
    """Return the poses (p, n, 3) of bases whose axes stop evenly after ``stop_s`` (p, 3), at shares (n,) of the way."""
    longest_s = stop_s.max(axis=1)
    times_s = longest_s[:, None] * (1.0 - np.sqrt(1.0 - share))
    braked_s = np.minimum(times_s[..., None], stop_s[:, None])
    moved = twist * braked_s * (1.0 - 0.5 * braked_s / np.maximum(stop_s, 1e-9)[:, None])
    yaw = begin[2] + moved[..., 2]
    step, middle = np.diff(moved[..., :2], axis=1), 0.5 * (yaw[:, 1:] + yaw[:, :-1])
    cos, sin = np.cos(middle), np.sin(middle)
    poses = np.empty((*yaw.shape, 3))
    poses[:, 0, :2], poses[..., 2] = begin[:2], yaw
    poses[:, 1:, 0] = begin[0] + np.cumsum(cos * step[..., 0] - sin * step[..., 1], axis=1)
    poses[:, 1:, 1] = begin[1] + np.cumsum(sin * step[..., 0] + cos * step[..., 1], axis=1)
    return poses
