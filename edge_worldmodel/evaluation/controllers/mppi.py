"""Model predictive path integral control (Williams et al., 2017) as Nav2 ships it.

Draw noisy controls, roll them out, score them with the critics, average them by weight. ``mppi_static`` treats the
costmap as static, ``mppi_cv`` predicts moving clusters at constant velocity. The speed cap and the robot's own limits
replace vx_max and wz_max. There is one optimisation per control period, 10 per second; Nav2 runs 20.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.types import Floats, Tensor
from edge_worldmodel.evaluation.controllers import mppi_critics as critics
from edge_worldmodel.evaluation.controllers.controller import (
    CONTROL_PERIOD_S,
    STOP,
    Command,
    ControllerInput,
    factory,
)
from edge_worldmodel.evaluation.controllers.costmap.clusters import ClusterTracker, ClusterTracks
from edge_worldmodel.evaluation.controllers.costmap.guidance import SPACING_M
from edge_worldmodel.evaluation.controllers.local_planner import LocalPlanner, NavigationState
from edge_worldmodel.evaluation.controllers.mppi_config import MppiConfig
from edge_worldmodel.evaluation.controllers.mppi_critics import CriticData, Rollouts
from edge_worldmodel.sim.robots import RobotSpec

# Quadratic smoothing over 9 points (Savitzky and Golay, 1964), as in Nav2.
_SMOOTHING = np.array([-21.0, 14.0, 39.0, 54.0, 59.0, 54.0, 39.0, 14.0, -21.0]) / 231.0
_HALF = len(_SMOOTHING) // 2


class Mppi(LocalPlanner):
    """Improves one control sequence in every control period."""

    def __init__(
        self,
        name: str,
        robot: RobotSpec,
        max_speed_mps: float,
        config: MppiConfig | None = None,
        predicts: bool = False,
    ) -> None:
        """Drive a robot under a speed cap; ``predicts``: predict tracked clusters at constant velocity."""
        self.config = config or MppiConfig()
        self._predicts = predicts
        super().__init__(name, robot, max_speed_mps)
        self.begin(np.random.default_rng(0))

    def begin(self, rng: np.random.Generator) -> None:
        """Start from standstill; the noise is drawn once per episode, as Nav2 does by default."""
        cfg = self.config
        self._controls = np.zeros((2, cfg.time_steps), np.float32)
        self._history = np.zeros((2, _HALF), np.float32)
        self._noise = rng.standard_normal((2, cfg.time_steps, cfg.batch_size), np.float32)
        self._noise[0] *= cfg.speed_std_mps
        self._noise[1] *= cfg.turn_std_radps
        self._tracker = ClusterTracker()

    def observe(self, inputs: ControllerInput) -> None:
        """Update costmap and tracker while the robot stands."""
        super().observe(inputs)
        if self._predicts:
            self._tracker.update(inputs.stamp_ns, inputs.sweep, inputs.pose)

    def choose(self, state: NavigationState) -> Command:
        """Shift the control sequence, optimise it once and command its beginning; stop if all rollouts collide."""
        shift = max(round(CONTROL_PERIOD_S / self.config.model_dt_s), 1)
        self._controls = np.concatenate([self._controls[:, shift:], self._controls[:, -1:].repeat(shift, 1)], axis=1)
        rollouts = self._roll_out(state, self._controls[..., None] + self._noise)
        costs, collides = self._score(rollouts, state)
        if collides.all():
            self.forget_controls()
            return STOP
        self._update(rollouts.controls, costs)
        command = self._controls[:, :shift].mean(axis=1)
        self._history = np.concatenate([self._history, self._controls[:, :shift]], axis=1)[:, -_HALF:]
        return Command(float(command[0]), float(command[1]))

    def forget_controls(self) -> None:
        """Forget the control sequence."""
        self._controls[:] = 0.0
        self._history[:] = 0.0

    def _score(self, rollouts: Rollouts, state: NavigationState) -> tuple[Tensor, NDArray[np.bool_]]:
        """Return the costs (n,) of the rollouts and which of them collide (n,)."""
        return critics.score(rollouts, self._critic_data(state), self.config)

    def _critic_data(self, state: NavigationState) -> CriticData:
        # As Nav2's guide asks, the pruned path reaches as far as the robot can drive within the horizon.
        cfg = self.config
        reach_m = max(cfg.prune_m, 1.1 * self.limits.forward_mps * cfg.time_steps * cfg.model_dt_s)
        ahead = state.path[: max(round(reach_m / SPACING_M), 2)]
        tracks = ClusterTracks.none()
        distance_m = state.costmap.distance_m
        inputs = state.inputs
        if self._predicts:
            self._tracker.update(inputs.stamp_ns, inputs.sweep, inputs.pose)
            # Only the nearest clusters, because each one adds to the time of a tick. They are removed from the costmap,
            # with a margin for the spread of their hits, because their predictions are scored instead.
            tracks = self._tracker.tracks().moving().near(inputs.pose[:2], 5.0, 12)
            distance_m = state.costmap.without(tracks.positions, tracks.radii_m + 0.15)
        return CriticData(state.costmap, distance_m, ahead, inputs.pose, inputs.goal, self.footprint, tracks)

    def _bounds(self) -> tuple[Tensor, Tensor]:
        limits, cfg = self.limits, self.config
        low = [max(-limits.reverse_mps, cfg.min_speed_mps), -limits.yaw_rate_radps]
        return np.array(low, np.float32), np.array([limits.forward_mps, limits.yaw_rate_radps], np.float32)

    def _roll_out(self, state: NavigationState, controls: Tensor) -> Rollouts:
        """Return the rollouts of controls (2, T, n) from the present twist within the acceleration limits."""
        dt = np.float32(self.config.model_dt_s)
        start, limits = state.pose.astype(np.float32), self.limits
        changes = limits.acceleration_mps2, limits.deceleration_mps2, limits.yaw_acceleration_radps2
        speeds = reachable(controls, state.inputs.twist[[0, 2]], (np.array(changes) * dt).tolist())
        if limits.turn_radius_m:
            # A car turns no tighter than its smallest turning radius.
            most = np.abs(speeds[0]) / np.float32(limits.turn_radius_m)
            speeds[1] = np.clip(speeds[1], -most, most)
        yaw = np.cumsum(speeds[1], axis=0) * dt + start[2]
        # As in Nav2, positions use the yaw at the beginning of each step.
        before = np.concatenate([np.full_like(yaw[:1], start[2]), yaw[:-1]])
        way = speeds[0] * dt
        x = np.cumsum(way * np.cos(before), axis=0) + start[0]
        y = np.cumsum(way * np.sin(before), axis=0) + start[1]
        return Rollouts(controls, speeds, x, y, yaw, self.config.model_dt_s, *self._bounds())

    def _update(self, controls: Tensor, costs: Tensor) -> None:
        """Set the control sequence to the weighted mean of the drawn ones, smoothed and within the limits."""
        cfg = self.config
        spread = np.array([cfg.speed_std_mps, cfg.turn_std_radps], np.float32)[:, None]
        # The control cost of MPPI: noise along the present controls is penalised.
        pull = (self._controls / spread**2).reshape(-1)
        total = costs + cfg.gamma * (pull @ self._noise.reshape(len(pull), -1))
        # Subtracting the minimum keeps the exponential within range.
        weights = np.exp(-(total - total.min()) / cfg.temperature)
        mean = controls @ (weights / weights.sum()).astype(np.float32)
        padded = np.concatenate([self._history, mean, mean[:, -1:].repeat(_HALF, 1)], axis=1)
        smooth = np.stack([np.convolve(row, _SMOOTHING, "valid") for row in padded])
        low, high = self._bounds()
        self._controls = np.clip(smooth, low[:, None], high[:, None]).astype(np.float32)


def reachable(wanted: Tensor, start: Floats, changes: Sequence[float]) -> Tensor:
    """Return the speeds (2, T, n) that follow commanded ones within the acceleration limits.

    Args:
        wanted: commanded speeds and yaw rates (2, T, n).
        start: present speed and yaw rate (2,).
        changes: largest changes per step: accelerating, braking, turning.
    """
    up, down, turn = (np.float32(change) for change in changes)
    speeds = np.empty_like(wanted)
    v, w = (np.full(wanted.shape[2], value, np.float32) for value in start)
    for step in range(wanted.shape[1]):
        low, high = np.where(v > 0.0, v - down, v - up), np.where(v < 0.0, v + down, v + up)
        v = np.minimum(np.maximum(wanted[0, step], low), high, out=speeds[0, step])
        w = np.minimum(np.maximum(wanted[1, step], w - turn), w + turn, out=speeds[1, step])
    return speeds


FACTORIES = {
    "mppi_static": factory(partial(Mppi, "mppi_static"), MppiConfig),
    "mppi_cv": factory(partial(Mppi, "mppi_cv", predicts=True), MppiConfig),
}
