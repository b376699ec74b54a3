"""Following the route to the goal: moving it to the middle of narrow places, and steering along it by pure pursuit."""

from __future__ import annotations

import math

import cv2
import numpy as np

from edge_worldmodel.core.planner.guidance.local_map import LocalMap
from edge_worldmodel.core.planner.robot_limits import DT_S, STEPS, RobotLimits
from edge_worldmodel.core.types import Floats, Points, Twist

_STOP_SHORT_M = 0.05
"""Distance from the end of the route at which the robot stops; turning towards a closer point would be erratic."""
_SLOWEST_SHARE = 0.3
"""Least share of the speed while a car turns round, because a car turns only while it rolls."""
_SPACING_M = 0.05
_SHIFTS_M = np.arange(-0.15, 0.151, 0.025)
"""Sideways shifts of a point that are tried in each round."""
_ROUNDS = 3
_AVERAGE = np.ones((9, 1)) / 9.0
"""Weights of the moving average over 0.4 m of the line and of its shifts."""
_CLEARANCE_PER_SHIFT = 0.05
"""Clearance that a point must gain per metre of shift."""


def pursue(route: Points, twist: Twist, cap_mps: float, limits: RobotLimits) -> Floats:
    """Steer along a route by pure pursuit (Coulter, 1992); the speed falls with the heading error, so turns come first.

    Args:
        route: (n, 2) points ahead of the robot in the ego frame; empty: straight ahead.
        twist: (3,) present base twist.
        cap_mps: highest speed.
        limits: the robot.

    Returns:
        Targets (T, 2) of speed and yaw rate.
    """
    # Plain numbers, because for one robot they are faster than arrays.
    if len(route) == 0:
        return np.tile([cap_mps, 0.0], (STEPS, 1))
    targets: list[tuple[float, float]] = []
    points: list[list[float]] = route.tolist()
    (goal_x, goal_y), last = points[-1], len(points) - 1
    x, y, yaw, speed, turn, aim = 0.0, 0.0, 0.0, float(twist[0]), float(twist[2]), 0
    lookahead_m, yaw_step, most = 0.3 + 0.4 * cap_mps, limits.max_yaw_accel_radps2 * DT_S, limits.max_yaw_rate_radps
    least = _SLOWEST_SHARE if limits.kind == "ackermann" else 0.0
    faster, slower = limits.max_accel_mps2 * DT_S, -limits.max_decel_mps2 * DT_S
    for _ in range(STEPS):
        while aim < last and math.hypot(points[aim][0] - x, points[aim][1] - y) < lookahead_m:
            aim += 1
        error = math.remainder(math.atan2(points[aim][1] - y, points[aim][0] - x) - yaw, 2.0 * math.pi)
        to_goal_m = math.hypot(goal_x - x, goal_y - y)
        # Half the deceleration leaves the other half for corrections.
        stopping_mps = math.sqrt(limits.max_decel_mps2 * max(to_goal_m - _STOP_SHORT_M, 0.0))
        wanted = min(cap_mps, stopping_mps) * max(math.cos(error), least) ** 2
        most_now = min(most, limits.max_curvature_radpm * wanted) if least else most
        wanted_turn = min(max(2.5 * error, -most_now), most_now) if to_goal_m > _STOP_SHORT_M else 0.0
        targets.append((wanted, wanted_turn))
        speed += min(max(wanted - speed, slower), faster)
        turn += min(max(wanted_turn - turn, -yaw_step), yaw_step)
        yaw += turn * DT_S
        x, y = x + speed * DT_S * math.cos(yaw), y + speed * DT_S * math.sin(yaw)
    return np.array(targets)


def keep_to_middle(route: Points, static: LocalMap, ample_m: float, length_m: float) -> Points:
    """Move the next metres of a route to the middle where there is little clearance.

    The route leads through centres of cells of 0.2 m, which is too coarse for narrow places.

    Args:
        route: (n, 2) points ahead of the robot, which is at the origin.
        static: static obstacles.
        ample_m: clearance that is enough. A route that has it everywhere is returned unchanged.
        length_m: length of the part that may be moved.
    """
    points = np.concatenate([np.zeros((1, 2)), route])
    along_m = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    places_m = np.arange(0.0, min(float(along_m[-1]), length_m), _SPACING_M)
    line = np.stack([np.interp(places_m, along_m, points[:, axis]) for axis in (0, 1)], axis=-1)
    if len(line) < len(_AVERAGE) or float(static.clearance_along(line[None]).min()) >= ample_m:
        return route
    line = _moving_average(line)
    for _ in range(_ROUNDS):
        line = line + _shifts(line, static, ample_m)
    return np.concatenate([line[1:], points[along_m > places_m[-1] + _SPACING_M]])


def _shifts(line: Points, static: LocalMap, ample_m: float) -> Points:
    """Return the sideways shifts (n, 2) in metres that gain clearance; zero at the robot."""
    tangent: Points = np.asarray(np.gradient(line, axis=0))
    tangent /= np.maximum(np.hypot(*tangent.T), 1e-9)[:, None]
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=-1)
    clearance_m = np.minimum(static.clearance_along(line + _SHIFTS_M[:, None, None] * normal), ample_m)
    best_m = _SHIFTS_M[np.argmax(clearance_m - _CLEARANCE_PER_SHIFT * np.abs(_SHIFTS_M)[:, None], axis=0)]
    best_m[0] = 0.0
    shifts: Points = _moving_average(best_m[:, None]) * normal
    return shifts


def _moving_average(values: Floats) -> Floats:
    """Return the moving average of (n, k) along n; beyond the ends the outermost values are repeated."""
    averaged = np.asarray(cv2.filter2D(values, -1, _AVERAGE, borderType=cv2.BORDER_REPLICATE), np.float64)
    return averaged.reshape(values.shape)
