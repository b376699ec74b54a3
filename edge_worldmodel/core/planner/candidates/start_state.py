"""The motion that new maneuvers start from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core.geometry import twist_along
from edge_worldmodel.core.planner.planner_config import PlannerConfig
from edge_worldmodel.core.planner.robot_limits import DT_S, STEPS, RobotLimits
from edge_worldmodel.core.time_units import to_seconds
from edge_worldmodel.core.types import Floats, LatentFrame, Plan, Twist

RESTING_PLANS = frozenset({"stop", "hold", "arrived", "brake", "hover"})
"""Names of plans that bring the robot to rest; they are not proposed again as 'previous'."""
_MOMENT_S = 0.01


@dataclass(frozen=True)
class StartState:
    """The motion that new maneuvers start from.

    Attributes:
        twist: (3,) base twist.
        acceleration: (3,) change of the twist per second; None: zero.
        previous_targets: (T, A) targets that continue the previous plan; None: there is none to continue.
    """

    twist: Twist
    acceleration: Floats | None = None
    previous_targets: Floats | None = None


def start_state(frame: LatentFrame, previous: Plan | None, limits: RobotLimits, config: PlannerConfig) -> StartState:
    """Return the state to plan from.

    While the robot tracks the previous plan, new maneuvers start from the planned twist: the measured one lags behind
    it, and planning from it would slow the robot down.
    """
    if previous is None or previous.frame_id != frame.frame_id:
        return StartState(twist=frame.twist)
    elapsed_s = to_seconds(frame.stamp_ns - previous.stamp_ns)
    if not 0.0 <= elapsed_s < config.validity_s:
        return StartState(twist=frame.twist)
    planned = twist_along(previous.trajectory, elapsed_s)
    is_tracking = bool(np.abs(planned - frame.twist).max() <= config.tracking_tolerance)
    times_s = elapsed_s + DT_S * np.arange(1, STEPS + 1)
    continued = targets_of(twist_along(previous.trajectory, times_s), limits.axes)
    return StartState(
        twist=planned if is_tracking else frame.twist,
        acceleration=_acceleration_at(previous, elapsed_s) if is_tracking else None,
        previous_targets=None if previous.maneuver in RESTING_PLANS else continued,
    )


def targets_of(twists: Twist, axes: int = 2) -> Floats:
    """Return targets (T, A) that repeat twists (T, 3); A = ``axes`` as in ``RobotLimits.axes``."""
    return twists[:, [0, 2]] if axes == 2 else twists.copy()


def _acceleration_at(plan: Plan, at_s: float) -> Floats:
    """Return the change (3,) of the planned twist per second just before a time."""
    before_s = max(at_s - _MOMENT_S, 0.0)
    change = twist_along(plan.trajectory, before_s + _MOMENT_S) - twist_along(plan.trajectory, before_s)
    return change / _MOMENT_S
