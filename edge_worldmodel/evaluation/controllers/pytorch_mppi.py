"""MPPI of the library `pytorch-mppi` on our costmap, an independent peer of our own MPPI baseline.

The library draws, rolls out and averages. This module provides the dynamics of the robot and a running cost of
obstacles and of the distance to the target, as the examples of the library do. It needs torch and pytorch-mppi.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.evaluation.controllers.controller import CONTROL_PERIOD_S, STOP, Command, ControllerError, factory
from edge_worldmodel.evaluation.controllers.costmap.costmap import CELL_M, CELLS
from edge_worldmodel.evaluation.controllers.costmap.guidance import SPACING_M
from edge_worldmodel.evaluation.controllers.local_planner import LocalPlanner, NavigationState
from edge_worldmodel.sim.robots import RobotSpec


@dataclass(frozen=True)
class PytorchMppiConfig(Config):
    """Parameters of the library and weights of the cost."""

    samples: int = param(1000, "trajectories drawn", minimum=10, maximum=10000)
    horizon: int = param(28, "points of a trajectory, one per control period", minimum=5, maximum=100)
    temperature: float = param(0.3, "the library's lambda", minimum=0.001)
    speed_std_mps: float = param(0.2, "standard deviation of the drawn speeds", minimum=0.01)
    turn_std_radps: float = param(0.5, "standard deviation of the drawn yaw rates", minimum=0.01)
    lookahead_m: float = param(1.5, "distance of the target along the path", minimum=0.2, maximum=5.0)
    target_weight: float = param(1.0, "cost per metre to the target and step", minimum=0.0)
    near_weight: float = param(3.0, "cost of a step right beside an obstacle", minimum=0.0)
    near_m: float = param(0.4, "distance from the footprint within which obstacles cost", minimum=0.01)
    collision_cost: float = param(1000.0, "cost of a step in an obstacle", minimum=0.0)


class PytorchMppi(LocalPlanner):
    """Wraps the controller of the library, which is made anew for every episode."""

    def __init__(self, robot: RobotSpec, max_speed_mps: float, config: PytorchMppiConfig | None = None) -> None:
        """Drive a robot under a speed cap.

        Raises:
            ControllerError: torch or pytorch-mppi is not installed.
        """
        try:
            import pytorch_mppi
            import torch
        except ModuleNotFoundError as error:
            raise ControllerError(
                f"planner 'pytorch_mppi' needs '{error.name}': "
                ".venv-train/bin/pip install --no-deps -r requirements/peer.txt"
            ) from error
        self._torch, self._library = torch, pytorch_mppi
        self.config = config or PytorchMppiConfig()
        super().__init__("pytorch_mppi", robot, max_speed_mps)
        self.begin(np.random.default_rng(0))

    def begin(self, rng: np.random.Generator) -> None:
        """Make the controller and seed torch, from which the library draws."""
        torch, cfg, limits = self._torch, self.config, self.limits
        torch.manual_seed(int(rng.integers(2**31)))
        torch.set_num_threads(1)
        self._distance = torch.zeros(CELLS * CELLS)
        self._origin = torch.zeros(2)
        self._target = torch.zeros(2)
        self._along = torch.tensor(self.footprint.centres_m, dtype=torch.float32)
        self._library_mppi = self._library.MPPI(
            self._dynamics,
            self._running_cost,
            nx=5,
            noise_sigma=torch.diag(torch.tensor([cfg.speed_std_mps**2, cfg.turn_std_radps**2])),
            num_samples=cfg.samples,
            horizon=cfg.horizon,
            lambda_=cfg.temperature,
            u_min=torch.tensor([0.0, -limits.yaw_rate_radps]),
            u_max=torch.tensor([limits.forward_mps, limits.yaw_rate_radps]),
        )

    def choose(self, state: NavigationState) -> Command:
        """Return the command of the library; stop if it is not finite."""
        torch = self._torch
        target = state.path[min(len(state.path) - 1, round(self.config.lookahead_m / SPACING_M))]
        self._distance = torch.from_numpy(state.costmap.distance_m.reshape(-1))
        self._origin = torch.tensor(state.costmap.origin, dtype=torch.float32)
        self._target = torch.tensor(target, dtype=torch.float32)
        state = torch.tensor(np.append(state.pose, state.inputs.twist[[0, 2]]), dtype=torch.float32)
        command = self._library_mppi.command(state).tolist()
        if not np.isfinite(command).all():
            self._library_mppi.reset()
            return STOP
        return Command(*command)

    def _dynamics(self, state: Any, control: Any) -> Any:
        """Return the next states (n, 5: x, y, yaw, speed, yaw rate), with speeds within the acceleration limits."""
        torch, limits, dt = self._torch, self.limits, CONTROL_PERIOD_S
        x, y, yaw, v, w = state.unbind(-1)
        change = torch.clamp(control[..., 0] - v, -limits.deceleration_mps2 * dt, limits.acceleration_mps2 * dt)
        turn = limits.yaw_acceleration_radps2 * dt
        v, w = v + change, w + torch.clamp(control[..., 1] - w, -turn, turn)
        if limits.turn_radius_m:
            most = v.abs() / limits.turn_radius_m
            w = torch.maximum(torch.minimum(w, most), -most)
        middle = yaw + 0.5 * w * dt
        return torch.stack([x + v * dt * torch.cos(middle), y + v * dt * torch.sin(middle), yaw + w * dt, v, w], -1)

    def _running_cost(self, state: Any, control: Any) -> Any:
        """Return (n,) costs of states (n, 5)."""
        torch, cfg = self._torch, self.config
        centre, yaw = state[..., None, :2], state[..., 2, None]
        facing = torch.stack([torch.cos(yaw), torch.sin(yaw)], -1)
        points = centre + self._along[:, None] * facing
        cells = ((points - self._origin) / CELL_M).long().clamp(0, CELLS - 1)
        clear_m = self._distance[cells[..., 1] * CELLS + cells[..., 0]].amin(-1) - self.footprint.radius_m
        near = torch.clamp(1.0 - clear_m / cfg.near_m, min=0.0) ** 2
        gap = torch.linalg.vector_norm(state[..., :2] - self._target, dim=-1)
        return cfg.target_weight * gap + cfg.near_weight * near + cfg.collision_cost * (clear_m < 0.0)


FACTORIES = {"pytorch_mppi": factory(PytorchMppi, PytorchMppiConfig)}
