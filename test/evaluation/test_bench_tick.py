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
from edge_worldmodel.core.critics import arrival, progress, risk
from edge_worldmodel.core.planner import PlannerConfig
from edge_worldmodel.core.robot_limits import STEPS
from edge_worldmodel.core.world_model import WorldModel
from edge_worldmodel.evaluation import bench_peers, bench_tick

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
    if bench_peers.importlib.util.find_spec("pytorch_mppi"):
        pytest.skip("pytorch-mppi is installed here")
    with pytest.raises(bench_peers.PeerMissingError, match="does not run: .*No module named.*requirements/peer.txt"):
        bench_peers.open_peer(sys.executable, (8,), cpu_time=False)


def test_the_warm_tick_starts_from_what_the_cache_answers() -> None:
    model = WorldModel(DeterministicBackend(), "deterministic")
    frames, goal = bench_tick.frames_of(model, 5)
    warm = bench_tick._warm_start(model, PlannerConfig(), frames, goal, 5)
    assert warm.valid and warm.sequence == frames[1].sequence and warm.similarity > 0.99


def test_the_peer_has_our_costs_on_what_it_sees() -> None:
    torch = pytest.importorskip("torch", reason="the peer needs torch: make setup-train")
    costs, config = bench_peers.SameCosts(torch), PlannerConfig()
    model = WorldModel(DeterministicBackend(), "deterministic")
    planner = bench_tick.Planner(model, config=config)
    compared = []
    for seed in range(12):
        costs.look(seed)
        frames, goal = bench_tick.frames_of(model, seed)
        frame = frames[1]
        scene = scene_of(planner, frame, goal)
        twists = torch.tensor(scene.candidates.twists, dtype=torch.float32)
        poses = torch.tensor(scene.candidates.poses, dtype=torch.float32)
        states = torch.cat([poses, twists[..., [0]], twists[..., [2]]], -1)
        ours = config.arrival_weight * arrival.score(scene) + config.progress_weight * progress.score(scene)
        theirs = costs.terminal_cost(states[None], None)[0].numpy()
        np.testing.assert_allclose(theirs, ours, atol=1e-3)
        steps = torch.stack([costs.running_cost(states[:, t + 1], states[:, t + 1, 3:], t) for t in range(STEPS)])
        theirs = np.isfinite(steps.numpy()).all(0) & (steps.amax(0).numpy() > 0.5)
        compared.append(theirs == (risk.score(scene) > 0.5 / config.risk_weight_m))
    assert np.concatenate(compared).mean() > 0.9, "a step that costs is where our risk sees a collision"


def scene_of(planner: bench_tick.Planner, frame: object, goal: np.ndarray) -> object:
    """Return the scene that the planner scores, undisturbed and with the present frame for every imagined one."""
    from edge_worldmodel.core.cost_to_go import cost_to_go
    from edge_worldmodel.core.folding import present_frame
    from edge_worldmodel.core.local_map import local_map

    surroundings = local_map(present_frame(frame.tensor))
    field = cost_to_go(
        surroundings, planner._goal_ahead(frame, goal), planner.limits.radius_m + planner.config.margin_m
    )
    candidates = planner._propose(frame, surroundings, field, None, None, np.random.default_rng(0))
    scene = planner._scene(candidates, surroundings, field, np.random.default_rng(0))
    still = np.broadcast_to(surroundings.occupied.astype(np.float32), (len(candidates), 1, 8, 64, 64))
    return dataclasses.replace(scene, disturbed=scene.disturbed[:, :1], futures=np.ascontiguousarray(still))
