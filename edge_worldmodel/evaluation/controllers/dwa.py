"""The Dynamic Window Approach (Fox, Burgard and Thrun, 1997).

Circular arcs within reach of the accelerations, admissible when the robot can stop before what it would hit, chosen
by heading, clearance and speed. The heading is taken towards a point ahead on the path instead of the goal itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.geometry import wrap_angle
from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.controllers.controller import STOP, Command
from edge_worldmodel.evaluation.controllers.guidance import SPACING_M
from edge_worldmodel.evaluation.controllers.local_planner import LocalPlanner, Scene
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

    def choose(self, scene: Scene) -> Command:
        """Score the window and take the best admissible arc; none: stop."""
        speed, turn = self._window(scene.look.twist)
        poses = arcs(scene.pose, speed, turn, self.config.horizon_s, _STEPS)
        free_s = self._free_s(scene, poses)
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
        score = self._score(scene, poses, speed, free_s)
        best = int(np.argmax(np.where(admissible, score, -np.inf)))
        return Command(float(speed[best]), float(turn[best]))

    def _window(self, twist: Floats) -> tuple[Floats, Floats]:
        """Return speeds and yaw rates (n,) of the dynamic window."""
        cfg, limits = self.config, self.limits
        v, w = float(twist[0]), float(twist[2])
        low = max(0.0, v - limits.deceleration_mps2 * cfg.window_s)
        high = max(min(limits.forward_mps, v + limits.acceleration_mps2 * cfg.window_s), low)
        reach = limits.yaw_acceleration_radps2 * cfg.window_s
        left, right = min(limits.yaw_rate_radps, w + reach), max(-limits.yaw_rate_radps, w - reach)
        speeds = np.linspace(min(low, limits.forward_mps), high, cfg.speeds)
        turns = np.append(np.linspace(right, left, cfg.turns), np.clip(0.0, right, left))
        grid = np.meshgrid(speeds, turns, indexing="ij")
        return grid[0].ravel(), grid[1].ravel()

    def _free_s(self, scene: Scene, poses: Floats) -> Floats:
        """Return (n,) how long each arc is free; standing inside of the margin, only what comes nearer counts."""
        clearance = scene.costmap.distance_at(self.footprint.discs(poses)).min(axis=-1)
        needed_m = self.footprint.radius_m + self.config.margin_m
        blocked = (clearance < needed_m) & (clearance < clearance[:, :1])
        times_s = np.linspace(0.0, self.config.horizon_s, _STEPS + 1)
        first = np.where(blocked.any(axis=1), np.argmax(blocked, axis=1), _STEPS + 1)
        return np.where(first > _STEPS, math.inf, times_s[np.maximum(np.minimum(first, _STEPS) - 1, 0)])

    def _score(self, scene: Scene, poses: Floats, speed: Floats, free_s: Floats) -> Floats:
        cfg = self.config
        target = scene.path[min(len(scene.path) - 1, round(cfg.lookahead_m / SPACING_M))]
        # Where the robot would be when it has stopped turning.
        at = poses[:, max(round(_STEPS * 0.4 / cfg.horizon_s), 1)]
        bearing = np.arctan2(target[1] - at[:, 1], target[0] - at[:, 0])
        heading = 1.0 - np.abs(wrap_angle(bearing - at[:, 2])) / np.pi
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


def arcs(pose: Floats, speed: Floats, turn: Floats, horizon_s: float, steps: int) -> Floats:
    """Return poses (n, steps + 1, 3) along arcs of constant speeds (n,) and yaw rates (n,) from a pose (3,)."""
    t = np.linspace(0.0, horizon_s, steps + 1)
    half = 0.5 * turn[:, None] * t
    # The chord of an arc of angle a and length l is l sin(a / 2) / (a / 2), at half the angle.
    chord = speed[:, None] * t * np.sinc(half / np.pi)
    heading = pose[2] + half
    x, y = pose[0] + chord * np.cos(heading), pose[1] + chord * np.sin(heading)
    return np.stack([x, y, heading + half], axis=-1)


def _make(robot: RobotSpec, max_speed_mps: float, settings: Mapping[str, Any]) -> Dwa:
    return Dwa(robot, max_speed_mps, configured(DwaConfig, settings))


FACTORIES = {"dwa": _make}
