"""Candidate maneuvers of a differential-drive robot: within its limits by construction, few and different.

A maneuver is a sequence of twist targets. Rolling it out from the present twist with the acceleration limits and
a unicycle model gives the trajectory, so nothing that is proposed is out of reach.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core import tensors
from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.cost_to_go import CostToGo
from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.geometry import wrap_angle
from edge_worldmodel.core.local_map import LocalMap, too_close
from edge_worldmodel.core.types import Floats

DT_S = 0.1
"""Time between two poses of a trajectory."""
STEPS = round(tensors.HORIZON_S / DT_S)
POSES_PER_FRAME = round(tensors.HORIZON_STEP_S / DT_S)
MIN_CANDIDATES = 3

_STOP_SHORT_M = 0.05
_SWITCH_STEPS = (8, 16)
"""Two-segment maneuvers change their target after 0.8 s or 1.6 s."""


@dataclass(frozen=True)
class RobotLimits(Config):
    """What the robot can do and how large it is."""

    max_speed_mps: float = param(1.0, "highest forward speed", minimum=0.05, maximum=10.0)
    min_speed_mps: float = param(0.0, "lowest speed; negative where the robot may reverse", minimum=-10.0, maximum=0.0)
    max_yaw_rate_radps: float = param(1.5, "highest yaw rate", minimum=0.05, maximum=10.0)
    max_accel_mps2: float = param(1.0, "highest forward acceleration", minimum=0.05, maximum=20.0)
    max_decel_mps2: float = param(1.5, "highest deceleration", minimum=0.05, maximum=20.0)
    max_yaw_accel_radps2: float = param(3.0, "highest yaw acceleration", minimum=0.05, maximum=50.0)
    radius_m: float = param(0.25, "radius of the circle round base_link that holds the footprint", minimum=0.05)


@dataclass(frozen=True)
class ManeuverLibrary:
    """Twist targets (N, T, 2) of many maneuvers of one robot, and their names."""

    limits: RobotLimits
    names: tuple[str, ...]
    targets: Floats


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

    def pick(self, indices: list[int]) -> Candidates:
        """Return the maneuvers at ``indices``."""
        return Candidates(tuple(self.names[i] for i in indices), self.poses[indices], self.twists[indices])


def propose(
    library: ManeuverLibrary,
    twist: Floats,
    surroundings: LocalMap,
    field: CostToGo,
    *,
    count: int,
    clear_m: float,
    previous_targets: Floats | None = None,
    escape: tuple[str, Floats] | None = None,
) -> Candidates:
    """Propose ``count`` different maneuvers; the first is always 'brake', the second 'previous' when there is one.

    Args:
        library: what the robot can do.
        twist: (3,) present base twist.
        surroundings: the present frame; maneuvers through what is there now are proposed last, not never.
        field: cost-to-go towards the goal.
        count: maneuvers wanted, at least 3.
        clear_m: clearance under which a pose counts as blocked.
        previous_targets: (T, 2) speed and yaw rate of the previous plan from now on.
        escape: name and targets (T, 2) of a way out of a box, proposed as well.
    """
    if count < MIN_CANDIDATES:
        raise ConfigError(f"count = {count!r}: a choice needs at least {MIN_CANDIDATES} maneuvers")
    limits = library.limits
    first = {"brake": np.zeros((STEPS, 2))}
    if previous_targets is not None:
        first["previous"] = previous_targets
    if escape is not None:
        first[escape[0]] = escape[1]
    kept = len(first)
    route = field.route()
    first["route_fast"] = _pursue(route, twist, limits.max_speed_mps, limits)
    first["route_slow"] = _pursue(route, twist, 0.5 * limits.max_speed_mps, limits)
    poses, twists = roll_out(twist, np.concatenate([np.stack(list(first.values())), library.targets]), limits)
    everything = Candidates((*first, *library.names), poses, twists)
    scores = _prefilter(everything, surroundings, field, clear_m, limits)
    return everything.pick(_diverse(everything, scores, kept, count))


def roll_out(twist: Floats, targets: Floats, limits: RobotLimits) -> tuple[Floats, Floats]:
    """Drive towards the targets within the limits.

    Args:
        twist: (3,) base twist to start from; sideways speed is taken as zero.
        targets: (N, T, 2) wanted speed and yaw rate during each step.
        limits: what the robot can do.

    Returns:
        Poses and twists, (N, T + 1, 3) each, the first at the origin.
    """
    lowest = np.array([limits.min_speed_mps, -limits.max_yaw_rate_radps])
    wanted = np.clip(targets, lowest, [limits.max_speed_mps, limits.max_yaw_rate_radps]).transpose(1, 0, 2)
    turn_step = limits.max_yaw_accel_radps2 * DT_S
    faster = np.array([limits.max_accel_mps2 * DT_S, turn_step])
    slower = np.array([limits.max_decel_mps2 * DT_S, turn_step])
    states = np.empty((targets.shape[1] + 1, len(targets), 2))
    states[0] = twist[0], twist[2]
    reverses = bool(twist[0] < 0.0 or wanted[..., 0].min(initial=0.0) < 0.0)
    for step, target in enumerate(wanted):
        state = states[step]
        # Growing speed is limited by the acceleration, shrinking speed by the deceleration.
        if reverses:
            states[step + 1] = _advance_either_way(state, target, faster, slower)
        else:
            change = np.subtract(target, state, out=states[step + 1])
            np.minimum(np.maximum(change, -slower, out=change), faster, out=change)
            change += state
    twists = np.zeros((len(targets), len(states), 3))
    twists[..., 0], twists[..., 2] = states[..., 0].T, states[..., 1].T
    return integrate(twists), twists


def _advance_either_way(state: Floats, target: Floats, faster: Floats, slower: Floats) -> Floats:
    """Return the next speed and yaw rate (N, 2); backwards the limits swap, and zero is not jumped."""
    up = np.where(state[:, :1] >= 0.0, faster, slower)
    down = np.where(state[:, :1] <= 0.0, faster, slower)
    following: Floats = state + np.minimum(np.maximum(target - state, -down), up)
    following[following[:, 0] * state[:, 0] < 0.0, 0] = 0.0
    return following


def integrate(twists: Floats) -> Floats:
    """Integrate base twists (..., T + 1, 3) every DT_S to poses (..., T + 1, 3) from the origin (midpoint rule)."""
    middle = 0.5 * (twists[..., :-1, :] + twists[..., 1:, :]) * DT_S
    poses = np.zeros_like(twists)
    np.cumsum(middle[..., 2], axis=-1, out=poses[..., 1:, 2])
    heading = 0.5 * (poses[..., :-1, 2] + poses[..., 1:, 2])
    np.cumsum(middle[..., 0] * np.cos(heading), axis=-1, out=poses[..., 1:, 0])
    np.cumsum(middle[..., 0] * np.sin(heading), axis=-1, out=poses[..., 1:, 1])
    return poses


def library_of(limits: RobotLimits) -> ManeuverLibrary:
    """Return about 130 maneuvers: arcs, turns in place, swerves, turn and go, and backing up where allowed."""
    speeds = limits.max_speed_mps * np.array([0.25, 0.5, 0.75, 1.0])
    turns = limits.max_yaw_rate_radps * np.array([-1.0, -0.7, -0.45, -0.25, -0.1, 0.0, 0.1, 0.25, 0.45, 0.7, 1.0])
    bends = limits.max_yaw_rate_radps * np.array([-1.0, -0.5, 0.5, 1.0])
    segments: list[tuple[str, list[tuple[float, float, int]]]] = []
    for v in speeds:
        segments += [(f"{_side('arc', w)}_{_pace(v, limits)}", [(v, w, STEPS)]) for w in turns]
    for w in bends:
        segments.append((_side("turn", w), [(0.0, w, STEPS)]))
        for switch in (*_SWITCH_STEPS, 24):
            segments += [(f"{_side('turn', w)}_go", [(0.0, w, switch), (v, 0.0, STEPS)]) for v in speeds[1:]]
        for switch in _SWITCH_STEPS:
            for v in speeds[1:]:
                name = f"{_side('swerve', w)}_{_pace(v, limits)}"
                segments += [(name, [(v, w, switch), (v, u, STEPS)]) for u in (0.0, -w)]
    if limits.min_speed_mps < 0.0:
        for w in (bends[0], 0.0, bends[-1]):
            segments += [(_side("back", w), [(share * limits.min_speed_mps, w, STEPS)]) for share in (0.5, 1.0)]
    targets = np.zeros((len(segments), STEPS, 2))
    for row, (_, parts) in zip(targets, segments, strict=True):
        for (_, _, begin), (v, w, end) in pairwise([(0.0, 0.0, 0), *parts]):
            row[begin:end] = v, w
    return ManeuverLibrary(limits, tuple(name for name, _ in segments), targets)


def _side(kind: str, yaw_rate: float) -> str:
    if yaw_rate == 0.0:
        return "straight" if kind == "arc" else kind
    return f"{kind}_{'left' if yaw_rate > 0.0 else 'right'}"


def _pace(speed: float, limits: RobotLimits) -> str:
    return "fast" if speed > 0.6 * limits.max_speed_mps else "slow"


def _pursue(route: Floats, twist: Floats, cap_mps: float, limits: RobotLimits) -> Floats:
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
    faster, slower = limits.max_accel_mps2 * DT_S, -limits.max_decel_mps2 * DT_S
    for _ in range(STEPS):
        while ahead < last and math.hypot(points[ahead][0] - x, points[ahead][1] - y) < lookahead_m:
            ahead += 1
        error = math.remainder(math.atan2(points[ahead][1] - y, points[ahead][0] - x) - yaw, 2.0 * math.pi)
        to_goal_m = math.hypot(goal_x - x, goal_y - y)
        # Half the deceleration leaves room to correct.
        stopping_mps = math.sqrt(limits.max_decel_mps2 * max(to_goal_m - _STOP_SHORT_M, 0.0))
        wanted = min(cap_mps, stopping_mps) * max(math.cos(error), 0.0) ** 2
        wanted_turn = min(max(2.5 * error, -most), most) if to_goal_m > _STOP_SHORT_M else 0.0
        targets.append((wanted, wanted_turn))
        speed += min(max(wanted - speed, slower), faster)
        turn += min(max(wanted_turn - turn, -yaw_step), yaw_step)
        yaw += turn * DT_S
        x, y = x + speed * DT_S * math.cos(yaw), y + speed * DT_S * math.sin(yaw)
    return np.array(targets)


def _prefilter(
    candidates: Candidates, surroundings: LocalMap, field: CostToGo, clear_m: float, limits: RobotLimits
) -> Floats:
    """Return (N,) a cheap cost against the present frame alone: metres to go, a turn's worth, blocked time."""
    clearance = surroundings.clearance_at(candidates.poses[..., :2])
    # Where the robot stands inside a margin, only getting closer counts as blocked.
    blocked = too_close(clearance, clear_m) & (clearance < clearance[0, 0])
    blocked_share = np.logical_or.accumulate(blocked, axis=1).mean(axis=1)
    end = candidates.poses[:, -1]
    to_go = field.at(end[:, :2])
    facing = np.abs(wrap_angle(field.heading(end[:, :2]) - end[:, 2])) / np.pi
    tight = np.clip(1.0 - (clearance.min(axis=1) - clear_m) / 0.3, 0.0, 1.0)
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


def targets_of(twists: NDArray[np.float64]) -> Floats:
    """Return targets (T, 2) that repeat twists (T, 3)."""
    return np.stack([twists[:, 0], twists[:, 2]], axis=-1)
