"""Whether braking could have kept a robot from touching somebody, judged from the trace of an episode.

From the first scan in which a beam hit that person on, the robot is taken to brake as hard as it can along the way
that it drove, one control period and the actuation's delay later. The person walks as in the trace, and after its end
goes on with the same velocity. Braking could have avoided the contact if the robot would have come to rest untouched.
Who walks into a robot that stands was not to be avoided by braking.
"""

from __future__ import annotations

import math

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.arena.outcome import Trace
from edge_worldmodel.evaluation.controllers import CONTROL_PERIOD_S
from edge_worldmodel.sim.robots import RobotSpec

DELAY_S = CONTROL_PERIOD_S + 0.05
"""From a scan to the brakes: a control period, and what actuation takes."""
STANDING_MPS = 0.1
_ON_THE_SKIN_M = 0.05
"""Measured points lie this much beside what they hit at most: three deviations of the scanner, and rounding."""
_STEP_S = 0.01


def avoidable(trace: Trace, robot: RobotSpec, radii_m: Floats, speed_mps: float) -> float:
    """Return 1 where braking could have avoided the contact at the end of a trace, 0 where not, NaN without people.

    Args:
        trace: the episode up to the contact.
        robot: whose footprint counts as its circle.
        radii_m: (n,) of the people.
        speed_mps: the robot's own speed just before the contact.
    """
    gaps = np.hypot(*(trace.people[-1] - trace.poses[-1, :2]).T) - radii_m if len(radii_m) else np.empty(0)
    if not np.isfinite(gaps).any():
        return math.nan
    person = int(np.nanargmin(gaps))
    seen = _first_seen(trace, robot, person, float(radii_m[person]))
    if speed_mps < STANDING_MPS or seen is None:
        return 0.0
    times_s = (trace.stamps_ns - trace.stamps_ns[0]) * 1e-9
    contact_s = float(times_s[-1])
    begin_s = float(times_s[seen]) + DELAY_S
    if begin_s >= contact_s:
        return 0.0
    return float(_comes_to_rest(trace, robot, person, float(radii_m[person]), begin_s))


def _first_seen(trace: Trace, robot: RobotSpec, person: int, radius_m: float) -> int | None:
    """Return the first moment at which a beam ended on a person."""
    scanner = robot.scanners[0]
    count = trace.ranges.shape[1]
    angles = scanner.angle_min_rad + scanner.angle_increment_rad * np.arange(count) + scanner.mount_yaw_rad
    rays = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    mount = np.array([scanner.mount_x_m, scanner.mount_y_m])
    for moment, (pose, ranges) in enumerate(zip(trace.poses, trace.ranges, strict=True)):
        measured = np.isfinite(ranges)
        points = mount + ranges[measured, None] * rays[measured]
        c, s = math.cos(pose[2]), math.sin(pose[2])
        place = trace.people[moment, person] - pose[:2]
        there = np.array([c * place[0] + s * place[1], c * place[1] - s * place[0]])
        if (np.hypot(*(points - there).T) <= radius_m + _ON_THE_SKIN_M).any():
            return moment
    return None


def _comes_to_rest(trace: Trace, robot: RobotSpec, person: int, radius_m: float, begin_s: float) -> bool:
    """Return whether a robot that brakes from a time on stops before it touches the person."""
    times_s = (trace.stamps_ns - trace.stamps_ns[0]) * 1e-9
    driven_m = np.concatenate([[0.0], np.hypot(*np.diff(trace.poses[:, :2], axis=0).T).cumsum()])
    speed_mps = float(np.interp(begin_s, times_s, np.hypot(trace.twists[:, 0], trace.twists[:, 1])))
    deceleration = robot.max_deceleration_mps2
    after_s = np.arange(0.0, max(speed_mps - STANDING_MPS, 0.0) / deceleration + _STEP_S, _STEP_S)
    way_m = np.interp(begin_s, times_s, driven_m) + speed_mps * after_s - 0.5 * deceleration * after_s**2
    places = np.stack([np.interp(way_m, driven_m, trace.poses[:, axis]) for axis in (0, 1)], axis=-1)
    onward = np.array([math.cos(trace.poses[-1, 2]), math.sin(trace.poses[-1, 2])])
    places += np.maximum(way_m - driven_m[-1], 0.0)[:, None] * onward
    walked = np.stack([_walked(trace, times_s, person, axis, begin_s + after_s) for axis in (0, 1)], axis=-1)
    gaps = np.hypot(*(places - walked).T) - radius_m - robot.radius_m
    return not bool((gaps <= 0.0).any())


def _walked(trace: Trace, times_s: Floats, person: int, axis: int, at_s: Floats) -> Floats:
    """Return one coordinate of a person at any times; after the trace with the last velocity."""
    path = trace.people[:, person, axis]
    # The last moment may come right after the one before it.
    velocity = (path[-1] - path[-3]) / (times_s[-1] - times_s[-3]) if len(path) > 2 else 0.0
    within: Floats = np.interp(at_s, times_s, path)
    return within + velocity * np.maximum(at_s - times_s[-1], 0.0)
