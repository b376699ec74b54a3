"""The ego grid: where cells lie and what rays leave in them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.geometry import transform_points
from edge_worldmodel.core.grid import EGO_GRID, GridSpec, hit_points, render, resample
from edge_worldmodel.core.sweep import Sweep

inside_m = st.floats(-6.3, 6.3)
poses = st.tuples(st.floats(-20.0, 20.0), st.floats(-20.0, 20.0), st.floats(-4.0, 4.0)).map(np.array)
HERE = np.zeros((1, 3))


def sweep_of(ends: np.ndarray, hit: object = True, origin: tuple[float, float] = (0.0, 0.0)) -> Sweep:
    ends = np.asarray(ends, dtype=np.float64).reshape(-1, 2)
    return Sweep(0, np.array(origin), ends, np.broadcast_to(np.asarray(hit, dtype=bool), len(ends)))


def random_sweep(seed: int) -> Sweep:
    random = np.random.default_rng(seed)
    angles = np.sort(random.uniform(-np.pi, np.pi, 90))
    ends = random.uniform(0.3, 9.0, 90)[:, None] * np.stack((np.cos(angles), np.sin(angles)), axis=-1)
    return sweep_of(ends, random.random(90) < 0.7)


def dilated(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask > 0, 1)
    size = mask.shape[0]
    return np.any([padded[i : i + size, j : j + size] for i in range(3) for j in range(3)], axis=0)


def test_cell_corners_and_axes() -> None:
    assert EGO_GRID.extent_m == pytest.approx(12.8)
    assert EGO_GRID.world_to_cell([-6.4, -6.4]).tolist() == [0, 0]
    assert EGO_GRID.world_to_cell([6.39, -6.39]).tolist() == [63, 0]
    centres = EGO_GRID.cell_centres()
    np.testing.assert_allclose(centres[0, 63], [6.3, -6.3])
    cells = EGO_GRID.world_to_cell(centres)
    np.testing.assert_array_equal(cells[..., 0], np.broadcast_to(np.arange(64), (64, 64)))
    np.testing.assert_array_equal(cells[..., 1], np.arange(64)[:, None].repeat(64, 1))
    assert EGO_GRID.contains(cells).all()
    assert not EGO_GRID.contains(EGO_GRID.world_to_cell([[6.41, 0], [0, -1e9]])).any()


def test_a_grid_without_area_is_refused() -> None:
    with pytest.raises(ConfigError, match="0 cells"):
        GridSpec(0, 0.2)
    with pytest.raises(ConfigError, match="nan"):
        GridSpec(64, float("nan"))


@given(inside_m, inside_m, inside_m, inside_m)
@settings(deadline=None)
def test_one_ray_is_free_up_to_its_occupied_end(x: float, y: float, ox: float, oy: float) -> None:
    frame = render([sweep_of([x, y], origin=(ox, oy))], HERE)
    ix, iy = EGO_GRID.world_to_cell([x, y])
    assert frame[0].sum() == 1.0
    assert frame[0, iy, ix] == 1.0
    # Every cell that the ray runs through well inside of is free, and no cell away from the ray is.
    along = np.linspace([ox, oy], [x, y], 400)
    on_ray = np.zeros((64, 64))
    cells = EGO_GRID.world_to_cell(along)
    on_ray[cells[:, 1], cells[:, 0]] = 1
    assert not (frame[1] > dilated(on_ray)).any()
    assert not (on_ray > dilated(frame[1] + frame[0])).any()
    steps = np.abs(np.subtract(EGO_GRID.world_to_cell([ox, oy]), (ix, iy))).max()
    assert abs(frame[1].sum() - steps) <= 2


@given(st.integers(0, 10_000), poses)
@settings(max_examples=50, deadline=None)
def test_no_cell_is_both_and_all_are_zero_or_one(seed: int, pose: np.ndarray) -> None:
    frame = render([random_sweep(seed), random_sweep(seed + 1)], np.stack((pose, np.zeros(3))))
    assert frame.dtype == np.float32
    assert frame.shape == (2, 64, 64)
    assert set(np.unique(frame)) <= {0.0, 1.0}
    assert not (frame[0] * frame[1]).any()


@given(st.integers(0, 10_000), poses)
@settings(max_examples=50, deadline=None)
def test_moving_robot_and_world_together_changes_nothing(seed: int, pose: np.ndarray) -> None:
    sweep = random_sweep(seed)
    seen_there = Sweep(0, transform_points(pose, sweep.origin), transform_points(pose, sweep.endpoints), sweep.hit)
    there = render([seen_there], [np.zeros(3)])
    placed = render([sweep], [pose])
    assert not (placed > np.stack([dilated(m) for m in there])).any()
    assert np.count_nonzero(placed != there) <= 4  # rounding at a cell border


def test_a_quarter_turn_turns_the_picture() -> None:
    sweep = random_sweep(5)
    upright, turned = render([sweep], HERE), render([sweep], [[0.0, 0.0, np.pi / 2]])
    assert np.count_nonzero(np.rot90(upright[0], -1) != turned[0]) <= 4
    expected = np.rot90(upright[1], -1)
    assert not (expected > dilated(turned.max(axis=0))).any()
    assert not (turned[1] > dilated(np.rot90(upright.max(axis=0), -1))).any()


def test_occupied_of_one_scanner_wins_over_free_of_another() -> None:
    hit, through = sweep_of([2.1, 0.1]), sweep_of([4.1, 0.1], hit=False, origin=(0.0, 0.1))
    frame = render([hit, through], np.zeros((2, 3)))
    ix, iy = EGO_GRID.world_to_cell([2.1, 0.1])
    assert frame[:, iy, ix].tolist() == [1.0, 0.0]
    assert frame[:, iy, ix + 3].tolist() == [0.0, 1.0]


def test_nothing_seen_is_unknown() -> None:
    assert not render([], np.zeros((0, 3))).any()
    assert not render([sweep_of(np.zeros((0, 2)))], HERE).any()
    assert not render([sweep_of([3.0, 0.0])], [[1e9, 0.0, 0.0]]).any()


@pytest.mark.parametrize("far_m", [50.0, 1e4, 1e8, 1e15])
def test_long_rays_leave_the_grid_straight(far_m: float) -> None:
    angle = 0.3
    frame = render([sweep_of([far_m * np.cos(angle), far_m * np.sin(angle)])], HERE)
    assert not frame[0].any()
    assert frame[1].sum() == pytest.approx(32, abs=1)
    ix, iy = EGO_GRID.world_to_cell([5.0, 5.0 * np.tan(angle)])
    assert dilated(frame[1])[iy, ix]


def test_resample_looks_up_the_same_place() -> None:
    values = np.zeros((64, 64), dtype=np.float32)
    ix, iy = EGO_GRID.world_to_cell([3.1, 1.1])
    values[iy, ix] = 1.0
    moved, inside = resample(values, [1.0, 0.0, np.pi / 2])  # there, the place lies at (1.1, -2.1)
    jx, jy = EGO_GRID.world_to_cell([1.1, -2.1])
    assert moved[jy, jx] == pytest.approx(1.0, abs=0.1)
    assert moved.sum() == pytest.approx(1.0, abs=0.1)
    assert inside[jy, jx]
    same, everywhere = resample(values, np.zeros(3))
    np.testing.assert_allclose(same, values, atol=1e-5)
    assert everywhere.all()
    assert not resample(values, [20.0, 0.0, 0.0])[1].any()


def test_hit_points_are_what_was_hit_thinned_and_within_the_grid() -> None:
    ends = np.array([[2.01, 0.01], [2.02, 0.02], [1.0, 1.0], [9.0, 0.0]])
    sweep = Sweep(0, np.zeros(2), ends, np.array([True, True, False, True]))
    found = hit_points([sweep], np.array([[0.0, 0.0, 0.5 * np.pi]]))
    np.testing.assert_allclose(found, [[-0.015, 2.015]], atol=0.01)
    assert found.dtype == np.float32
    assert hit_points([], np.zeros((0, 3))).shape == (0, 2)
