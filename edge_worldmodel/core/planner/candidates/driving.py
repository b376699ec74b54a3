"""Rolling out targets within a robot's limits, so that every proposed maneuver can be driven."""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core.planner.robot_limits import DT_S, RobotLimits
from edge_worldmodel.core.types import Floats, Pose, Twist


def roll_out(
    twist: Twist, targets: Floats, limits: RobotLimits, acceleration: Floats | None = None
) -> tuple[Pose, Twist]:
    """Drive towards targets within the limits of speed, acceleration, jerk and curvature.

    Args:
        twist: (3,) base twist to start from; a sideways speed counts only where targets have three columns.
        targets: (N, T, 2) wanted speed and yaw rate during each step, or (N, T, 3) speed, sideways speed and yaw rate.
        limits: the robot.
        acceleration: (3,) change of the twist per second at the start; None: zero.

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
    # Axes are (step, axis, maneuver): numpy is fastest along the last one, and there are more maneuvers than axes.
    wanted = np.minimum(np.maximum(targets.transpose(1, 2, 0), lowest, order="C"), highest)
    states = np.empty((len(wanted) + 1, len(axes), len(targets)))
    states[0] = np.asarray(twist)[axes, None]
    change = np.zeros_like(states[0]) + (0.0 if acceleration is None else acceleration[axes, None] * DT_S)
    # If every acceleration can be reached within one step, the jerk needs no limiting.
    jerky = bool((jerk < faster + slower).any())
    one_way = not jerky and len(axes) == 2 and twist[0] >= 0.0 and not wanted[:, 0].min(initial=0.0) < 0.0
    for step, target in enumerate(wanted):
        state = states[step]
        gap = np.subtract(target, state, out=states[step + 1])
        if jerky:
            gap[:] = np.clip(_jerk_limited(gap, jerk), change - jerk, change + jerk)
        # Growing speed is limited by the acceleration, shrinking speed by the deceleration.
        if one_way:
            np.minimum(np.maximum(gap, braking, out=gap), faster, out=gap)
            gap += state
        else:
            _accelerate_either_way(state, gap, faster, slower)
        if limits.kind == "ackermann":
            most = limits.max_curvature_radpm * np.abs(gap[0])
            np.minimum(np.maximum(gap[-1], -most), most, out=gap[-1])
        if jerky:  # the speed limit has priority over the jerk limit
            np.clip(gap, np.minimum(lowest, state), np.maximum(highest, state), out=gap)
            change = gap - state
    twists = np.zeros((len(targets), len(states), 3))
    twists[..., axes] = states.transpose(2, 0, 1)
    return integrate(twists), twists


def _jerk_limited(gap: Floats, jerk: Floats) -> Floats:
    """Return the largest change (A, N) per step that the jerk limit can bring back to zero within the gap."""
    steps: Floats = np.copysign(jerk * (np.sqrt(1.0 + 2.0 * np.abs(gap) / jerk) - 1.0), gap)
    return steps


def _accelerate_either_way(state: Floats, gap: Floats, faster: Floats, slower: Floats) -> None:
    """Turn the wanted change (A, N) into the next state, in place.

    Driving backwards the two limits swap, and a speed that changes its sign stops at zero for one step.
    """
    up = np.where(state >= 0.0, faster, slower)
    down = np.where(state <= 0.0, faster, slower)
    np.minimum(np.maximum(gap, -down, out=gap), up, out=gap)
    gap += state
    speeds = gap[:-1]
    speeds[np.sign(speeds) * np.sign(state[:-1]) < 0.0] = 0.0


def integrate(twists: Twist) -> Pose:
    """Integrate base twists (..., T + 1, 3) every DT_S to poses (..., T + 1, 3) from the origin (midpoint rule)."""
    middle = 0.5 * (twists[..., :-1, :] + twists[..., 1:, :]) * DT_S
    poses = np.zeros_like(twists)
    np.cumsum(middle[..., 2], axis=-1, out=poses[..., 1:, 2])
    heading = 0.5 * (poses[..., :-1, 2] + poses[..., 1:, 2])
    cos, sin = np.cos(heading), np.sin(heading)
    dx, dy = middle[..., 0] * cos, middle[..., 0] * sin
    if middle[..., 1].any():
        dx, dy = dx - middle[..., 1] * sin, dy + middle[..., 1] * cos
    np.cumsum(dx, axis=-1, out=poses[..., 1:, 0])
    np.cumsum(dy, axis=-1, out=poses[..., 1:, 1])
    return poses
