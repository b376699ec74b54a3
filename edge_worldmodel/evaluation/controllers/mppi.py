"""Model predictive path integral control (Williams et al., 2017) as Nav2 ships it, on a static costmap or with people
carried on at constant velocity.

Generate noisy controls, roll them out, score them with the critics, weigh them. Parameters and defaults are
those of Nav2's controller for a differential drive; the speed cap and the robot's own limits take the place of vx_max
and wz_max. One optimisation per look: Nav2 runs 20 in a second, the arena's scanner 10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.types import Floats, Tensor
from edge_worldmodel.evaluation.controllers import mppi_critics as critics
from edge_worldmodel.evaluation.controllers.clusters import ClusterTracker, Tracks
from edge_worldmodel.evaluation.controllers.controller import LOOK_PERIOD_S, STOP, Command
from edge_worldmodel.evaluation.controllers.guidance import SPACING_M
from edge_worldmodel.evaluation.controllers.local_planner import LocalPlanner, Scene
from edge_worldmodel.evaluation.controllers.mppi_critics import Rollouts, Surroundings
from edge_worldmodel.evaluation.controllers.settings import configured
from edge_worldmodel.sim.robots import RobotSpec


@dataclass(frozen=True)
class MppiConfig(Config):
    """Nav2's names in our units; the critics' weights begin with the critic's name."""

    batch_size: int = param(1000, "trajectories drawn", minimum=10, maximum=10000)
    time_steps: int = param(56, "points of a trajectory", minimum=10, maximum=200)
    model_dt_s: float = param(0.05, "time between two points", minimum=0.01, maximum=0.2)
    speed_std_mps: float = param(0.2, "spread of the drawn speeds", minimum=0.01)
    turn_std_radps: float = param(0.4, "spread of the drawn yaw rates", minimum=0.01)
    min_speed_mps: float = param(-0.35, "lowest speed, negative: backwards", maximum=0.0)
    max_turn_radps: float = param(1.9, "highest yaw rate", minimum=0.1)
    temperature: float = param(0.3, "how much of the worse trajectories counts", minimum=0.001)
    gamma: float = param(0.015, "smoothness against low energy", minimum=0.0)
    prune_m: float = param(1.5, "how much of the path is looked at", minimum=0.5, maximum=10.0)
    inflation_m: float = param(0.7, "distance up to which obstacles cost", minimum=0.1, maximum=3.0)
    cost_scaling: float = param(3.0, "how fast the cost of obstacles falls [1/m]", minimum=0.1)
    constraint_weight: float = param(4.0, "weight of staying within the limits", minimum=0.0)
    cost_weight: float = param(3.81, "weight of the costmap", minimum=0.0)
    critical_cost: float = param(300.0, "cost of a point whose inscribed circle touches", minimum=0.0)
    collision_cost: float = param(1e6, "cost of a collision", minimum=0.0)
    goal_weight: float = param(5.0, "weight of the distance to the goal, near it", minimum=0.0)
    align_weight: float = param(14.0, "weight of staying on the path", minimum=0.0)
    follow_weight: float = param(5.0, "weight of getting on along the path", minimum=0.0)
    angle_weight: float = param(2.0, "weight of facing along the path", minimum=0.0)
    forward_weight: float = param(5.0, "weight of not going backwards", minimum=0.0)


# Quadratic smoothing over 9 points (Savitzky and Golay, 1964), as Nav2 applies it to its result.
_SMOOTHING = np.array([-21.0, 14.0, 39.0, 54.0, 59.0, 54.0, 39.0, 14.0, -21.0]) / 231.0
_HALF = len(_SMOOTHING) // 2


