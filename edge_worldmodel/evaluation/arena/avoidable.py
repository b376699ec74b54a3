"""Decides from the trace of an episode whether braking could have avoided a contact with a person.

The robot is assumed to brake fully along the path that it drove, starting one control period and the actuation delay
after the first scan with a hit on the person. The person walks as in the trace and continues after its end at constant
velocity. The contact was avoidable if the robot comes to rest without touching the person. A contact of a robot that
stands still cannot be avoided by braking.
"""

from __future__ import annotations

import math

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.arena.outcome import Trace
from edge_worldmodel.evaluation.controllers import CONTROL_PERIOD_S
from edge_worldmodel.sim.robots import RobotSpec

_DELAY_S = CONTROL_PERIOD_S + 0.05
"""From a scan until the brakes act: a control period and the actuation delay."""
_STANDSTILL_MPS = 0.1
_HIT_TOLERANCE_M = 0.05
"""Largest distance of a measured point from the surface: three standard deviations of the range, and rounding."""
_STEP_S = 0.01


def avoidable(trace: Trace, robot: RobotSpec, radii_m: Floats, speed_mps: float) -> float:
    """Return whether braking could have avoided the contact at the end of a trace.

    Args:
        trace: the episode up to the contact.
        robot: the robot; its footprint is approximated by a circle.
        radii_m: radii (n,) of the people.
        speed_mps: the robot's own speed just before the contact.

    Returns:
        1 if avoidable, 0 if not, NaN without people.
    """
    gaps = np.hypot(*(trace.people[-1] - trace.poses[-1, :2]).T) - radii_m if len(radii_m) else np.empty(0)
    if not np.isfinite(gaps).any():
        return math.nan
    # The touched person is the nearest one at the end.
    person = int(np.nanargmin(gaps))
    first_hit = _first_hit(trace, robot, person, float(radii_m[person]))
    if speed_mps < _STANDSTILL_MPS or first_hit is None:
        return 0.0
    times_s = (trace.stamps_ns - trace.stamps_ns[0]) * 1e-9
    contact_s = float(times_s[-1])
    begin_s = float(times_s[first_hit]) + _DELAY_S
    if begin_s >= contact_s:
        return 0.0
    return float(_comes_to_rest(trace, robot, person, float(radii_m[person]), begin_s))


def _first_hit(trace: Trace, robot: RobotSpec, person: int, radius_m: float) -> int | None:
    """Return the index of the first scan with a hit on a person; None: there is none."""
    scanner = robot.scanners[0]
    count = trace.ranges.shape[1]
    angles = scanner.angle_min_rad + scanner.angle_increment_rad * np.arange(count) + scanner.mount_yaw_rad
    rays = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    mount = np.array([scanner.mount_x_m, scanner.mount_y_m])
    for moment, (pose, ranges) in enumerate(zip(trace.poses, trace.ranges, strict=True)):
        measured = np.isfinite(ranges)
        points = mount + ranges[measured, None] * rays[measured]
        c, s = math.cos(pose[2]), math.sin(pose[2])
        offset = trace.people[moment, person] - pose[:2]
        in_base = np.array([c * offset[0] + s * offset[1], c * offset[1] - s * offset[0]])
        if (np.hypot(*(points - in_base).T) <= radius_m + _HIT_TOLERANCE_M).any():
            return moment
    return None


def _comes_to_rest(trace: Trace, robot: RobotSpec, person: int, radius_m: float, begin_s: float) -> bool:
    """Return whether a robot that starts braking at a time stops before it touches the person."""
    times_s = (trace.stamps_ns - trace.stamps_ns[0]) * 1e-9
    driven_m = np.concatenate([[0.0], np.hypot(*np.diff(trace.poses[:, :2], axis=0).T).cumsum()])
    speed_mps = float(np.interp(begin_s, times_s, np.hypot(trace.twists[:, 0], trace.twists[:, 1])))
    deceleration = robot.max_deceleration_mps2
    after_s = np.arange(0.0, max(speed_mps - _STANDSTILL_MPS, 0.0) / deceleration + _STEP_S, _STEP_S)
    distance_m = np.interp(begin_s, times_s, driven_m) + speed_mps * after_s - 0.5 * deceleration * after_s**2
    positions = np.stack([np.interp(distance_m, driven_m, trace.poses[:, axis]) for axis in (0, 1)], axis=-1)
    heading = np.array([math.cos(trace.poses[-1, 2]), math.sin(trace.poses[-1, 2])])
    positions += np.maximum(distance_m - driven_m[-1], 0.0)[:, None] * heading
    walked = np.stack([_walked(trace, times_s, person, axis, begin_s + after_s) for axis in (0, 1)], axis=-1)
    gaps = np.hypot(*(positions - walked).T) - radius_m - robot.radius_m
    return not bool((gaps <= 0.0).any())


def _walked(trace: Trace, times_s: Floats, person: int, axis: int, at_s: Floats) -> Floats:
    """Return x (axis 0) or y (axis 1) of a person at any times, after the trace at constant velocity."""
    path = trace.people[:, person, axis]
    # The last interval may be much shorter than the others, so two intervals give the velocity.
    velocity = (path[-1] - path[-3]) / (times_s[-1] - times_s[-3]) if len(path) > 2 else 0.0
    within: Floats = np.interp(at_s, times_s, path)
    return within + velocity * np.maximum(at_s - times_s[-1], 0.0)
