"""Proposing: a few different candidate maneuvers, within the robot's limits by construction.

A maneuver is a sequence of twist targets (``libraries.py``). Rolling it out from the present twist within the limits
(``driving.py``) gives its trajectory.
"""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core import tensors
from edge_worldmodel.core.planner.candidates.candidates import Candidates
from edge_worldmodel.core.planner.candidates.driving import roll_out
from edge_worldmodel.core.planner.candidates.libraries import ManeuverLibrary
from edge_worldmodel.core.planner.candidates.pursuit import keep_to_middle, pursue
from edge_worldmodel.core.planner.candidates.start_state import StartState
from edge_worldmodel.core.planner.guidance.cost_to_go import FACING_AWAY_SHARE
from edge_worldmodel.core.planner.guidance.local_map import too_close
from edge_worldmodel.core.planner.guidance.outlook import Outlook
from edge_worldmodel.core.planner.planner_config import PlannerConfig
from edge_worldmodel.core.planner.recovery import Escape
from edge_worldmodel.core.planner.robot_limits import STEPS, RobotLimits
from edge_worldmodel.core.types import Floats

PREVIOUS = "previous"
"""Name of the maneuver that continues the previous plan."""
_REST_NAMES = {"quadrotor": "hover"}
"""Name of the maneuver that brings the robot to rest; "brake" for all other kinds."""
_AMPLE_M = 0.3
"""Clearance beyond the margin that is enough; less of it adds to the cost."""
_BLOCKED_COST = 2.0
"""Cost of a maneuver that is blocked all the time, in multiples of the way that can be driven within the horizon."""
_TIGHT_COST_M = 0.2
_PARENTS = 8
_KNOTS = 4
_SPREAD = 0.15
"""Standard deviation of varied targets from those of their parents, as a share of the limits."""


def propose(
    library: ManeuverLibrary,
    start: StartState,
    outlook: Outlook,
    config: PlannerConfig,
    rng: np.random.Generator,
    escape: Escape | None = None,
) -> Candidates:
    """Propose ``config.maneuvers`` different maneuvers.

    The first brings the robot to rest; the continued previous plan and the escape follow, if there are any.

    Args:
        library: the maneuvers of the robot.
        start: the motion to start from.
        outlook: the scene; maneuvers that would collide in it are proposed last.
        config: number of maneuvers, and margins.
        rng: source of the variations; a child generator is used, so that its own state does not change.
        escape: the maneuver that leads a boxed-in robot out; None: the robot is not boxed in.
    """
    limits = library.limits
    first = _always_proposed(start, limits, escape)
    kept = len(first)
    first |= _along_route(start, outlook, limits, config)
    names = (*first, *library.names)
    own_targets = np.stack([_with_axes(targets, limits.axes) for targets in first.values()])
    targets = np.concatenate([own_targets, library.targets])
    everything = Candidates(names, *roll_out(start.twist, targets, limits, start.acceleration))
    costs = _outlook_cost(everything, outlook, limits, config)
    normals = rng.spawn(1)[0].standard_normal((config.refined, _KNOTS, limits.axes))
    if len(normals):
        parents = _parents(names, costs, kept, len(normals))
        varied = targets[parents] + _variations(normals, limits)
        parent_names = tuple(names[i] for i in parents)
        variations = Candidates(parent_names, *roll_out(start.twist, varied, limits, start.acceleration))
        everything = everything.joined_with(variations)
        costs = np.append(costs, _outlook_cost(variations, outlook, limits, config))
    return everything.pick(_different(everything.names, costs, kept, config.maneuvers))


def _always_proposed(start: StartState, limits: RobotLimits, escape: Escape | None) -> dict[str, Floats]:
    """Return the targets of the maneuvers that are proposed at any cost: rest, previous plan, escape."""
    targets = {_REST_NAMES.get(limits.kind, "brake"): np.zeros((STEPS, limits.axes))}
    if start.previous_targets is not None:
        targets[PREVIOUS] = start.previous_targets
    if escape is not None:
        targets[escape.name] = escape.targets
    return targets


