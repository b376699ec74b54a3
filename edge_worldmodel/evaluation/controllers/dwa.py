"""The Dynamic Window Approach (Fox, Burgard and Thrun, 1997).

Circular arcs within reach of the accelerations, admissible when the robot can stop before what it would hit, chosen
by heading, clearance and speed. The heading is taken towards a point ahead on the path instead of the goal itself.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.geometry import wrap_angle
from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.controllers.controller import STOP, Command
from edge_worldmodel.evaluation.controllers.costmap.guidance import SPACING_M
from edge_worldmodel.evaluation.controllers.local_planner import LocalPlanner, NavigationState
from edge_worldmodel.evaluation.controllers.settings import configured
from edge_worldmodel.sim.robots import RobotSpec


@dataclass(frozen=True)
class DwaConfig(Config):
    """Weights as in the article; each term is scaled to 0..1."""

    heading_weight: float = param(2.0, "weight of driving towards the target", minimum=0.0)
    clearance_weight: float = param(0.2, "weight of the free way along the arc", minimum=0.0)
    speed_weight: float = param(0.2, "weight of going fast", minimum=0.0)
    window_s: float = param(0.25, "time in which speeds must be reachable", minimum=0.05, maximum=2.0)
    horizon_s: float = param(2.5, "how far arcs are looked along", minimum=0.5, maximum=10.0)
    lookahead_m: float = param(0.8, "how far ahead on the path the target lies", minimum=0.2, maximum=5.0)
    margin_m: float = param(0.03, "distance kept from obstacles", minimum=0.0, maximum=0.5)
    reaction_s: float = param(0.15, "time before braking begins", minimum=0.0, maximum=1.0)
    speeds: int = param(9, "forward speeds tried", minimum=2, maximum=50)
    turns: int = param(31, "yaw rates tried", minimum=3, maximum=101)


_STEPS = 24


class Dwa(LocalPlanner):
    """Chooses one arc of the dynamic window per look."""

    def __init__(self, robot: RobotSpec, max_speed_mps: float, config: DwaConfig | None = None) -> None:
        """Drive a robot under a speed cap."""
        self.config = config or DwaConfig()
        super().__init__("dwa", robot, max_speed_mps)

    def begin(self, rng: np.random.Generator) -> None:
        """Nothing is kept and nothing is random."""

    def choose(self, scene: NavigationState) -> Command:
        """Score the window and take the best admissible arc; none: stop."""
        speeds, turns = self._window(scene.look.twist)
        ahead = arcs(scene.pose, speeds, turns, self.config.horizon_s, _STEPS)
        free_s = self._free_s(scene, ahead)
        speed, turn = np.repeat(speeds, len(turns)), np.tile(turns, len(speeds))
        # Arcs shorter than the braking way lead into an obstacle.
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
        score = self._score(scene, ahead, speed, free_s)
        best = int(np.argmax(np.where(admissible, score, -np.inf)))
        return Command(float(speed[best]), float(turn[best]))

    def _window(self, twist: Floats) -> tuple[Floats, Floats]:
        """Return speeds (s,) and yaw rates (w,) of the dynamic window; each goes with each."""
        cfg, limits = self.config, self.limits
        v, w = float(twist[0]), float(twist[2])
        low = max(0.0, v - limits.deceleration_mps2 * cfg.window_s)
        high = max(min(limits.forward_mps, v + limits.acceleration_mps2 * cfg.window_s), low)
        reach = limits.yaw_acceleration_radps2 * cfg.window_s
        left, right = min(limits.yaw_rate_radps, w + reach), max(-limits.yaw_rate_radps, w - reach)
        speeds = np.linspace(min(low, limits.forward_mps), high, cfg.speeds)
        turns = np.append(np.linspace(right, left, cfg.turns), np.clip(0.0, right, left))
        return speeds, turns

    def _free_s(self, scene: NavigationState, ahead: Arcs) -> Floats:
        """Return (n,) how long each arc is free; standing inside of the margin, only what comes nearer counts."""
        cos, sin = np.cos(ahead.yaw), np.sin(ahead.yaw)
        discs = [scene.costmap.distance_of(ahead.x + cos * c, ahead.y + sin * c) for c in self.footprint.centres_m]
        clearance = functools.reduce(np.minimum, discs).reshape(-1, _STEPS + 1)
        needed_m = self.footprint.radius_m + self.config.margin_m
        blocked = (clearance < needed_m) & (clearance < clearance[:, :1])
        times_s = np.linspace(0.0, self.config.horizon_s, _STEPS + 1)
        first = np.where(blocked.any(axis=1), np.argmax(blocked, axis=1), _STEPS + 1)
        return np.where(first > _STEPS, math.inf, times_s[np.maximum(np.minimum(first, _STEPS) - 1, 0)])

    def _score(self, scene: NavigationState, ahead: Arcs, speed: Floats, free_s: Floats) -> Floats:
        cfg = self.config
        target = scene.path[min(len(scene.path) - 1, round(cfg.lookahead_m / SPACING_M))]
        # Where the robot would be when it has stopped turning.
        at = max(round(_STEPS * 0.4 / cfg.horizon_s), 1)
        bearing = np.arctan2(target[1] - ahead.y[..., at], target[0] - ahead.x[..., at])
        heading = (1.0 - np.abs(wrap_angle(bearing - ahead.yaw[:, at])) / np.pi).reshape(-1)
        # An arc that is free as far as it is looked along, and a turn on the spot, have all the clearance there is.
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
    """Arcs of constant speed and yaw rate: ``x``, ``y`` (s, w, t); ``yaw`` (w, t) is the same for all speeds."""

    x: Floats
    y: Floats
    yaw: Floats


def arcs(pose: Floats, speeds: Floats, turns: Floats, horizon_s: float, steps: int) -> Arcs:
    """Return arcs of ``steps`` steps from a pose (3,), of all speeds (s,) with all yaw rates (w,)."""
    t = np.linspace(0.0, horizon_s, steps + 1)
    half = 0.5 * turns[:, None] * t
    # The chord of an arc of angle a and length l is l sin(a / 2) / (a / 2), at half the angle.
    chord = (speeds[:, None] * t)[:, None] * np.sinc(half / np.pi)
    heading = pose[2] + half
    return Arcs(pose[0] + chord * np.cos(heading), pose[1] + chord * np.sin(heading), heading + half)


def _make(robot: RobotSpec, max_speed_mps: float, settings: Mapping[str, Any]) -> Dwa:
    return Dwa(robot, max_speed_mps, configured(DwaConfig, settings))


FACTORIES = {"dwa": _make}
