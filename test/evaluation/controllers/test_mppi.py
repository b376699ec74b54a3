"""MPPI: what is rolled out is reachable, critics order trajectories as they should, prediction sees a walker come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.evaluation.controllers import mppi_critics as critics
from edge_worldmodel.evaluation.controllers.costmap.clusters import ClusterTracks
from edge_worldmodel.evaluation.controllers.costmap.costmap import Costmap
from edge_worldmodel.evaluation.controllers.costmap.footprint import footprint_discs
from edge_worldmodel.evaluation.controllers.mppi import reachable
from edge_worldmodel.evaluation.controllers.mppi_config import MppiConfig
from edge_worldmodel.evaluation.controllers.mppi_critics import CriticData, Rollouts
from edge_worldmodel.sim.robots import PRESETS

DT_S, STEPS = 0.05, 56
FOOTPRINT = footprint_discs(PRESETS["generic"])
PATH = np.stack([np.arange(0.0, 3.0, 0.05), np.zeros(60)], axis=-1)


def straight(*speeds: float, turn: float = 0.0) -> Rollouts:
    """Trajectories from the origin at constant speeds."""
    v = np.tile(np.array(speeds, np.float32), (STEPS, 1))
    w = np.full_like(v, turn)
    yaw = np.cumsum(w, axis=0) * DT_S
    x, y = np.cumsum(v * np.cos(yaw), axis=0) * DT_S, np.cumsum(v * np.sin(yaw), axis=0) * DT_S
    controls = np.stack([v, w])
    low, high = np.array([-0.35, -1.9], np.float32), np.array([0.8, 1.9], np.float32)
    return Rollouts(controls, controls, x, y, yaw, DT_S, low, high)


def critic_data(
    hits: np.ndarray, tracks: ClusterTracks | None = None, goal: tuple[float, float] = (6.0, 0.0)
) -> CriticData:
    costmap = Costmap(FOOTPRINT)
    costmap.update(Sweep(0, np.zeros(2), hits, np.ones(len(hits), bool), beams=len(hits)), np.zeros(3))
    data = tracks or ClusterTracks.none()
    return CriticData(costmap, costmap.distance_m, PATH, np.zeros(3), np.array(goal), FOOTPRINT, data)


FAR = np.array([[5.0, 5.0]])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.floats(-0.3, 0.8), st.floats(-1.0, 1.0))
def test_rolled_out_speeds_keep_the_accelerations(seed: int, v: float, w: float) -> None:
    wanted = np.random.default_rng(seed).uniform(-2.0, 2.0, (2, 20, 7)).astype(np.float32)
    speeds = reachable(wanted, np.array([v, w]), [0.05, 0.1, 0.2])
    before = np.concatenate([np.full((2, 1, 7), [[[v]], [[w]]]), speeds[:, :-1]], axis=1)
    change = speeds - before
    assert np.abs(change[0]).max() <= 0.1 + 1e-6 and np.abs(change[1]).max() <= 0.2 + 1e-6
    faster = np.abs(speeds[0]) > np.abs(before[0]) + 1e-6
    assert np.abs(change[0][faster & (speeds[0] * before[0] > 0)]).max(initial=0.0) <= 0.05 + 1e-6


def test_reached_speeds_are_the_wanted_ones_when_they_can_be() -> None:
    wanted = np.full((2, 40, 1), 0.5, np.float32)
    assert reachable(wanted, np.zeros(2), [0.05, 0.1, 0.2])[:, -1] == pytest.approx(0.5)


def test_a_collision_costs_more_than_anything_else() -> None:
    wall = np.stack([np.full(41, 1.2), np.linspace(-1.0, 1.0, 41)], axis=-1)
    costs, collides = critics.score(straight(0.0, 0.2, 0.8), critic_data(wall), MppiConfig())
    assert collides.tolist() == [False, False, True]
    assert costs[2] > 20.0 * costs[:2].max()


def test_fast_forward_along_the_path_is_best_in_the_open() -> None:
    costs, collides = critics.score(straight(-0.3, 0.0, 0.4, 0.8), critic_data(FAR), MppiConfig())
    assert not collides.any()
    assert np.argmin(costs) == 3 and np.argmax(costs) == 0


def test_align_prefers_the_path_to_a_bend() -> None:
    config, data = MppiConfig(), critic_data(FAR)
    blocked = np.zeros(len(PATH), bool)
    on_path = critics.align(straight(0.8), data, config, 40, blocked)
    bent = critics.align(straight(0.8, turn=0.8), data, config, 40, blocked)
    assert bent[0] > on_path[0] + 1.0
    assert not critics.align(straight(0.8, turn=0.8), data, config, 5, blocked).any()


def test_turns_when_the_path_lies_behind() -> None:
    path = -PATH
    data = critic_data(FAR)
    behind = CriticData(data.costmap, data.distance_m, path, data.pose, np.array([-6.0, 0.0]), FOOTPRINT, data.tracks)
    turning = critics.angle(straight(0.05, turn=1.0), behind, MppiConfig(), 20)
    waiting = critics.angle(straight(0.05), behind, MppiConfig(), 20)
    assert turning[0] < waiting[0]
    assert critics.angle(straight(0.05), data, MppiConfig(), 20)[0] == 0.0


def test_a_walker_who_will_cross_is_a_collision_only_with_prediction() -> None:
    # Crosses the x axis at x = 1 after 1.25 s, when a robot at 0.8 m/s is there too.
    walker = ClusterTracks(
        np.array([[1.0, -1.25]]), np.array([[0.0, 1.0]]), np.array([0.25]), np.array([True]), np.zeros(1, np.intp)
    )
    _, blind = critics.cost(straight(0.8, 0.2), critic_data(FAR), MppiConfig())
    _, seeing = critics.cost(straight(0.8, 0.2), critic_data(FAR, walker), MppiConfig())
    assert blind.tolist() == [False, False]
    assert seeing.tolist() == [True, False]


def test_constraints_cost_beyond_the_limits_only() -> None:
    costs = critics.constraint(straight(0.5, 0.8, 1.2, -0.6), MppiConfig())
    assert costs[:2].tolist() == [0.0, 0.0] and (costs[2:] > 0.0).all()
