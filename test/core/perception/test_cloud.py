"""Point clouds to sweeps: floor found however it tilts, slab kept, nearest obstacle per direction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.perception.cloud import sweep_from_cloud
from edge_worldmodel.core.perception.config import PerceptionConfig
from edge_worldmodel.core.rejection import RejectedInputError, RejectionKind
from edge_worldmodel.core.sweep import Sweep, check_sweep

CONFIG = PerceptionConfig()
SENSOR = np.array([0.0, 0.0, 0.6])


def floor(random: np.random.Generator, count: int = 4000, reach_m: float = 8.0) -> np.ndarray:
    angles, ranges = random.uniform(-np.pi, np.pi, count), random.uniform(0.5, reach_m, count)
    return np.stack((ranges * np.cos(angles), ranges * np.sin(angles), random.normal(0.0, 0.01, count)), axis=-1)


def wall(x_m: float, low_m: float, high_m: float) -> np.ndarray:
    y, z = np.meshgrid(np.arange(-1.0, 1.0, 0.02), np.arange(low_m, high_m, 0.1))
    return np.stack((np.full(y.size, x_m), y.ravel(), z.ravel()), axis=-1)


def tilted(points: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
    return points + (points[:, :2] @ (a, b) + c)[:, None] * (0.0, 0.0, 1.0)


def hits_near(sweep: Sweep, x_m: float) -> int:
    return int(np.count_nonzero(np.abs(sweep.endpoints[sweep.hit, 0] - x_m) < 0.1))


def test_wall_on_a_floor() -> None:
    points = np.concatenate((floor(np.random.default_rng(0)), wall(3.0, 0.0, 1.5)))
    sweep = sweep_from_cloud(5, points, SENSOR, CONFIG)
    assert sweep.stamp_ns == 5
    assert sweep.hit.sum() == hits_near(sweep, 3.0) > 50
    behind = np.abs(np.arctan2(sweep.endpoints[:, 1], sweep.endpoints[:, 0])) < 0.3
    assert sweep.hit[behind].all(), "floor behind the nearest obstacle must not be free"
    lengths = np.hypot(*sweep.endpoints[~sweep.hit].T)
    assert np.median(lengths) > 5.0, "floor returns give free space"


@given(st.floats(-0.08, 0.08), st.floats(-0.08, 0.08), st.floats(-0.1, 0.1), st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_a_tilted_floor_is_still_floor(a: float, b: float, c: float, seed: int) -> None:
    points = np.concatenate((floor(np.random.default_rng(seed)), wall(3.0, 0.0, 1.5), wall(-2.0, 0.0, 0.5)))
    sweep = sweep_from_cloud(0, tilted(points, a, b, c), SENSOR, CONFIG)
    assert hits_near(sweep, 3.0) > 50
    assert hits_near(sweep, -2.0) > 50
    assert sweep.hit.sum() == hits_near(sweep, 3.0) + hits_near(sweep, -2.0), "no floor among the obstacles"


def test_a_crowded_room_does_not_lift_the_floor() -> None:
    random = np.random.default_rng(3)
    boxes = np.concatenate([wall(x, 0.1, 1.5) for x in (1.5, 2.0, -1.5, -2.5, 4.0)])
    sweep = sweep_from_cloud(0, np.concatenate((floor(random, 600), boxes)), SENSOR, CONFIG)
    assert hits_near(sweep, 1.5) > 50
    assert sweep.hit.sum() == hits_near(sweep, 1.5) + hits_near(sweep, -1.5) + hits_near(sweep, 2.0) + hits_near(
        sweep, -2.5
    ) + hits_near(sweep, 4.0)


def test_low_clutter_on_one_side_does_not_tilt_the_floor() -> None:
    random = np.random.default_rng(4)
    x, y, z = random.uniform(0.8, 8.0, 6000), random.uniform(-8.0, 8.0, 6000), random.uniform(0.3, 0.5, 6000)
    ground = floor(random)
    ground = ground[ground[:, 0] < 0.7]
    sweep = sweep_from_cloud(0, np.concatenate((ground, np.stack((x, y, z), axis=-1))), SENSOR, CONFIG)
    assert sweep.hit.sum() > 100
    assert (sweep.endpoints[sweep.hit, 0] > 0.7).all(), "nothing but the clutter is an obstacle"
    assert np.median(np.hypot(*sweep.endpoints[~sweep.hit].T)) > 5.0


def test_slab() -> None:
    ground = floor(np.random.default_rng(1))
    overhead = sweep_from_cloud(0, np.concatenate((ground, wall(3.0, 2.2, 2.6))), SENSOR, CONFIG)
    assert not overhead.hit.any()
    kerb = sweep_from_cloud(0, np.concatenate((ground, wall(3.0, 0.15, 0.3))), SENSOR, CONFIG)
    assert hits_near(kerb, 3.0) > 50


def test_without_a_floor_the_base_frame_tells_the_height() -> None:
    sweep = sweep_from_cloud(0, wall(3.0, 0.3, 1.5), SENSOR, CONFIG)
    assert hits_near(sweep, 3.0) == len(sweep.endpoints) > 50


def test_nearest_obstacle_of_each_direction_and_range() -> None:
    points = np.array([[2.0, 0.0, 1.0], [4.0, 0.0, 1.0], [0.0, 30.0, 1.0], [np.nan, 0.0, 1.0], [1.0, 0.0, np.inf]])
    sweep = sweep_from_cloud(0, points, SENSOR, CONFIG)
    np.testing.assert_allclose(sweep.endpoints, [[2.0, 0.0]])


@pytest.mark.parametrize(
    "points", [np.zeros((0, 3)), np.full((10, 3), 1e30), np.full((10, 3), 5.0), np.array([[3.0, 0.0, -2.0]])]
)
def test_a_cloud_without_obstacles_is_a_clear_look(points: np.ndarray) -> None:
    sweep = sweep_from_cloud(7, points, SENSOR, CONFIG, np.zeros(len(points)))
    check_sweep(sweep)
    assert sweep.stamp_ns == 7 and sweep.endpoints.shape == (0, 2) and sweep.hit.shape == (0,)


def test_each_ray_keeps_the_time_of_its_point() -> None:
    points = wall(3.0, 0.3, 1.5)
    sweep = sweep_from_cloud(0, points, SENSOR, CONFIG, points[:, 0] * 0.1)
    assert sweep.delays_s is not None
    np.testing.assert_allclose(sweep.delays_s, sweep.endpoints[:, 0] * 0.1)


@pytest.mark.parametrize(
    ("points", "origin", "cause"),
    [
        (np.full((10, 3), np.nan), SENSOR, RejectionKind.EMPTY),
        (np.zeros((10, 2)), SENSOR, RejectionKind.MALFORMED),
        (np.zeros(3), SENSOR, RejectionKind.MALFORMED),
        (np.ones((10, 3)), np.array([0.0, np.nan, 0.0]), RejectionKind.POSE_NOT_FINITE),
        (np.broadcast_to(np.ones(3), (6_000_000, 3)), SENSOR, RejectionKind.TOO_LARGE),
    ],
)
def test_bad_clouds_are_refused_by_name(points: np.ndarray, origin: np.ndarray, cause: RejectionKind) -> None:
    with pytest.raises(RejectedInputError) as refused:
        sweep_from_cloud(0, points, origin, CONFIG)
    assert refused.value.kind is cause
