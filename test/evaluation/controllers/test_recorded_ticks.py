"""Ticks kept from a drive are decided again, with and without early exit, warm and cold, and again and again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("mujoco")

from edge_worldmodel.backends.deterministic_backend import DeterministicBackend
from edge_worldmodel.core.cache.latent_cache import LatentCache, LatentCacheConfig
from edge_worldmodel.core.model.world_model import WorldModel
from edge_worldmodel.core.planner.attention import AttentionConfig
from edge_worldmodel.core.planner.planner import Planner, PlannerConfig
from edge_worldmodel.evaluation.bench import early_exit_figures, endurance_figures, warm_start_figures
from edge_worldmodel.evaluation.bench.recorded_ticks import Recording
from edge_worldmodel.evaluation.bench.warm_start_figures import Cold, Judgement
from edge_worldmodel.evaluation.controllers.ours.ours import Ours
from edge_worldmodel.sim.robots import PRESETS
from edge_worldmodel.sim.simulation import Simulation
from edge_worldmodel.sim.world import Person

from .conftest import BOX, drive_through, look_around, room

SEES_EVERYTHING_ANEW = AttentionConfig(reuse_s=0.0)


def recording(kind: type[Recording] = Recording, limit_s: float = 1.5) -> Recording:
    world_model = WorldModel(DeterministicBackend(), "deterministic")
    ours = kind(PRESETS["generic"], 0.8, world_model, attention=SEES_EVERYTHING_ANEW)
    crossing = (Person((3.0, -2.0), ((3.0, 2.0),), None, 1.0, 0.25),)
    drive_through(ours, room(BOX, people=crossing), limit_s=limit_s)
    return ours


@pytest.fixture(scope="module")
def drive() -> Recording:
    return recording()


def again(ours: Recording, config: PlannerConfig | None = None) -> Planner:
    """A planner that nobody listens to."""
    planner = ours.planner
    return Planner(planner.world_model, planner.limits, config or planner.config, planner.disturbances)


def test_other_luck_changes_what_is_imagined_but_not_what_is_proposed(drive: Recording) -> None:
    tick = drive.ticks[-1]
    once, twice, other = (tick.decide(again(drive), tick.warm_start, other=luck) for luck in (0, 0, 1000))
    for a, b, c in zip(once.rollout_set.rollouts, twice.rollout_set.rollouts, other.rollout_set.rollouts, strict=True):
        assert (a.name, a.cost) == (b.name, b.cost)
        np.testing.assert_array_equal(a.trajectory.poses, c.trajectory.poses)
    assert not np.array_equal(once.solution, other.solution)


def test_early_exit_imagines_fewer_and_chooses_the_same(drive: Recording) -> None:
    found = early_exit_figures.compare(again(drive), drive.ticks[::3], at_once=2)
    assert found and all(each.same for each in found)
    assert sum(each.imagined for each in found) < sum(each.of for each in found)
    assert all(each.networks_s > 0.0 and each.all_networks_s > 0.0 for each in found)
    assert "the same maneuver in" in early_exit_figures.said("all", found)


def test_drives_without_warm_starts_are_cold(drive: Recording) -> None:
    cold = recording(Cold, limit_s=0.6)
    assert {output.rollout_set.steps for output in cold.outputs} == {PlannerConfig().steps_cold}
    assert cold.hit_rate == 0.0
    assert drive.hit_rate > 0.5
    assert {output.rollout_set.steps for output in drive.outputs[2:]} == {PlannerConfig().steps_warm}


def test_the_judge_prices_what_each_way_chooses(drive: Recording) -> None:
    found = warm_start_figures.judge(again(drive), drive.ticks[-1])
    assert found is not None
    assert set(found.cost_m) == {"warm", "cold", "few"}
    assert all(cost - found.best_m <= found.at_stake_m + 1e-9 for cost in found.cost_m.values())
    cold = replace(drive.ticks[-1], warm_start=None)
    assert warm_start_figures.judge(again(drive), cold) is None


def test_regret_is_how_much_dearer_choices_are() -> None:
    judged = [Judgement({"warm": 5.1, "cold": 5.0}, 2.0, 5.0), Judgement({"warm": 5.0, "cold": 5.0}, 2.0, 4.0)]
    assert warm_start_figures.regrets(judged, "warm") == pytest.approx((0.01, 0.025))


def test_memory_does_not_grow_from_tick_to_tick() -> None:
    simulation = Simulation(room(BOX), 3)
    looks = []
    for _ in range(15):
        looks.append(look_around(simulation))
        simulation.command(0.3, 0.0)
        simulation.advance(0.1)
    ours = Ours(PRESETS["generic"], 0.8, WorldModel(DeterministicBackend(), "deterministic"))
    ours._cache = LatentCache(LatentCacheConfig(capacity=10))
    found = endurance_figures.endure(ours, looks, 150)
    first, *_, last = found.rss_mb.values()
    assert list(found.rss_mb) == ["10%", "50%", "100%"]
    assert last - first < 3.0, found
    assert ours._cache.answers["jump"] == 0
    assert sum(ours._cache.answers.values()) >= 145
