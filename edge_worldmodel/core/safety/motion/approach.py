"""How fast the robot may be while people can come into its way: it stands by the time one could touch it.

Speed and separation monitoring as in ISO/TS 15066, 5.5.4: the way of the person and that of the robot until standstill
are both counted, at the person's measured velocity and a share of its standard deviation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from edge_worldmodel.core.safety.limits import tip_speed_mps
from edge_worldmodel.core.safety.motion.braking import Brakes, RobotFootprint, arc_poses
from edge_worldmodel.core.types import Floats, Mask, Points, Pose, Twist

TOUCH_MPS = 0.09
"""A robot whose command is not faster than this may be touched; the base follows it with a lag and is to do 0.1 m/s."""
_SHARES = np.linspace(1.0, 0.0, 17)[1:-1]
_ALL = np.ones(1)
_MOMENTS = np.linspace(0.0, 1.0, 13)
_CLOSER_M = 1e-6
_BEHIND = -0.7
"""Cosine of the bearing from the direction of motion beyond which a touch comes from behind."""
_COLUMNS = 6


@dataclass(frozen=True)
class Movers:
    """Movers that may come into the robot's way: discs whose centres move and whose radii grow.

    Attributes:
        rows: (n, 6), for each disc x and y of its centre in the present base frame; its velocity over the ground along
            the axes of that frame; its radius; and how fast the radius grows, by what is not known of the velocity.
    """

    rows: Floats = field(default_factory=lambda: np.empty((0, _COLUMNS)))

    @property
    def centers(self) -> Points:
        """Centres (n, 2) in metres."""
        return self.rows[:, :2]

    @property
    def velocities(self) -> Points:
        """Velocities (n, 2) in m/s."""
        return self.rows[:, 2:4]

    @property
    def radii_m(self) -> Floats:
        """Radii (n,) now."""
        return self.rows[:, 4]

    @property
    def growth_mps(self) -> Floats:
        """Growth (n,) of the radii."""
        return self.rows[:, 5]


def approach_share(twist: Twist, movers: Movers, brakes: Brakes, footprint: RobotFootprint, margin_m: float) -> float:
    """Return the largest share of a twist at which no mover can touch the robot before it is slower than ``TOUCH_MPS``.

    A touch from behind does not count: it would be harder if the robot stood.

    Args:
        twist: base twist (3,).
        movers: everything that is not known to be static.
        brakes: how the robot stops.
        footprint: footprint of the robot.
        margin_m: distance to keep.

    Returns:
        From ``TOUCH_MPS`` as a share of the fastest point's speed, to 1.
    """
    speed_mps = tip_speed_mps(twist, footprint.turning_reach_m)
    if speed_mps <= TOUCH_MPS or not len(movers.rows):
        return 1.0
    slowest = TOUCH_MPS / speed_mps
    stop_s = brakes.reaction_s + 2.0 * brakes.braking_s(twist)
    x, y, vx, vy, radius_m, growth_mps = movers.rows.T
    reach_m = footprint.reach_m + margin_m + speed_mps * stop_s + radius_m + (np.hypot(vx, vy) + growth_mps) * stop_s
    near = Movers(movers.rows[np.hypot(x, y) <= reach_m])
    if not len(near.rows):
        return 1.0
    for shares in (_ALL, _SHARES[slowest < _SHARES]):
        free = ~_are_touched(twist, shares, slowest, near, brakes, footprint, margin_m)
        if free.any():
            return float(shares[free.argmax()])
    return slowest


def _are_touched(
    twist: Twist,
    shares: Floats,
    slowest: float,
    movers: Movers,
    brakes: Brakes,
    footprint: RobotFootprint,
    margin_m: float,
) -> Mask:
    """Return for each share (s,) of a twist whether a mover touches the robot while it is faster than the slowest."""
    braking_s = brakes.braking_s(twist)
    times_s = (brakes.reaction_s + 2.0 * braking_s * (shares - slowest))[:, None] * _MOMENTS
    since_s = np.maximum(times_s - brakes.reaction_s, 0.0)
    path_s = shares[:, None] * times_s - since_s * since_s / (4.0 * braking_s)
    local = _centers_in_frames(movers, times_s.ravel(), arc_poses(twist, path_s.ravel()))
    grown_m = movers.radii_m + times_s.reshape(-1, 1) * movers.growth_mps
    # The circle around the footprint first: mostly no mover is so near.
    apart_m = np.hypot(local[..., 0], local[..., 1])
    pose, mover = np.nonzero(apart_m - grown_m < margin_m + footprint.reach_m)
    blocked = np.zeros(len(shares), dtype=np.bool_)
    if pose.size:
        near, apart_m = local[pose, mover], apart_m[pose, mover]
        left_m = footprint.clearance(near) - grown_m[pose, mover]
        at_first_m = footprint.clearance(movers.centers) - movers.radii_m
        from_behind = near @ twist[:2] < _BEHIND * apart_m * math.hypot(twist[0], twist[1])
        touched = (left_m < margin_m) & (left_m < at_first_m[mover] - _CLOSER_M) & ~from_behind
        blocked[pose[touched] // len(_MOMENTS)] = True
    return blocked


def _centers_in_frames(movers: Movers, times_s: Floats, poses: Pose) -> Floats:
    """Return where the centres are at times (t,) in the frames of the robot's poses (t, 3) then, as (t, n, 2)."""
    cos, sin, after_s = np.cos(poses[:, 2:]), np.sin(poses[:, 2:]), times_s[:, None]
    x, y, vx, vy = movers.rows.T[:4]
    dx, dy = x + after_s * vx - poses[:, :1], y + after_s * vy - poses[:, 1:2]
    return np.stack((cos * dx + sin * dy, cos * dy - sin * dx), axis=-1)
