"""Decides from the trace of an episode whether a contact could have been avoided.

It could if, at some tick between the first sighting of what was touched and 0.6 s before the contact, there was a
maneuver within the robot's limits that touches nothing until some time after the contact. People are where they were
in truth; after the end of the trace they go on at constant velocity. A robot that stands and is walked into could have
made way.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.arena.clairvoyant.goal_field import GoalField
from edge_worldmodel.evaluation.arena.clairvoyant.people_ahead import StepOuts
from edge_worldmodel.evaluation.arena.clairvoyant.search import BeamSearch, Problem
from edge_worldmodel.evaluation.arena.outcome import Trace
from edge_worldmodel.evaluation.controllers.command_limits import command_limits
from edge_worldmodel.evaluation.controllers.costmap.footprint import footprint_discs
from edge_worldmodel.sim.robots import RobotSpec
from edge_worldmodel.sim.world import World

_REACTION_S = 0.6
"""A maneuver must begin at least this long before the contact."""
_BEYOND_S = 1.2
"""It must be free for so long after the contact."""
_EVERY_S, _MOST_TRIES = 0.4, 8
_WIDTH, _MARGIN_M = 64, 0.02
_HIT_TOLERANCE_M = 0.05
"""Largest distance of a measured point from the surface: three standard deviations of the range, and rounding."""


class TracePeople:
    """People as in a trace, after its end at constant velocity."""

    def __init__(self, trace: Trace, radii_m: Floats) -> None:
        self.radii_m = radii_m
        self._times_s = (trace.stamps_ns - trace.stamps_ns[0]) * 1e-9
        self._people = trace.people

    def at(self, times_s: Floats) -> Floats:
        """Return positions (k, n, 2) at times (k,) since the beginning of the trace, NaN where absent."""
        known_s, people = self._times_s, self._people
        after = np.clip(np.searchsorted(known_s, times_s, side="right"), 1, len(known_s) - 1)
        # The last interval may be much shorter than the others, so two intervals give the velocity.
        before = np.where(times_s > known_s[-1], max(len(known_s) - 3, 0), after - 1)
        share = (times_s - known_s[before]) / (known_s[after] - known_s[before])
        return np.asarray(people[before] + share[:, None, None] * (people[after] - people[before]))


def could_be_avoided(trace: Trace, world: World, max_speed_mps: float, person: int | None) -> bool:
    """Return whether the contact at the end of a trace could have been avoided.

    Args:
        trace: the episode up to the contact.
        world: its robot and solids.
        max_speed_mps: speed cap of the scenario.
        person: index of the person who was touched; None: something static, which is taken as seen from the start.
    """
    robot, radii_m = world.robots[0].spec, np.array([other.radius_m for other in world.people])
    sighting = 0 if person is None else first_hit(trace, robot, person, float(radii_m[person]))
    if sighting is None:
        return False
    times_s = (trace.stamps_ns - trace.stamps_ns[0]) * 1e-9
    contact_s = float(times_s[-1])
    problem = _problem(trace, world, radii_m, max_speed_mps, contact_s + _BEYOND_S)
    for attempt in range(_MOST_TRIES):
        begin_s = contact_s - _REACTION_S - attempt * _EVERY_S
        tick = int(np.searchsorted(times_s, begin_s + 1e-6)) - 1
        if tick < sighting:
            return False
        start = np.array([*trace.poses[tick], trace.twists[tick, 0], trace.twists[tick, 2]])
        search = BeamSearch(replace(problem, start=start, start_s=float(times_s[tick])), _WIDTH, _MARGIN_M)
        if search.run() is not None or search.outlasted:
            return True
    return False


def _problem(trace: Trace, world: World, radii_m: Floats, max_speed_mps: float, deadline_s: float) -> Problem:
    placement = world.robots[0]
    assert placement.goal is not None
    return Problem(
        robot=placement.spec,
        limits=command_limits(placement.spec, max_speed_mps),
        start=np.zeros(5),
        started_s=np.empty(0),
        start_s=0.0,
        goal=np.array(placement.goal[:2]),
        goal_tolerance_m=0.0,
        deadline_s=deadline_s,
        field=GoalField(world, footprint_discs(placement.spec).radius_m),
        people=TracePeople(trace, radii_m),
        # Those who step out did so in the trace.
        step_outs=StepOuts(replace(world, people=())),
    )


def first_hit(trace: Trace, robot: RobotSpec, person: int, radius_m: float) -> int | None:
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
