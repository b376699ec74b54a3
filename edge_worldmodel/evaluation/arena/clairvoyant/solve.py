"""Solves an episode: search for a drive, then play it in a private simulation that is that of the episode.

Nothing in the simulation is random beyond its seed, so a drive that succeeds here succeeds in the episode, where the
controller ``clairvoyant`` gives the same commands at the same times. People who react to the robot do so here too. A
drive that ends in a contact is repaired: its beginning stays, and a new search from some time before the contact
reckons with people who react to the drive that was played.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.arena.clairvoyant.goal_field import GoalField
from edge_worldmodel.evaluation.arena.clairvoyant.people_ahead import PeopleAhead, StepOuts
from edge_worldmodel.evaluation.arena.clairvoyant.play import EpisodeSetup, PlayedDrive, play
from edge_worldmodel.evaluation.arena.clairvoyant.search import DT_S, BeamSearch, PlannedDrive, Problem
from edge_worldmodel.evaluation.controllers.command_limits import command_limits
from edge_worldmodel.evaluation.controllers.controller import CONTROL_PERIOD_S
from edge_worldmodel.evaluation.controllers.costmap.footprint import footprint_discs
from edge_worldmodel.sim.fields import WorldError
from edge_worldmodel.sim.simulation import CROWD_PERIOD_S

_LEVELS = (96, 0.1), (96, 0.06), (200, 0.04), (400, 0.02)
"""Width and margin of the searches; the next level follows where one finds no drive, and after failed plays."""
_LEVELS_AMONG_REACTING = (96, 0.1), (96, 0.2), (96, 0.15), (96, 0.1), (200, 0.08), (200, 0.06), (400, 0.04)
"""The same where people react: they may come nearer than to the drive before."""
_PLAYS_PER_LEVEL = 2
"""So many plays may fail at each level but the first."""
_HORIZON_S = 30.0
"""Where people react, a search looks no farther ahead, because they will walk otherwise by then."""
_MOST_EXPANDED = 60_000
"""No other search begins after so many hypotheses, which take some seconds."""
_EARLY_M = 0.05
"""The search arrives so far within the goal tolerance."""
_BACK_TICKS = 12
"""A repair begins so many control periods before the contact, and twice as many if the last repair gained nothing."""
_GAIN_TICKS = 4


@dataclass(frozen=True)
class Solution:
    """A drive that touches nothing: commands (n, 2), one per control period, and its time and length."""

    commands: Floats
    time_s: float
    path_m: float


def solve(setup: EpisodeSetup) -> Solution | None:
    """Return a drive to the goal, or None if none was found or the crowd model fails in this world."""
    try:
        return _solve(setup)
    except WorldError:
        return None


def _solve(setup: EpisodeSetup) -> Solution | None:
    problem, kept = _problem(setup), PlayedDrive.nothing(setup.world)
    if not problem.field.reachable:
        return None
    levels = _LEVELS_AMONG_REACTING if setup.people_react else _LEVELS
    level, plays, back, farthest, expanded = 0, 0, _BACK_TICKS, 0, 0
    while level < len(levels) and expanded < _MOST_EXPANDED:
        search = BeamSearch(problem, *levels[level])
        drive = search.run()
        expanded += search.expanded
        if drive is None:
            level, plays, back = level + 1, 0, 2 * back
        else:
            played = play(setup, kept.commands, drive)
            if played.arrived:
                return Solution(played.commands, played.time_s, played.path_m)
            plays += 1
            level, plays = (level + 1, 0) if plays == _PLAYS_PER_LEVEL or level == 0 else (level, plays)
            back = _BACK_TICKS if played.ticks > farthest + _GAIN_TICKS else 2 * back
            farthest, kept = max(farthest, played.ticks), played
            if setup.people_react:
                problem = replace(problem, people=_people_beside(setup, played, drive))
        kept = kept.until(kept.ticks - back)
        problem = _continued(problem, setup, kept)
    return None


def _problem(setup: EpisodeSetup) -> Problem:
    """Return the whole episode, with people who react to a robot that stands."""
    world, placement = setup.world, setup.world.robots[0]
    assert placement.goal is not None
    step_outs = StepOuts(world)
    return Problem(
        robot=placement.spec,
        limits=command_limits(placement.spec, setup.max_speed_mps),
        start=np.array([*placement.start, 0.0, 0.0]),
        started_s=np.full(len(step_outs), np.inf),
        start_s=setup.observe_s,
        goal=np.array(placement.goal[:2]),
        goal_tolerance_m=setup.goal_tolerance_m - _EARLY_M,
        deadline_s=_deadline_s(setup, setup.observe_s),
        field=GoalField(world, footprint_discs(placement.spec).radius_m),
        people=PeopleAhead(world, setup.seed, np.array([[*placement.start[:2], 0.0, 0.0]])),
        step_outs=step_outs,
    )


def _continued(problem: Problem, setup: EpisodeSetup, kept: PlayedDrive) -> Problem:
    """Return the rest of an episode after the ticks that are kept."""
    start_s = setup.observe_s + kept.ticks * CONTROL_PERIOD_S
    times_s = np.asarray(setup.observe_s + CONTROL_PERIOD_S * np.arange(kept.ticks + 1), np.float64)
    waiting_s = np.full(len(problem.step_outs), np.inf)
    started_s = problem.step_outs.started_s(waiting_s, kept.states[:, :2], times_s)
    deadline_s = _deadline_s(setup, start_s)
    return replace(problem, start=kept.states[-1], start_s=start_s, started_s=started_s, deadline_s=deadline_s)


def _deadline_s(setup: EpisodeSetup, start_s: float) -> float:
    end_s = setup.observe_s + setup.time_limit_s
    return min(end_s, start_s + _HORIZON_S) if setup.people_react else end_s


def _people_beside(setup: EpisodeSetup, played: PlayedDrive, drive: PlannedDrive) -> PeopleAhead:
    """Return people who react to a drive as it was played up to its contact, and planned from there on."""
    known_s = DT_S * np.arange(len(drive.states))
    after_s = np.arange(CONTROL_PERIOD_S * played.drive_ticks, known_s[-1], CROWD_PERIOD_S)
    x, y, yaw, v = (np.interp(after_s, known_s, drive.states[:, axis]) for axis in range(4))
    planned = np.stack([x, y, v * np.cos(yaw), v * np.sin(yaw)], axis=-1)
    return PeopleAhead(setup.world, setup.seed, np.concatenate([played.robot_states, planned]))
