"""Candidate maneuvers: within the robot's limits by construction, few and different, refined around the best.

A maneuver is a sequence of twist targets (``core/libraries.py``). Rolling it out from the present twist within the
limits (``core/driving.py``) gives the trajectory, so nothing that is proposed is out of reach.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core import tensors
from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.geometry import wrap_angle
from edge_worldmodel.core.planner.candidates.centring import centred
from edge_worldmodel.core.planner.candidates.driving import pursue, roll_out
from edge_worldmodel.core.planner.candidates.libraries import ManeuverLibrary
from edge_worldmodel.core.planner.guidance.cost_to_go import CostToGo
from edge_worldmodel.core.planner.guidance.local_map import too_close
from edge_worldmodel.core.planner.guidance.outlook import Outlook
from edge_worldmodel.core.planner.robot_limits import POSES_PER_FRAME, STEPS, RobotLimits
from edge_worldmodel.core.types import Floats

MIN_CANDIDATES = 3
STANDING = {"quadrotor": "hover"}
"""What the first maneuver, which brings the robot to rest, is called; "brake" for all other kinds."""
_AMPLE_M = 0.3
"""Room beyond the margin from which on a maneuver is no longer tight, and its route need not be centred."""
_PARENTS = 8
_KNOTS = 4
_SPREAD = 0.15
"""Deviation of refined targets from those of their parents, as a share of the limits."""


@dataclass(frozen=True)
class Candidates:
    """Maneuvers rolled out from the present: poses and twists (M, T + 1, 3) in the present ego frame, every DT_S."""

    names: tuple[str, ...]
    poses: Floats
    twists: Floats

    def __len__(self) -> int:
        """Return the number of maneuvers."""
        return len(self.names)

    def maneuver_tensor(self) -> Floats:
        """Return (M, H, 3), the ego pose at each imagined time."""
        return self.poses[:, POSES_PER_FRAME::POSES_PER_FRAME]

    def and_also(self, others: Candidates) -> Candidates:
        """Return these and others."""
        both = [np.concatenate(pair) for pair in ((self.poses, others.poses), (self.twists, others.twists))]
        return Candidates((*self.names, *others.names), *both)

    def pick(self, indices: list[int]) -> Candidates:
        """Return the maneuvers at ``indices``."""
        return Candidates(tuple(self.names[i] for i in indices), self.poses[indices], self.twists[indices])


def propose(
    library: ManeuverLibrary,
    twist: Floats,
    ahead: Outlook,
    field: CostToGo,
    *,
    count: int,
    margin_m: float,
    movers_margin_m: float,
    previous_targets: Floats | None = None,
    escape: tuple[str, Floats] | None = None,
    acceleration: Floats | None = None,
    refinement: Floats | None = None,
) -> Candidates:
    """Propose ``count`` different maneuvers; the first brings the robot to rest, the second is 'previous', if any.

    Args:
        library: what the robot can do.
        twist: (3,) present base twist.
        ahead: what is where and when; maneuvers that would meet it are proposed last, not never.
        field: cost-to-go towards the goal.
        count: maneuvers wanted, at least 3.
        margin_m: room between the body and what stands under which a pose counts as blocked.
        movers_margin_m: the same for what moves.
        previous_targets: (T, A) of the previous plan from now on.
        escape: name and targets (T, 2) of a way out of a box, proposed as well.
        acceleration: (3,) present change of the twist per second; None: none.
        refinement: (R, KNOTS, A) standard normal numbers, a variation of one of the best maneuvers each; None: none.
    """
    if count < MIN_CANDIDATES:
        raise ConfigError(f"count = {count!r}: a choice needs at least {MIN_CANDIDATES} maneuvers")
    limits, margins_m = library.limits, (margin_m, movers_margin_m)
    first = {STANDING.get(limits.kind, "brake"): np.zeros((STEPS, limits.axes))}
    if previous_targets is not None:
        first["previous"] = previous_targets
    if escape is not None:
        first[escape[0]] = escape[1]
    kept = len(first)
    route = field.route()
    if len(route):
        enough_m = limits.body_radius_m + margin_m + _AMPLE_M
        route = centred(route, ahead.standing, enough_m, limits.max_speed_mps * tensors.HORIZON_S + _AMPLE_M)
    first["route_fast"] = pursue(route, twist, limits.max_speed_mps, limits)
    first["route_slow"] = pursue(route, twist, 0.5 * limits.max_speed_mps, limits)
    own = np.stack([_with_axes(targets, limits.axes) for targets in first.values()])
    names, targets = (*first, *library.names), np.concatenate([own, library.targets])
    everything = Candidates(names, *roll_out(twist, targets, limits, acceleration))
    scores = _prefilter(everything, ahead, field, margins_m, limits)
    if refinement is not None and len(refinement):
        parents = _parents(names, scores, kept, len(refinement))
        near = targets[parents] + _variations(refinement, limits)
        more = Candidates(tuple(names[i] for i in parents), *roll_out(twist, near, limits, acceleration))
        everything = everything.and_also(more)
        scores = np.append(scores, _prefilter(more, ahead, field, margins_m, limits))
    return everything.pick(_diverse(everything, scores, kept, count))


def _parents(names: tuple[str, ...], scores: Floats, kept: int, count: int) -> list[int]:
    """Return ``count`` indices that go round the best maneuvers, one per name."""
    best: dict[str, int] = {}
    for index in np.argsort(scores, kind="stable").tolist():
        if index >= kept:
            best.setdefault(names[index], index)
    chosen = list(best.values())[:_PARENTS]
    return [chosen[number % len(chosen)] for number in range(count)]


def _variations(normals: Floats, limits: RobotLimits) -> Floats:
    """Return (R, T, A) smooth differences of targets from normal numbers (R, KNOTS, A) at some moments."""
    most = np.array([limits.max_speed_mps, limits.max_lateral_mps, limits.max_yaw_rate_radps])
    knots = normals * _SPREAD * most[[0, 2] if limits.axes == 2 else [0, 1, 2]]
    position = np.linspace(0.0, knots.shape[1] - 1.0, STEPS)
    before = np.minimum(position.astype(np.intp), knots.shape[1] - 2)
    share = (position - before)[:, None]
    between: Floats = knots[:, before] * (1.0 - share) + knots[:, before + 1] * share
    return between


def _with_axes(targets: Floats, axes: int) -> Floats:
    """Return targets (T, A): those of speed and yaw rate alone get a sideways speed of zero where there is one."""
    return targets if targets.shape[1] == axes else np.insert(targets, 1, 0.0, axis=1)


def _prefilter(
    candidates: Candidates, ahead: Outlook, field: CostToGo, margins_m: tuple[float, float], limits: RobotLimits
) -> Floats:
    """Return (N,) a cheap cost against the outlook alone: metres to go, a turn's worth, blocked time."""
    margin_m, movers_margin_m = margins_m
    room = ahead.room_along(candidates.poses, limits, movers_margin_m - margin_m)
    # Where the robot stands inside a margin, only getting closer counts as blocked.
    blocked = too_close(room, margin_m) & (room < room[0, 0])
    blocked_share = np.logical_or.accumulate(blocked, axis=1).mean(axis=1)
    end = candidates.poses[:, -1]
    to_go = field.at(end[:, :2])
    facing = np.abs(wrap_angle(field.heading(end[:, :2]) - end[:, 2])) / np.pi
    tight = np.clip(1.0 - (room.min(axis=1) - margin_m) / _AMPLE_M, 0.0, 1.0)
    reach_m = limits.max_speed_mps * tensors.HORIZON_S
    if field.goal is None:
        # Without a goal show what could be done: prefer to get somewhere, straight ahead.
        to_go, facing = reach_m - np.hypot(end[:, 0], end[:, 1]), np.abs(end[:, 2]) / np.pi
    cost: Floats = to_go + np.minimum(to_go, reach_m) * 0.3 * facing + reach_m * 2.0 * blocked_share + 0.2 * tight
    return cost


def _diverse(candidates: Candidates, scores: Floats, kept: int, count: int) -> list[int]:
    """Pick ``count`` indices, one per name: the kept, the route, a left, a right and a slow one, then by score."""
    order = [int(i) for i in np.argsort(scores, kind="stable") if i >= kept]
    best: dict[str, int] = {}
    for index in order:
        best.setdefault(candidates.names[index], index)
    chosen = list(range(kept))
    for wanted in ("route_fast", "left", "right", "slow"):
        group = [i for name, i in best.items() if wanted in name and i not in chosen]
        chosen += group[:1]
    chosen += [i for i in best.values() if i not in chosen]
    return chosen[:count]


def targets_of(twists: NDArray[np.float64], axes: int = 2) -> Floats:
    """Return targets (T, A) that repeat twists (T, 3)."""
    return twists[:, [0, 2]] if axes == 2 else twists.copy()


def knots_of(limits: RobotLimits, count: int) -> tuple[int, int, int]:
    """Return the shape of the normal numbers that refine ``count`` maneuvers."""
    return count, _KNOTS, limits.axes
