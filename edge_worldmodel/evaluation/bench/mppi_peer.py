"""A planner to compare with: MPPI of the library `pytorch-mppi`, with our horizon and our costs.

It runs in a process of its own, because its Python (3.11 with torch) may be another than the one with ROS. It plans on
the same seeded rooms as our tick; both processes draw a room from its seed. Two things differ from our planner: it
samples trajectories instead of proposing maneuvers, and its costs see a static world, because it imagines none.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from edge_worldmodel.core import tensors
from edge_worldmodel.core.errors import EdgeWorldModelError
from edge_worldmodel.core.geometry import relative
from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.model.motion_forecast import motion_forecast
from edge_worldmodel.core.planner.critics.collision import dilate, footprint_kernel, time_weights
from edge_worldmodel.core.planner.guidance.local_map import ROUNDING_M, local_map
from edge_worldmodel.core.planner.guidance.outlook import Outlook, nearest_frames
from edge_worldmodel.core.planner.planner_config import PlannerConfig
from edge_worldmodel.core.planner.robot_limits import DT_S, STEPS, RobotLimits
from edge_worldmodel.evaluation.bench.seeded_room import draw_room

_ROOT = Path(__file__).resolve().parents[3]
_TRAINING_PYTHON = _ROOT / ".venv-train" / "bin" / "python"
_INSTALL = "make setup-train, then .venv-train/bin/pip install --no-deps -r requirements/peer.txt"
_SPEED_STD_MPS, _TURN_STD_RADPS, _TEMPERATURE = 0.2, 0.5, 0.3
_TURN_SHARE = 0.3


class PeerMissingError(EdgeWorldModelError):
    """pytorch-mppi is not installed or does not start."""


class Peer:
    """The process with pytorch-mppi; it times one command per scene and number of samples."""

    def __init__(self, python: str, counts: Sequence[int], cpu_time: bool) -> None:
        """Start the process; each number of sampled trajectories in ``counts`` has its own controller."""
        command = [python, "-m", __name__, *map(str, counts), *(["--cpu-time"] if cpu_time else [])]
        # One thread: with more, torch is slower at these sizes.
        environment = dict(os.environ, PYTHONPATH=str(_ROOT), OMP_NUM_THREADS="1")
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self._process = subprocess.Popen(command, env=environment, text=True, **pipes)
        self.version = str(self._read()["version"])

    def command(self, seed: int) -> dict[int, float]:
        """Return the seconds that one command took, by number of sampled trajectories."""
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(f"{seed}\n")
        stdin.flush()
        return {int(count): seconds for count, seconds in self._read().items()}

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=10.0)

    def _read(self) -> dict[str, Any]:
        line = _line(self._process.stdout)
        if not line:
            _, errors = self._process.communicate()
            last = (errors.strip().splitlines() or ["no message"])[-1]
            raise PeerMissingError(f"pytorch-mppi does not run: {last}. To install it: {_INSTALL}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _line(stream: IO[str] | None) -> str:
    return stream.readline() if stream is not None else ""


def open_peer(python: str, counts: Sequence[int], cpu_time: bool) -> Peer:
    """Start the process with pytorch-mppi.

    Args:
        python: interpreter with pytorch-mppi; empty: this one if it is installed there, else that of .venv-train.
        counts: numbers of trajectories to sample, each measured on every scene.
        cpu_time: measure processor time instead of elapsed time.

    Raises:
        PeerMissingError: it is not installed there; the message explains how to install it.
    """
    installed_here = importlib.util.find_spec("pytorch_mppi") and importlib.util.find_spec("torch")
    chosen = python or (sys.executable if installed_here else str(_TRAINING_PYTHON))
    try:
        return Peer(chosen, counts, cpu_time)
    except OSError as error:
        why = f"pytorch-mppi is not installed here, and {chosen}: {error.strerror}"
        raise PeerMissingError(f"{why}. To install it: {_INSTALL}") from error


class SameCosts:
    """Our dynamics and cost terms in torch, on one seeded scene."""

    def __init__(self, torch: Any) -> None:
        """Prepare everything that does not depend on the scene."""
        self._torch, self._config, self._limits = torch, PlannerConfig(), RobotLimits()
        stop_s = self._limits.max_speed_mps / self._limits.max_decel_mps2
        self._fade = time_weights(stop_s, self._config.risk_half_life_s).tolist()
        self._frame = nearest_frames(STEPS + 1).tolist()
        self._corners = torch.tensor([0, 1, EGO_GRID.cells, EGO_GRID.cells + 1])
        self._corner_cells = torch.tensor([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])

    def look(self, seed: int) -> Any:
        """Set the scene of a seed; return the state (5,) to plan from: pose in the ego frame, speed, yaw rate."""
        torch = self._torch
        grid, pose, twist, goal = draw_room(seed)
        clear_m = self._limits.radius_m + self._config.wall_margin_m
        motion = motion_forecast(np.tile(grid, (tensors.HISTORY_FRAMES, 1, 1)).astype(np.float32))
        ahead = relative(pose, np.append(goal, 0.0))[:2]
        seen = Outlook(local_map(grid), motion >= 0.5, ahead, clear_m)
        field = seen.cost_to_go
        movers = (seen.seen.occupied & ~seen.static.occupied)[None].astype(np.float32)
        grown = dilate(movers, footprint_kernel(clear_m))
        # As many frames as our planner has; all are equal, because nothing is imagined.
        self._movers = torch.from_numpy(np.repeat(grown, tensors.HORIZON_STEPS + 1, axis=0).reshape(-1))
        self._clearance = torch.from_numpy(seen.static.clearance_m.reshape(-1))
        self._clear_here_m = float(seen.static.clearance_along(np.zeros((1, 2)))[0])
        self._distance = torch.from_numpy(np.ascontiguousarray(field.distance_m).reshape(-1))
        self._following = torch.from_numpy(field.following.astype(np.int64))
        self._goal = torch.tensor(ahead, dtype=torch.float32)
        self._from_here_m = float(field.at(np.zeros(2)))
        return torch.tensor([0.0, 0.0, 0.0, twist[0], twist[2]], dtype=torch.float32)

    def dynamics(self, state: Any, control: Any, _step: int) -> Any:
        """Return the next states (K, 5), speeds changing within the accelerations."""
        torch, limits = self._torch, self._limits
        x, y, yaw, v, w = state.unbind(-1)
        turn = limits.max_yaw_accel_radps2 * DT_S
        v = v + torch.clamp(control[:, 0] - v, -limits.max_decel_mps2 * DT_S, limits.max_accel_mps2 * DT_S)
        w = w + torch.clamp(control[:, 1] - w, -turn, turn)
        middle = yaw + 0.5 * w * DT_S
        x, y = x + v * DT_S * torch.cos(middle), y + v * DT_S * torch.sin(middle)
        return torch.stack([x, y, yaw + w * DT_S, v, w], -1)

    def running_cost(self, state: Any, control: Any, step: int) -> Any:
        """Return the costs (K,) of one step: risk and effort."""
        torch, config, limits, cells = self._torch, self._config, self._limits, EGO_GRID.cells
        inside = state[:, :2] / EGO_GRID.cell_size_m + 0.5 * cells
        where = inside.long().clamp(0, cells - 1)
        offset = self._frame[step + 1] * cells * cells
        hit = torch.maximum(self._movers[offset + where[:, 1] * cells + where[:, 0]], self._touching(inside - 0.5))
        hit = self._fade[step + 1] * hit
        own = hit * torch.clamp(state[:, 3].abs() / config.harmless_mps, max=1.0)
        risk = config.arrival_weight * (config.risk_weight_m * own + config.exposure_weight_m * (hit - own))
        change = control - state[:, 3:]
        accel = (change[:, 0] / DT_S / limits.max_accel_mps2) ** 2
        yaw_accel = (change[:, 1] / DT_S / limits.max_yaw_accel_radps2) ** 2
        effort = accel + yaw_accel + (state[:, 4] / limits.max_yaw_rate_radps) ** 2
        return risk + config.comfort_weight / STEPS * effort

    def _touching(self, position: Any) -> Any:
        """Return 1 where the footprint at positions (K, 2) in cells is too close to static obstacles, as (K,)."""
        torch, cells = self._torch, EGO_GRID.cells
        corner = position.floor().clamp(0, cells - 2)
        share = (position - corner).clamp(0.0, 1.0)
        near = self._clearance[(corner[:, 1] * cells + corner[:, 0]).long()[:, None] + self._corners]
        x, y = share[:, 0], share[:, 1]
        rows = near[:, 0] * (1 - x) + near[:, 1] * x, near[:, 2] * (1 - x) + near[:, 3] * x
        clear_m = rows[0] * (1 - y) + rows[1] * y
        close = clear_m < self._limits.radius_m + self._config.wall_margin_m + ROUNDING_M
        return (close & (clear_m < self._clear_here_m - 2.0 * ROUNDING_M)).to(torch.float32)

    def terminal_cost(self, states: Any, _actions: Any) -> Any:
        """Return the costs (1, K) of arrival and progress at the end of states (1, K, T, 5)."""
        torch, config, cells = self._torch, self._config, EGO_GRID.cells
        end = states[:, :, -1]
        inside = end[..., :2] / EGO_GRID.cell_size_m + 0.5 * cells
        corner = (inside - 0.5).floor().clamp(0, cells - 2)
        gap = torch.linalg.vector_norm((inside - 0.5 - corner)[..., None, :] - self._corner_cells, dim=-1)
        known = self._distance[(corner[..., 1] * cells + corner[..., 0]).long()[..., None] + self._corners]
        direct = torch.linalg.vector_norm(end[..., :2] - self._goal, dim=-1)
        to_go = (known + gap * EGO_GRID.cell_size_m).amin(-1)
        to_go = torch.where(direct < 2.0 * EGO_GRID.cell_size_m, direct, to_go)
        where = inside.long().clamp(0, cells - 1)
        cell = where[..., 1] * cells + where[..., 0]
        for _ in range(4):
            cell = self._following[cell]
        centre = (torch.stack([cell % cells, cell // cells], -1) - 0.5 * (cells - 1)) * EGO_GRID.cell_size_m
        ends = (self._following[cell] == cell)[..., None]
        ahead = torch.where(ends, self._goal, centre) - end[..., :2]
        away = torch.atan2(ahead[..., 1], ahead[..., 0]) - end[..., 2]
        away = torch.atan2(torch.sin(away), torch.cos(away)).abs() / np.pi
        reach_m = self._limits.max_speed_mps * tensors.HORIZON_S
        arrival = to_go + _TURN_SHARE * away * to_go.clamp(max=reach_m)
        return config.arrival_weight * arrival + config.progress_weight * (to_go - self._from_here_m)


def _controller(torch: Any, library: Any, costs: SameCosts, count: int) -> Any:
    limits = RobotLimits()
    return library.MPPI(
        costs.dynamics,
        costs.running_cost,
        nx=5,
        noise_sigma=torch.diag(torch.tensor([_SPEED_STD_MPS**2, _TURN_STD_RADPS**2])),
        num_samples=count,
        horizon=STEPS,
        lambda_=_TEMPERATURE,
        u_min=torch.tensor([0.0, -limits.max_yaw_rate_radps]),
        u_max=torch.tensor([limits.max_speed_mps, limits.max_yaw_rate_radps]),
        terminal_state_cost=costs.terminal_cost,
        step_dependent_dynamics=True,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Answer each seed on stdin with the seconds of one command per count; only the library's call is timed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", type=int, nargs="+")
    parser.add_argument("--cpu-time", action="store_true")
    options = parser.parse_args(arguments)
    from importlib import metadata

    import pytorch_mppi
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    clock_s = time.process_time if options.cpu_time else time.perf_counter
    costs = SameCosts(torch)
    print(json.dumps({"version": metadata.version("pytorch-mppi")}), flush=True)
    controllers: dict[int, Any] = {}
    for line in sys.stdin:
        state, took_s = costs.look(int(line)), {}
        for count in options.counts:
            if count not in controllers:
                controllers[count] = _controller(torch, pytorch_mppi, costs, count)
            begin_s = clock_s()
            command = controllers[count].command(state)
            took_s[count] = clock_s() - begin_s
            if not torch.isfinite(command).all():
                raise SystemExit(f"the command on scene {line.strip()} is not finite: {command.tolist()}")
        print(json.dumps(took_s), flush=True)


if __name__ == "__main__":
    main()