def _along_route(start: StartState, outlook: Outlook, limits: RobotLimits, config: PlannerConfig) -> dict[str, Floats]:
    """Return the targets (T, 2) of following the route to the goal, fast and slowly."""
    route = outlook.cost_to_go.route()
    if len(route):
        ample_m = limits.body_radius_m + config.wall_margin_m + _AMPLE_M
        length_m = limits.max_speed_mps * tensors.HORIZON_S + _AMPLE_M
        route = keep_to_middle(route, outlook.static, ample_m, length_m)
    return {
        "route_fast": pursue(route, start.twist, limits.max_speed_mps, limits),
        "route_slow": pursue(route, start.twist, 0.5 * limits.max_speed_mps, limits),
    }


def _parents(names: tuple[str, ...], costs: Floats, kept: int, count: int) -> list[int]:
    """Return ``count`` indices that cycle through the best maneuvers, one per name."""
    best: dict[str, int] = {}
    for index in np.argsort(costs, kind="stable").tolist():
        if index >= kept:
            best.setdefault(names[index], index)
    chosen = list(best.values())[:_PARENTS]
    return [chosen[number % len(chosen)] for number in range(count)]


def _variations(normals: Floats, limits: RobotLimits) -> Floats:
    """Return smooth changes (R, T, A) of targets from normal numbers (R, KNOTS, A), interpolated in time."""
    most = np.array([limits.max_speed_mps, limits.max_lateral_mps, limits.max_yaw_rate_radps])
    knots = normals * _SPREAD * most[[0, 2] if limits.axes == 2 else [0, 1, 2]]
    position = np.linspace(0.0, knots.shape[1] - 1.0, STEPS)
    before = np.minimum(position.astype(np.intp), knots.shape[1] - 2)
    share = (position - before)[:, None]
    between: Floats = knots[:, before] * (1.0 - share) + knots[:, before + 1] * share
    return between


def _with_axes(targets: Floats, axes: int) -> Floats:
    """Return targets (T, A) with a sideways speed of zero inserted where the robot has one and they do not."""
    return targets if targets.shape[1] == axes else np.insert(targets, 1, 0.0, axis=1)


def _outlook_cost(candidates: Candidates, outlook: Outlook, limits: RobotLimits, config: PlannerConfig) -> Floats:
    """Return a cost (N,) by the outlook alone: way left, facing away from it, blocked time, lack of clearance."""
    margin_m = config.wall_margin_m
    clearance_m = outlook.clearance_along(candidates.poses, limits, config.margin_m - margin_m)
    # A robot that is already inside the margin is blocked only where it gets even closer.
    blocked = too_close(clearance_m, margin_m) & (clearance_m < clearance_m[0, 0])
    blocked_share = np.logical_or.accumulate(blocked, axis=1).mean(axis=1)
    tight = np.clip(1.0 - (clearance_m.min(axis=1) - margin_m) / _AMPLE_M, 0.0, 1.0)
    reach_m = limits.max_speed_mps * tensors.HORIZON_S
    end = candidates.poses[:, -1]
    if outlook.cost_to_go.goal is None:
        # Without a goal the way straight ahead counts, so that the candidates still differ.
        to_go_m, away = reach_m - np.hypot(end[:, 0], end[:, 1]), np.abs(end[:, 2]) / np.pi
    else:
        to_go_m, away = outlook.cost_to_go.at(end[:, :2]), outlook.cost_to_go.facing_away(end)
    turn_m = np.minimum(to_go_m, reach_m) * FACING_AWAY_SHARE * away
    cost: Floats = to_go_m + turn_m + reach_m * _BLOCKED_COST * blocked_share + _TIGHT_COST_M * tight
    return cost


def _different(names: tuple[str, ...], costs: Floats, kept: int, count: int) -> list[int]:
    """Return ``count`` indices, one per name.

    The first ``kept`` come first, then the best of the route, left, right and slow maneuvers, then all others by cost.
    """
    best: dict[str, int] = {}
    for index in np.argsort(costs, kind="stable").tolist():
        if index >= kept:
            best.setdefault(names[index], index)
    chosen = list(range(kept))
    for part in ("route_fast", "left", "right", "slow"):
        chosen += [index for name, index in best.items() if part in name and index not in chosen][:1]
    chosen += [index for index in best.values() if index not in chosen]
    return chosen[:count]