class Mppi(LocalPlanner):
    """Keeps one control sequence from look to look and improves it."""

    def __init__(
        self,
        name: str,
        robot: RobotSpec,
        max_speed_mps: float,
        config: MppiConfig | None = None,
        predicts: bool = False,
    ) -> None:
        """Drive a robot under a speed cap; ``predicts``: carry tracked clusters on at constant velocity."""
        self.config = config or MppiConfig()
        self._predicts = predicts
        super().__init__(name, robot, max_speed_mps)
        self.begin(np.random.default_rng(0))

    def begin(self, rng: np.random.Generator) -> None:
        """Start from standing still, with noise drawn once for the episode, as Nav2 does by default."""
        cfg = self.config
        self._controls = np.zeros((cfg.time_steps, 2), np.float32)
        self._history = np.zeros((_HALF, 2), np.float32)
        noise = rng.standard_normal((cfg.batch_size, cfg.time_steps, 2), np.float32)
        self._noise = noise * np.array([cfg.speed_std_mps, cfg.turn_std_radps], np.float32)
        self._tracker = ClusterTracker()

    def choose(self, scene: Scene) -> Command:
        """Shift, optimise once, command what is planned for one look ahead; stop when everything collides."""
        shift = max(round(LOOK_PERIOD_S / self.config.model_dt_s), 1)
        self._controls = np.concatenate([self._controls[shift:], np.repeat(self._controls[-1:], shift, axis=0)])
        surroundings = self._surroundings(scene)
        rollouts = self._roll_out(scene, self._controls + self._noise)
        costs, collides = critics.score(rollouts, surroundings, self.config)
        if collides.all():
            self.begin_again()
            return STOP
        self._update(rollouts.controls, costs)
        command = self._controls[:shift].mean(axis=0)
        self._history = np.concatenate([self._history, self._controls[:shift]])[-_HALF:]
        return Command(float(command[0]), float(command[1]))

    def begin_again(self) -> None:
        """Forget the control sequence."""
        self._controls[:] = 0.0
        self._history[:] = 0.0

    def _surroundings(self, scene: Scene) -> Surroundings:
        ahead = scene.path[: max(round(self.config.prune_m / SPACING_M), 2)]
        tracks = Tracks.none()
        distance_m = scene.costmap.distance_m
        look = scene.look
        if self._predicts:
            self._tracker.update(look.stamp_ns, look.sweep, look.pose)
            tracks = self._tracker.tracks().moving().near(look.pose[:2], 5.0, 12)
            distance_m = scene.costmap.without(tracks.positions, tracks.radii_m + 0.15)
        return Surroundings(scene.costmap, distance_m, ahead, look.pose, look.goal, self.footprint, tracks)

    def _bounds(self) -> tuple[Tensor, Tensor]:
        limits, cfg = self.limits, self.config
        turn = min(limits.yaw_rate_radps, cfg.max_turn_radps)
        low = [max(-limits.reverse_mps, cfg.min_speed_mps), -turn]
        return np.array(low, np.float32), np.array([limits.forward_mps, turn], np.float32)

    def _roll_out(self, scene: Scene, controls: Tensor) -> Rollouts:
        """Return what controls (n, T, 2) lead to, from the present twist within the accelerations."""
        dt = np.float32(self.config.model_dt_s)
        low, high = self._bounds()
        controls = np.clip(controls, low, high)
        twist = scene.look.twist[[0, 2]].astype(np.float32)
        speeds = reachable(controls, twist, self._changes() * dt)
        yaw = np.cumsum(speeds[..., 1], axis=1) * dt
        before = np.concatenate([np.zeros_like(yaw[:, :1]), yaw[:, :-1]], axis=1)
        start = np.float32(scene.pose[2])
        x = np.cumsum(speeds[..., 0] * np.cos(before + start), axis=1) * dt + np.float32(scene.pose[0])
        y = np.cumsum(speeds[..., 0] * np.sin(before + start), axis=1) * dt + np.float32(scene.pose[1])
        return Rollouts(controls, speeds, np.stack([x, y, yaw + start], axis=-1), self.config.model_dt_s, low, high)

    def _changes(self) -> Tensor:
        """Return (3,): the accelerations of speeding up, of braking and of turning."""
        limits = self.limits
        return np.array(
            [limits.acceleration_mps2, limits.deceleration_mps2, limits.yaw_acceleration_radps2], np.float32
        )

    def _update(self, controls: Tensor, costs: Tensor) -> None:
        """Move the control sequence to the weighted mean of the drawn ones."""
        cfg = self.config
        variance = np.array([cfg.speed_std_mps, cfg.turn_std_radps], np.float32) ** 2
        noise = controls - self._controls
        costs = costs + cfg.gamma * (noise * (self._controls / variance)).sum(axis=(1, 2))
        weights = np.exp(-(costs - costs.min()) / cfg.temperature)
        mean = np.tensordot((weights / weights.sum()).astype(np.float32), controls, axes=1)
        padded = np.concatenate([self._history, mean, np.repeat(mean[-1:], _HALF, axis=0)])
        for axis in (0, 1):
            self._controls[:, axis] = np.convolve(padded[:, axis], _SMOOTHING, "valid")
        low, high = self._bounds()
        self._controls = np.clip(self._controls, low, high)


def reachable(wanted: Tensor, start: Tensor, changes: Tensor) -> Tensor:
    """Return the speeds (n, T, 2) that follow wanted ones as fast as the accelerations allow.

    Args:
        wanted: (n, T, 2) speed and yaw rate.
        start: (2,) what is driven now.
        changes: (3,) per step: speeding up, braking, turning.
    """
    up, down, turn = (float(change) for change in changes)
    # time first: each step then works on whole rows
    targets = np.ascontiguousarray(wanted.transpose(1, 2, 0))
    speeds = np.empty_like(targets)
    v = np.full(targets.shape[2], start[0], np.float32)
    w = np.full(targets.shape[2], start[1], np.float32)
    for target, row in zip(targets, speeds, strict=True):
        forward = v >= 0.0
        lower, upper = np.where(forward, -down, -up), np.where(forward, up, down)
        v = v + np.clip(target[0] - v, lower, upper)
        w = w + np.clip(target[1] - w, -turn, turn)
        row[0], row[1] = v, w
    return np.ascontiguousarray(speeds.transpose(2, 0, 1))


def _make_static(robot: RobotSpec, max_speed_mps: float, settings: Mapping[str, Any]) -> Mppi:
    return Mppi("mppi_static", robot, max_speed_mps, configured(MppiConfig, settings))


def _make_cv(robot: RobotSpec, max_speed_mps: float, settings: Mapping[str, Any]) -> Mppi:
    return Mppi("mppi_cv", robot, max_speed_mps, configured(MppiConfig, settings), predicts=True)


FACTORIES = {"mppi_static": _make_static, "mppi_cv": _make_cv}
