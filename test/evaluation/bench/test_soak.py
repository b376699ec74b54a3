"""Memory does not grow from tick to tick."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("mujoco")

from edge_worldmodel import cli
from edge_worldmodel.backends.deterministic_backend import DeterministicBackend
from edge_worldmodel.core.cache.latent_cache import LatentCache, LatentCacheConfig
from edge_worldmodel.core.model.world_model import WorldModel
from edge_worldmodel.core.planner.attention import AttentionConfig
from edge_worldmodel.evaluation.bench import soak
from edge_worldmodel.evaluation.controllers.ours.ours import Ours
from edge_worldmodel.sim.robots import PRESETS
from edge_worldmodel.sim.simulation import Simulation

from ..controllers.conftest import BOX, look_around, room


def controller() -> Ours:
    world_model, always_imagine = WorldModel(DeterministicBackend(), "deterministic"), AttentionConfig(reuse_s=0.0)
    ours = Ours(PRESETS["generic"], 0.8, world_model, attention=always_imagine)
    ours._cache = LatentCache(LatentCacheConfig(capacity=10))
    return ours


def test_memory_does_not_grow_from_tick_to_tick() -> None:
    simulation = Simulation(room(BOX), 3)
    looks = []
    for _ in range(15):
        looks.append(look_around(simulation))
        simulation.command(0.3, 0.0)
        simulation.advance(0.1)
    soak.run_ticks(controller(), looks, 30)  # libraries allocate at first use
    ours = controller()
    result = soak.run_ticks(ours, looks, 150)
    first_mb, *_, last_mb = result.resident_mb.values()
    assert list(result.resident_mb) == ["10%", "50%", "100%"]
    assert last_mb - first_mb < 3.0, result
    assert ours._cache.answers["jump"] == 0
    assert sum(ours._cache.answers.values()) >= 145


def test_the_verb_reports_memory_and_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "soak.json"
    assert cli.main(["bench", "--soak", "0.05", "--json", str(report)]) == 0
    result = json.loads(report.read_text())
    assert result["ticks"] == 30 and min(result["resident_mb"].values()) > 20.0
    assert 0.0 < result["cpu_s"]["p50"] <= result["cpu_s"]["p99"]
    assert "30 ticks: " in capsys.readouterr().out
