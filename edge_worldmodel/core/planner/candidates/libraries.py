"""Libraries of maneuvers for each kind of robot: twist targets that are not rolled out yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from edge_worldmodel.core.planner.robot_limits import STEPS, RobotLimits
from edge_worldmodel.core.types import Floats

_SWITCH_STEPS = (8, 16)
"""Steps after which maneuvers of two segments change their target: 0.8 s and 1.6 s."""
_DIRECTIONS = 16
Segment = tuple[float, float, float, int]
"""Speed, sideways speed, yaw rate, and the step at which the segment ends."""
Maneuvers = list[tuple[str, list[Segment]]]


@dataclass(frozen=True)
class ManeuverLibrary:
    """The maneuvers of one robot: N names and twist targets (N, T, A), A as in ``RobotLimits.axes``."""

    limits: RobotLimits
    names: tuple[str, ...]
    targets: Floats


def library_of(limits: RobotLimits) -> ManeuverLibrary:
    """Return the maneuvers of a robot, about 100 to 180."""
    maneuvers = _LIBRARIES[limits.kind](limits)
    targets = np.zeros((len(maneuvers), STEPS, 3))
    for row, (_, parts) in zip(targets, maneuvers, strict=True):
        for (*_, begin), (v, lateral, w, end) in pairwise([(0.0, 0.0, 0.0, 0), *parts]):
            row[begin:end] = v, lateral, w
    axes = [0, 2] if limits.axes == 2 else [0, 1, 2]
    return ManeuverLibrary(limits, tuple(name for name, _ in maneuvers), targets[..., axes])


def _differential(limits: RobotLimits) -> Maneuvers:
    """Return arcs, turns on the spot, turns followed by driving, swerves, and reversing where allowed."""
    speeds = limits.max_speed_mps * np.array([0.25, 0.5, 0.75, 1.0])
    turns = limits.max_yaw_rate_radps * np.array([-1.0, -0.7, -0.45, -0.25, -0.1, 0.0, 0.1, 0.25, 0.45, 0.7, 1.0])
    bends = limits.max_yaw_rate_radps * np.array([-1.0, -0.5, 0.5, 1.0])
    found: Maneuvers = []
    for v in speeds:
        found += [(f"{_side('arc', w)}_{_pace(v, limits)}", [(v, 0.0, w, STEPS)]) for w in turns]
    for w in bends:
        found.append((_side("turn", w), [(0.0, 0.0, w, STEPS)]))
        for switch in (*_SWITCH_STEPS, 24):
            found += [(f"{_side('turn', w)}_go", [(0.0, 0.0, w, switch), (v, 0.0, 0.0, STEPS)]) for v in speeds[1:]]
        for switch in _SWITCH_STEPS:
            for v in speeds[1:]:
                name = f"{_side('swerve', w)}_{_pace(v, limits)}"
                found += [(name, [(v, 0.0, w, switch), (v, 0.0, u, STEPS)]) for u in (0.0, -w)]
    if limits.min_speed_mps < 0.0:
        for w in (bends[0], 0.0, bends[-1]):
            found += [(_side("back", w), [(s * limits.min_speed_mps, 0.0, w, STEPS)]) for s in (0.5, 1.0)]
    return found


def _ackermann(limits: RobotLimits) -> Maneuvers:
    """Return arcs, swerves, and where allowed reversing and turning in several moves; a car cannot turn on the spot."""
    shares = np.array([-1.0, -0.7, -0.45, -0.25, -0.1, 0.0, 0.1, 0.25, 0.45, 0.7, 1.0])
    curvatures = limits.max_curvature_radpm * shares
    bends = limits.max_curvature_radpm * np.array([-1.0, -0.5, 0.5, 1.0])
    found: Maneuvers = []
    for v in limits.max_speed_mps * np.array([0.25, 0.5, 0.75, 1.0]):
        found += [(f"{_side('arc', k)}_{_pace(v, limits)}", [(v, 0.0, k * v, STEPS)]) for k in curvatures]
        for k in bends:
            name = f"{_side('swerve', k)}_{_pace(v, limits)}"
            found += [
                (name, [(v, 0.0, k * v, switch), (v, 0.0, u * v, STEPS)]) for switch in _SWITCH_STEPS for u in (0.0, -k)
            ]
    if limits.min_speed_mps < 0.0:
        for k in (bends[0], 0.0, bends[-1]):
            for v in limits.min_speed_mps * np.array([0.5, 1.0]):
                found.append((_side("back", k), [(v, 0.0, k * v, STEPS)]))
                go = 0.5 * limits.max_speed_mps
                found.append((f"{_side('back', k)}_go", [(v, 0.0, k * v, 16), (go, 0.0, -k * go, STEPS)]))
    return found


def _holonomic(limits: RobotLimits) -> Maneuvers:
    """Return the maneuvers of a differential drive, and slides in all directions, alone or before driving ahead."""
    found = _differential(limits)
    if limits.axes == 2:
        return found
    for angle in 2.0 * np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS:
        vx = np.cos(angle) * (limits.max_speed_mps if np.cos(angle) > 0.0 else -limits.min_speed_mps)
        vy = np.sin(angle) * limits.max_lateral_mps
        if np.hypot(vx, vy) < 0.05 * limits.max_speed_mps:
            continue
        name = _side("slide", round(vy, 9))
        for share, pace in ((0.4, "slow"), (1.0, "fast")):
            found.append((f"{name}_{pace}", [(share * vx, share * vy, 0.0, STEPS)]))
        for switch in _SWITCH_STEPS:
            found.append((f"{name}_go", [(vx, vy, 0.0, switch), (limits.max_speed_mps, 0.0, 0.0, STEPS)]))
    return found


_LIBRARIES: dict[str, Callable[[RobotLimits], Maneuvers]] = {
    "differential": _differential,
    "ackermann": _ackermann,
    "holonomic": _holonomic,
    "quadrotor": _holonomic,
}


def _side(kind: str, yaw_rate: float) -> str:
    if yaw_rate == 0.0:
        return "straight" if kind == "arc" else kind
    return f"{kind}_{'left' if yaw_rate > 0.0 else 'right'}"


def _pace(speed: float, limits: RobotLimits) -> str:
    return "fast" if speed > 0.6 * limits.max_speed_mps else "slow"
