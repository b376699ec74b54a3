"""Driving towards targets within a robot's limits, so that nothing that is proposed is out of its reach."""

from __future__ import annotations

import math

import numpy as np

from edge_worldmodel.core.planner.robot_limits import DT_S, STEPS, RobotLimits
from edge_worldmodel.core.types import Floats

_STOP_SHORT_M = 0.05
_SLOWEST_SHARE = 0.3
"""Of the speed, while a car turns round: it turns only as long as it rolls."""


def roll_out(
    twist: Floats, targets: Floats, limits: RobotLimits, acceleration: Floats | None = None
) -> tuple[Floats, Floats]:
    """Drive towards the targets within the limits of speed, acceleration, jerk and curvature.

    Args:
        twist: (3,) base twist to start from; a sideways speed counts only where targets have three columns.
        targets: (N, T, 2) wanted speed and yaw rate during each step, or (N, T, 3) with the sideways speed between.
        limits: what the robot can do.
        acceleration: (3,) change of the twist per second at the start; None: none.

    Returns:
        Poses and twists, (N, T + 1, 3) each, the first at the origin.
    """
    axes = [0, 2] if targets.shape[-1] == 2 else [0, 1, 2]
    side, turn = limits.max_lateral_mps, limits.max_yaw_rate_radps
    lowest = np.array([limits.min_speed_mps, -side, -turn])[axes, None]
    highest = np.array([limits.max_speed_mps, side, turn])[axes, None]
    turn_step = limits.max_yaw_accel_radps2 * DT_S
    faster = np.array([limits.max_accel_mps2 * DT_S] * 2 + [turn_step])[axes, None]
    slower = np.array([limits.max_decel_mps2 * DT_S] * 2 + [turn_step])[axes, None]
    braking = -slower
    jerk = np.array([limits.max_jerk_mps3] * 2 + [limits.max_yaw_jerk_radps3])[axes, None] * DT_S * DT_S
    # Step, axis, maneuver: numpy is fast along the last one only, and there are more maneuvers than axes.
    wanted = np.minimum(np.maximum(targets.transpose(1, 2, 0), lowest, order="C"), highest)
    states = np.empty((len(wanted) + 1, len(axes), len(targets)))
    states[0] = np.asarray(twist)[axes, None]
    change = np.zeros_like(states[0]) + (0.0 if acceleration is None else acceleration[axes, None] * DT_S)
    # Where every acceleration can be reached within one step, there is no jerk to limit.
    jerky = bool((jerk < faster + slower).any())
    one_way = not jerky and len(axes) == 2 and twist[0] >= 0.0 and not wanted[:, 0].min(initial=0.0) < 0.0
    for step, target in enumerate(wanted):
        state = states[step]
        gap = np.subtract(target, state, out=states[step + 1])
        if jerky:
            gap[:] = np.clip(_gently(gap, jerk), change - jerk, change + jerk)
        # Growing speed is limited by the acceleration, shrinking speed by the deceleration.
        if one_way:
            np.minimum(np.maximum(gap, braking, out=gap), faster, out=gap)
            gap += state
        else:
            _either_way(state, gap, faster, slower)
        if limits.kind == "ackermann":
            most = limits.max_curvature_radpm * np.abs(gap[0])
            np.minimum(np.maximum(gap[-1], -most), most, out=gap[-1])
        if jerky:  # better a jerk than a speed beyond its limit
            np.clip(gap, np.minimum(lowest, state), np.maximum(highest, state), out=gap)
            change = gap - state
    twists = np.zeros((len(targets), len(states), 3))
    twists[..., axes] = states.transpose(2, 0, 1)
    return integrate(twists), twists


def _gently(gap: Floats, jerk: Floats) -> Floats:
    """Return the largest change (A, N) per step that can be taken back to none, at the jerk limit, within the gap."""
    steps: Floats = np.copysign(jerk * (np.sqrt(1.0 + 2.0 * np.abs(gap) / jerk) - 1.0), gap)
    return steps


def _either_way(state: Floats, gap: Floats, faster: Floats, slower: Floats) -> None:
    """Turn the wanted change (A, N) into the next state; backwards the limits swap, and zero is not jumped."""
    up = np.where(state >= 0.0, faster, slower)
    down = np.where(state <= 0.0, faster, slower)
    np.minimum(np.maximum(gap, -down, out=gap), up, out=gap)
    gap += state
    moving = gap[:-1]
    moving[np.sign(moving) * np.sign(state[:-1]) < 0.0] = 0.0


def integrate(twists: Floats) -> Floats:
    """Integrate base twists (..., T + 1, 3) every DT_S to poses (..., T + 1, 3) from the origin (midpoint rule)."""
    middle = 0.5 * (twists[..., :-1, :] + twists[..., 1:, :]) * DT_S
    poses = np.zeros_like(twists)
    np.cumsum(middle[..., 2], axis=-1, out=poses[..., 1:, 2])
    heading = 0.5 * (poses[..., :-1, 2] + poses[..., 1:, 2])
    cos, sin = np.cos(heading), np.sin(heading)
    ahead, aside = middle[..., 0] * cos, middle[..., 0] * sin
    if middle[..., 1].any():
        ahead, aside = ahead - middle[..., 1] * sin, aside + middle[..., 1] * cos
    np.cumsum(ahead, axis=-1, out=poses[..., 1:, 0])
    np.cumsum(aside, axis=-1, out=poses[..., 1:, 1])
    return poses


def pursue(route: Floats, twist: Floats, cap_mps: float, limits: RobotLimits) -> Floats:
    """Return targets (T, 2) that steer along the route (n, 2): turn first, drive where it points ahead.

    Pure pursuit (Coulter, 1992), predicted with plain numbers: for one robot they are faster than arrays.
    Straight ahead where there is no route.
    """
    if len(route) == 0:
        return np.tile([cap_mps, 0.0], (STEPS, 1))
    targets: list[tuple[float, float]] = []
    points: list[list[float]] = route.tolist()
    (goal_x, goal_y), last = points[-1], len(points) - 1
    x, y, yaw, speed, turn, ahead = 0.0, 0.0, 0.0, float(twist[0]), float(twist[2]), 0
    lookahead_m, yaw_step, most = 0.3 + 0.4 * cap_mps, limits.max_yaw_accel_radps2 * DT_S, limits.max_yaw_rate_radps
    least = _SLOWEST_SHARE if limits.kind == "ackermann" else 0.0
    faster, slower = limits.max_accel_mps2 * DT_S, -limits.max_decel_mps2 * DT_S
    for _ in range(STEPS):
        while ahead < last and math.hypot(points[ahead][0] - x, points[ahead][1] - y) < lookahead_m:
            ahead += 1
        error = math.remainder(math.atan2(points[ahead][1] - y, points[ahead][0] - x) - yaw, 2.0 * math.pi)
        to_goal_m = math.hypot(goal_x - x, goal_y - y)
        # Half the deceleration leaves room to correct.
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
