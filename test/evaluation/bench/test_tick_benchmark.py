"""The tick is measured cold, warm and as shipped on the same scenes; a peer is named as missing, or has our costs."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_worldmodel import cli
from edge_worldmodel.backends.deterministic_backend import DeterministicBackend
from edge_worldmodel.core.model.world_model import WorldModel
from edge_worldmodel.core.planner.candidates.candidates import Candidates
from edge_worldmodel.core.planner.candidates.disturbances import DisturbanceConfig
from edge_worldmodel.core.planner.candidates.maneuvers import propose
from edge_worldmodel.core.planner.candidates.start_state import StartState
from edge_worldmodel.core.planner.critics import arrival, progress
from edge_worldmodel.core.planner.planner_config import PlannerConfig
from edge_worldmodel.core.planner.request import PlanningRequest
from edge_worldmodel.core.planner.robot_limits import STEPS
from edge_worldmodel.evaluation.bench import mppi_peer, tick_benchmark

FEW = ["--rounds", "2", "--maneuvers", "3", "--futures", "2", "--steps", "1", "--threads", "1"]


def test_the_verb_reports_the_tick_and_names_a_missing_peer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, nobody = tmp_path / "bench.json", str(tmp_path / "no" / "python")
    assert cli.main(["bench", *FEW, "--parts", "tick", "--peer-python", nobody, "--json", str(report)]) == 0
    told = json.loads(report.read_text())
    assert {"tick_s", "futures_per_s", "trajectories_per_s", "steps", "peers"} <= set(told)
    ticks = told["tick_s"]
    assert {"p50", "p95", "p99"} <= set(ticks) and ticks["p50"] == ticks["warm"]["p50"] <= ticks["p99"]
    assert all(ticks[kind]["samples"] == 2 for kind in ("cold", "warm", "as_shipped"))
    config = PlannerConfig()
    assert told["steps"] == {"cold": config.steps_cold, "warm": config.steps_warm}
    assert told["futures_imagined"]["warm"] == 6.0 and told["futures_per_s"] == pytest.approx(6.0 / ticks["p50"])
    assert told["trajectories_per_s"]["ours"]["outcomes"] == 3 * 2 * config.disturbances
    assert nobody in told["peers"]["pytorch-mppi"]["missing"]
    assert "pytorch-mppi is missing" in capsys.readouterr().out


def test_a_python_without_the_library_is_named() -> None:
    if mppi_peer.importlib.util.find_spec("pytorch_mppi"):
        pytest.skip("pytorch-mppi is installed here")
    with pytest.raises(mppi_peer.PeerMissingError, match="does not run: .*No module named.*requirements/peer.txt"):
        mppi_peer.open_peer(sys.executable, (8,), cpu_time=False)


def test_the_warm_tick_starts_from_what_the_cache_answers() -> None:
    model = WorldModel(DeterministicBackend(), "deterministic")
    frames, goal = tick_benchmark.frames_of(model, 5)
    warm = tick_benchmark._warm_start(model, PlannerConfig(), frames, goal, 5)
    assert warm.valid and warm.sequence == frames[1].sequence and warm.similarity > 0.99


def test_the_peer_has_our_costs_on_what_it_sees() -> None:
    torch = pytest.importorskip("torch", reason="the peer needs torch: make setup-train")
    costs, config = mppi_peer.SameCosts(torch), PlannerConfig()
    # no time to come to rest in: the peer cannot know how long an actuator takes
    planner = tick_benchmark.Planner(
        WorldModel(DeterministicBackend(), "deterministic"), disturbances=DisturbanceConfig(delay_mean_s=0.0)
    )
    same, hits = [], 0
    for seed in range(12):
        costs.look(seed)
        frames, goal = tick_benchmark.frames_of(planner.world_model, seed)
        scene = scene_of(planner, frames[1], goal)
        states, twists = states_of(torch, scene), scene.candidates.twists
        ours = config.arrival_weight * arrival.score(scene) + config.progress_weight * progress.score(scene)
        np.testing.assert_allclose(costs.terminal_cost(states[None], None)[0].numpy(), ours, atol=1e-3)
        hit = scene.collision_probability[:, 0, 0]
        own = np.minimum(np.abs(twists[..., 0]) / config.harmless_mps, 1.0)
        turning = (twists[..., 2] / planner.limits.max_yaw_rate_radps) ** 2
        wanted = config.risk_weight_m * hit * own + config.exposure_weight_m * hit * (1.0 - own)
        wanted += config.comfort_weight / STEPS * turning
        found = [costs.running_cost(states[:, t], states[:, t, 3:], t - 1).numpy() for t in range(1, STEPS + 1)]
        same.append(np.isclose(np.stack(found, axis=1), wanted[:, 1:], atol=1e-3))
        hits += int((hit > 0.1).sum())
    assert hits > 50 and np.concatenate(same).mean() > 0.995, "step for step, but for the last bit of a clearance"


def states_of(torch: object, scene: object) -> object:
    """Return the candidates as the peer's states (M, T + 1, 5)."""
    twists, poses = scene.candidates.twists, scene.candidates.poses
    return torch.tensor(np.concatenate([poses, twists[..., [0, 2]]], axis=-1), dtype=torch.float32)


def straight_on(candidates: Candidates) -> Candidates:
    """Return candidates that drive 4.8 m in eight directions, through whatever is there, and say so at many speeds."""
    count, poses = candidates.poses.shape[:2]
    yaw = np.linspace(-3.07, 2.93, count)[:, None] + np.zeros(poses)  # no way along the edges of cells
    way_m = np.linspace(0.0, 4.8, poses)
    lines = np.stack([way_m * np.cos(yaw), way_m * np.sin(yaw), yaw], axis=-1)
    speeds = np.linspace(0.05, 0.6, count)[:, None] + np.zeros(poses)
    return dataclasses.replace(candidates, poses=lines, twists=np.stack([speeds, 0.0 * speeds, 2.0 * speeds], axis=-1))


def scene_of(planner: tick_benchmark.Planner, frame: object, goal: np.ndarray) -> object:
    """Return the scene that the planner scores, undisturbed, with what stands in every imagined frame."""
    request = PlanningRequest(frame=frame, goal=goal, rng=np.random.default_rng(0))
    seen, start = planner.outlook(request), StartState(frame.twist)
    candidates = straight_on(propose(planner._library, start, seen, planner.config, request.rng))
    scene = planner._scene(request, candidates, seen, None)
    still = np.broadcast_to(seen.static.occupied.astype(np.float32), (len(candidates), 1, 8, 64, 64))
    return dataclasses.replace(scene, disturbed=scene.candidates.poses[:, None], futures=np.ascontiguousarray(still))
