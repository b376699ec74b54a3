"""Time-expanded beam search for a drive to the goal that touches nothing.

Every 0.4 s each hypothesis is continued by all pairs of a speed and a yaw rate within the robot's real limits, followed
with its real accelerations. Continuations that touch a solid, or a person at the true place at that time, are dropped.
Of those that end in the same cell of place, heading and speed the best is kept, and of these the most promising half of
the beam and an even choice of the rest, so that hypotheses which wait or make way survive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.geometry import wrap_angle
from edge_worldmodel.core.types import Floats, Mask
from edge_worldmodel.evaluation.arena.clairvoyant.goal_field import GoalField
from edge_worldmodel.evaluation.arena.clairvoyant.people_ahead import PlacesAhead, StepOuts
from edge_worldmodel.evaluation.controllers.command_limits import CommandLimits
from edge_worldmodel.evaluation.controllers.costmap.footprint import footprint_discs
from edge_worldmodel.sim.robots import RobotSpec

SEGMENT_S, DT_S = 0.4, 0.05
_STEPS = round(SEGMENT_S / DT_S)
_AFTER_S = DT_S * np.arange(1, _STEPS + 1)
_SPEEDS, _TURNS = (0.0, 0.5, 1.0), (-1.0, -0.5, -0.2, 0.0, 0.2, 0.5, 1.0)
_MOST_REVERSE_MPS = 0.5
_TURNING_M_PER_RAD = 0.15
"""Facing away from the way counts as so many metres."""
_CELL_M, _CELL_RAD, _CELL_MPS = 0.15, math.pi / 6, 0.34
_WALL_MARGIN_M = 0.06
_WALL_CHECK_M = 0.1
"""Robots that drive no farther than this in two steps are compared with solids in every second step."""
_NEAR_MARGIN_M, _MARGIN_GROWS_MPS = 0.02, 0.15
"""A search may begin beside a person, so the margin to people grows from this with the time ahead."""
_MOTOR_LAG_S = 0.04
"""The motors follow the speeds of the drive by so much later."""


@dataclass(frozen=True)
class Problem:
    """One episode as the search sees it; times count from the beginning of the simulation.

    ``start`` (5: x, y, yaw, v, w) is the state at ``start_s``, and ``started_s`` (n,) when the people who step out
    started, inf where they still wait.
    """

    robot: RobotSpec
    limits: CommandLimits
    start: Floats
    started_s: Floats
    start_s: float
    goal: Floats
    goal_tolerance_m: float
    deadline_s: float
    field: GoalField
    people: PlacesAhead
    step_outs: StepOuts


@dataclass(frozen=True)
class PlannedDrive:
    """Commands (n, 2), one every SEGMENT_S, and the states (m, 5: x, y, yaw, v, w), one every DT_S, start included."""

    commands: Floats
    states: Floats


class BeamSearch:
    """One search with a width and a margin."""

    def __init__(self, problem: Problem, width: int, margin_m: float) -> None:
        """Prepare the actions.

        Args:
            problem: the episode.
            width: hypotheses that are kept.
            margin_m: distance to keep from people; from solids at most _WALL_MARGIN_M of it.
        """
        self._problem, self._width, self._margin_m = problem, width, margin_m
        self._wall_margin_m = min(margin_m, _WALL_MARGIN_M)
        self._wall_stride = 2 if problem.limits.forward_mps * 2 * DT_S <= _WALL_CHECK_M else 1
        self.expanded = 0
        """How many hypotheses were continued."""
        self.outlasted = False
        """Whether some hypothesis touched nothing up to the deadline."""
        limits = problem.limits
        forward = [(s * limits.forward_mps, t * limits.yaw_rate_radps) for s in _SPEEDS for t in _TURNS]
        slow = -min(limits.reverse_mps, _MOST_REVERSE_MPS)
        back = [(slow, t * limits.yaw_rate_radps) for t in (-0.5, 0.0, 0.5)] if slow else []
        self._actions = np.array(forward + back)
        self._discs = footprint_discs(problem.robot)
        self._half_m = np.array([problem.robot.length_m, problem.robot.width_m]) / 2
        self._round_m = 0.0 if problem.robot.length_m else problem.robot.radius_m

    def run(self) -> PlannedDrive | None:
        """Return the drive that arrives first, None if no hypothesis does before the deadline."""
        problem = self._problem
        states, started_s = problem.start[None], problem.started_s[None]
        history: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
        now_s = problem.start_s
        while now_s < problem.deadline_s - SEGMENT_S:
            self.expanded += len(states)
            paths = self._continued(states)
            times_s = np.asarray(now_s + _AFTER_S + _MOTOR_LAG_S, np.float64)
            started_s = problem.step_outs.started_s(started_s[:, None], paths[..., :2], times_s)
            free = self._free(states, paths, started_s, times_s)
            arrived = np.hypot(*np.moveaxis(paths[..., :2] - problem.goal, -1, 0)) <= problem.goal_tolerance_m
            first = np.where(arrived, _AFTER_S, np.inf).min(axis=-1)
            # What happens after the arrival does not matter.
            touched_s = np.where(free, np.inf, _AFTER_S).min(axis=-1)
            if (won := first < touched_s).any():
                best = np.where(won, first, np.inf)
                parent, action = np.unravel_index(best.argmin(), best.shape)
                return self._drive(history, int(parent), int(action))
            survivors = np.nonzero(free.all(axis=-1))
            if not len(survivors[0]):
                return None
            kept = self._select(paths[survivors][:, -1])
            parents, actions = survivors[0][kept], survivors[1][kept]
            history.append((parents, actions))
            states, started_s = paths[parents, actions, -1], started_s[parents, actions]
            now_s += SEGMENT_S
        self.outlasted = True
        return None

    def _continued(self, states: Floats) -> Floats:
        """Return the states (n, actions, steps, 5) that follow states (n, 5)."""
        limits, shape = self._problem.limits, (len(states), len(self._actions))
        v, w = (np.broadcast_to(states[:, axis, None], shape) for axis in (3, 4))
        x, y, yaw = (np.broadcast_to(states[:, axis, None], shape) for axis in (0, 1, 2))
        # Contiguous per coordinate, because that is how they are read.
        found = np.moveaxis(np.empty((5, _STEPS, *shape)), (0, 1), (-1, -2))
        for step in range(_STEPS):
            change = self._actions[:, 0] - v
            most = np.where(v * change < 0.0, limits.deceleration_mps2, limits.acceleration_mps2) * DT_S
            next_v = v + np.clip(change, -most, most)
            turn = limits.yaw_acceleration_radps2 * DT_S
            next_w = w + np.clip(self._actions[:, 1] - w, -turn, turn)
            if limits.turn_radius_m:
                next_w = np.clip(next_w, -np.abs(next_v) / limits.turn_radius_m, np.abs(next_v) / limits.turn_radius_m)
            way, turned = 0.5 * (v + next_v) * DT_S, 0.5 * (w + next_w) * DT_S
            middle = yaw + 0.5 * turned
            x, y, yaw = x + way * np.cos(middle), y + way * np.sin(middle), yaw + turned
            v, w = next_v, next_w
            for axis, values in enumerate((x, y, yaw, v, w)):
                found[..., step, axis] = values
        return found

    def _free(self, states: Floats, paths: Floats, started_s: Floats, times_s: Floats) -> Mask:
        """Return whether each state (n, actions, steps) keeps the margin to solids and people."""
        problem = self._problem
        free = np.ones(paths.shape[:-1], bool)
        checked = np.s_[:, :, self._wall_stride - 1 :: self._wall_stride]
        poses = paths[checked]
        centres = poses[..., None, :2] if self._round_m else self._discs.discs(poses[..., :3])
        clear_m = problem.field.clearance_m(centres) - self._discs.radius_m
        free[checked] = (clear_m >= self._wall_margin_m).all(axis=-1)
        ahead_s = times_s - problem.start_s
        margins_m = np.minimum(self._margin_m, _NEAR_MARGIN_M + _MARGIN_GROWS_MPS * ahead_s)
        if len(problem.step_outs):
            places = problem.step_outs.at(started_s, times_s)
            gaps_m = self._gaps(paths[..., None, :3], places) - problem.step_outs.radii_m
            free &= (gaps_m >= margins_m[:, None]).all(axis=-1)
        people = problem.people.at(times_s)
        if people.shape[1]:
            self._remove_touching(free, states, paths, people, margins_m)
        return free

    def _remove_touching(self, free: Mask, states: Floats, paths: Floats, people: Floats, margins_m: Floats) -> None:
        """Clear ``free`` where a person is too near; only those whom a hypothesis can reach are compared."""
        problem = self._problem
        reach_m = np.abs(states[:, 3]).max() * SEGMENT_S + problem.robot.radius_m + self._margin_m
        reach_m += 0.5 * problem.limits.acceleration_mps2 * SEGMENT_S**2
        away_m = np.hypot(*np.moveaxis(states[:, None, None, :2] - people, -1, 0))
        away_m = np.where(np.isnan(away_m), np.inf, away_m).min(axis=1)
        who, whom = np.nonzero(away_m < reach_m + problem.people.radii_m)
        places = people[:, whom].swapaxes(0, 1)[:, None]
        gaps_m = self._gaps(paths[who, ..., :3], places) - problem.people.radii_m[whom, None, None]
        # Absent people (NaN) are no obstacle.
        pair, action, step = np.nonzero(gaps_m < margins_m)
        free[who[pair], action, step] = False

    def _gaps(self, poses: Floats, points: Floats) -> Floats:
        """Return the distances (...) of points (..., 2) to the footprint at poses (..., 3)."""
        x, y = points[..., 0] - poses[..., 0], points[..., 1] - poses[..., 1]
        if self._round_m:
            return np.asarray(np.hypot(x, y) - self._round_m)
        c, s = np.cos(poses[..., 2]), np.sin(poses[..., 2])
        ahead = np.maximum(np.abs(c * x + s * y) - self._half_m[0], 0.0)
        return np.asarray(np.hypot(ahead, np.maximum(np.abs(c * y - s * x) - self._half_m[1], 0.0)))

    def _select(self, states: Floats) -> NDArray[np.intp]:
        """Return the indices of the states (n, 5) to keep."""
        field, places = self._problem.field, states[:, :2]
        away_rad = np.abs(wrap_angle(field.heading_rad(places) - states[:, 2]))
        order = np.argsort(field.distance_m(places) + _TURNING_M_PER_RAD * away_rad, kind="stable")
        cells = np.rint(
            np.stack(
                [*(places.T / _CELL_M), np.remainder(states[:, 2], 2 * math.pi) / _CELL_RAD, states[:, 3] / _CELL_MPS]
            )
        ).astype(np.int64)
        keys = ((cells[0] * 100_003 + cells[1]) * 101 + cells[2]) * 103 + cells[3]
        _, first = np.unique(keys[order], return_index=True)
        different = order[np.sort(first)]
        if len(different) <= self._width:
            return np.asarray(different)
        half = self._width // 2
        rest = different[half:]
        return np.concatenate([different[:half], rest[np.linspace(0, len(rest) - 1, self._width - half).astype(int)]])

    def _drive(
        self, history: list[tuple[NDArray[np.intp], NDArray[np.intp]]], parent: int, action: int
    ) -> PlannedDrive:
        chain = [action]
        for parents, actions in reversed(history):
            chain.append(int(actions[parent]))
            parent = int(parents[parent])
        chain.reverse()
        states = [self._problem.start[None]]
        for chosen in chain:
            states.append(self._continued(states[-1][-1:])[0, chosen])
        return PlannedDrive(self._actions[chain], np.concatenate(states))
