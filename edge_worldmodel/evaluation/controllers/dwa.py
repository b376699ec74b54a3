"""The Dynamic Window Approach (Fox, Burgard and Thrun, 1997).

Candidates are circular arcs that are reachable within the acceleration limits. An arc is admissible if the robot can
stop before the obstacle on it. The best arc is chosen by heading, clearance and speed; the heading is that to a point
ahead on the path, instead of the goal itself.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.geometry import wrap_angle
from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.controllers.controller import STOP, Command, factory
from edge_worldmodel.evaluation.controllers.costmap.guidance import SPACING_M
from edge_worldmodel.evaluation.controllers.local_planner import LocalPlanner, NavigationState
from edge_worldmodel.sim.robots import RobotSpec


@dataclass(frozen=True)
class DwaConfig(Config):
    """Weights as in the article; each term is scaled to 0 .. 1."""

    heading_weight: float = param(2.0, "weight of driving towards the target", minimum=0.0)
    clearance_weight: float = param(0.2, "weight of the free length of the arc", minimum=0.0)
    speed_weight: float = param(0.2, "weight of the speed", minimum=0.0)
    window_s: float = param(0.25, "time in which speeds must be reachable", minimum=0.05, maximum=2.0)
    horizon_s: float = param(2.5, "duration of the arcs", minimum=0.5, maximum=10.0)
    lookahead_m: float = param(0.8, "distance of the target along the path", minimum=0.2, maximum=5.0)
    margin_m: float = param(0.03, "distance kept from obstacles", minimum=0.0, maximum=0.5)
    reaction_s: float = param(0.15, "time before braking begins", minimum=0.0, maximum=1.0)
    speeds: int = param(9, "forward speeds tried", minimum=2, maximum=50)
    turns: int = param(31, "yaw rates tried", minimum=3, maximum=101)


_STEPS = 24


class Dwa(LocalPlanner):
    """Chooses one arc of the dynamic window per control period."""

    def __init__(self, robot: RobotSpec, max_speed_mps: float, config: DwaConfig | None = None) -> None:
        """Drive a robot under a speed cap."""
        self.config = config or DwaConfig()
        super().__init__("dwa", robot, max_speed_mps)

    def begin(self, rng: np.random.Generator) -> None:
        """Do nothing: the method has no memory and no randomness."""

    def choose(self, state: NavigationState) -> Command:
        """Return the best admissible arc of the window; stop if there is none."""
        speeds, turns = self._window(state.inputs.twist)
        ahead = arcs(state.pose, speeds, turns, self.config.horizon_s, _STEPS)
        free_s = self._free_s(state, ahead)
        speed, turn = np.repeat(speeds, len(turns)), np.tile(turns, len(speeds))
        # An arc is admissible if its free part is longer than the braking distance.
        braking_s = speed / self.limits.deceleration_mps2 + self.config.reaction_s
        braking_m = speed * self.config.reaction_s + speed**2 / (2.0 * self.limits.deceleration_mps2)
        turning_s = np.abs(turn) / self.limits.yaw_acceleration_radps2 + self.config.reaction_s
        free_m = speed * np.minimum(free_s, self.config.horizon_s)
        admissible = (np.isinf(free_s) | (free_m >= braking_m)) & (
            free_s >= np.minimum(np.maximum(braking_s, turning_s), 1.0)
        )
        admissible &= np.abs(turn) * self.limits.turn_radius_m <= speed + 1e-9
        if not admissible.any():
            return STOP
        score = self._score(state, ahead, speed, free_s)
        best = int(np.argmax(np.where(admissible, score, -np.inf)))
        return Command(float(speed[best]), float(turn[best]))

    def _window(self, twist: Floats) -> tuple[Floats, Floats]:
        """Return speeds (s,) and yaw rates (w,) of the dynamic window; all combinations are candidates."""
        cfg, limits = self.config, self.limits
        v, w = float(twist[0]), float(twist[2])
        low = max(0.0, v - limits.deceleration_mps2 * cfg.window_s)
        high = max(min(limits.forward_mps, v + limits.acceleration_mps2 * cfg.window_s), low)
        reach = limits.yaw_acceleration_radps2 * cfg.window_s
        left, right = min(limits.yaw_rate_radps, w + reach), max(-limits.yaw_rate_radps, w - reach)
        speeds = np.linspace(min(low, limits.forward_mps), high, cfg.speeds)
        # Driving straight, or the reachable yaw rate nearest to it, is always a candidate.
        turns = np.append(np.linspace(right, left, cfg.turns), np.clip(0.0, right, left))
        return speeds, turns

    def _free_s(self, state: NavigationState, ahead: Arcs) -> Floats:
        """Return the time (n,) for which each arc is free; inside the margin it is free while it gets no closer."""
        cos, sin = np.cos(ahead.yaw), np.sin(ahead.yaw)
        discs = [state.costmap.distance_of(ahead.x + cos * c, ahead.y + sin * c) for c in self.footprint.centres_m]
        clearance = functools.reduce(np.minimum, discs).reshape(-1, _STEPS + 1)
        needed_m = self.footprint.radius_m + self.config.margin_m
        blocked = (clearance < needed_m) & (clearance < clearance[:, :1])
        times_s = np.linspace(0.0, self.config.horizon_s, _STEPS + 1)
        first = np.where(blocked.any(axis=1), np.argmax(blocked, axis=1), _STEPS + 1)
        return np.where(first > _STEPS, math.inf, times_s[np.maximum(np.minimum(first, _STEPS) - 1, 0)])

    def _score(self, state: NavigationState, ahead: Arcs, speed: Floats, free_s: Floats) -> Floats:
        cfg = self.config
        target = state.path[min(len(state.path) - 1, round(cfg.lookahead_m / SPACING_M))]
        # As in the article, the heading is judged where the robot would be after it has stopped turning.
        at = max(round(_STEPS * 0.4 / cfg.horizon_s), 1)
        bearing = np.arctan2(target[1] - ahead.y[..., at], target[0] - ahead.x[..., at])
        heading = (1.0 - np.abs(wrap_angle(bearing - ahead.yaw[:, at])) / np.pi).reshape(-1)
        # Arcs that are free over the horizon, turns on the spot included, get the full clearance.
        clearance = np.where(
            np.isinf(free_s), 1.0, speed * np.minimum(free_s, cfg.horizon_s) / (self.limits.forward_mps * cfg.horizon_s)
        )
        total: Floats = (
            cfg.heading_weight * heading
            + cfg.clearance_weight * clearance
            + cfg.speed_weight * speed / self.limits.forward_mps
        )
        return total


@dataclass(frozen=True)
class Arcs:
    """Arcs of constant speed and yaw rate: ``x``, ``y`` (s, w, t); ``yaw`` (w, t) does not depend on the speed."""

    x: Floats
    y: Floats
    yaw: Floats


def arcs(pose: Floats, speeds: Floats, turns: Floats, horizon_s: float, steps: int) -> Arcs:
    """Return arcs of ``steps`` steps from a pose (3,) for all combinations of speeds (s,) and yaw rates (w,)."""
    t = np.linspace(0.0, horizon_s, steps + 1)
    half = 0.5 * turns[:, None] * t
    # The chord of an arc of angle a and length l is l sin(a / 2) / (a / 2), at half the angle.
    chord = (speeds[:, None] * t)[:, None] * np.sinc(half / np.pi)
    heading = pose[2] + half
    return Arcs(pose[0] + chord * np.cos(heading), pose[1] + chord * np.sin(heading), heading + half)


FACTORIES = {"dwa": factory(Dwa, DwaConfig)}
