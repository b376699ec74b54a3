from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.training.data.lidar import (
    Lidar,
    cast_circles,
    cast_map,
    cast_segments,
    corrupt,
    draw_lidar,
    to_sweep,
)
from edge_worldmodel.training.data.scenes import Raster, clearance_raster

ANGLES = st.floats(-np.pi, np.pi)
CLEAN = Lidar(90, 2 * np.pi, 0.1, 8.0, 10.0, 0.0, 0.0, False, 0.0, (0.0, 0.0, 0.0), 0.0, False)


def rays(angle_rad: float, origin: tuple[float, float] = (0.0, 0.0)) -> tuple[np.ndarray, np.ndarray]:
    return np.array([origin]), np.array([[np.cos(angle_rad), np.sin(angle_rad)]])


@given(st.floats(-1.3, 1.3), st.floats(0.5, 10.0))
def test_a_wall_ahead_is_as_far_as_geometry_says(angle_rad, distance_m):
    wall = np.array([[distance_m, -60.0, distance_m, 60.0]])
    assert cast_segments(*rays(angle_rad), wall)[0] == pytest.approx(distance_m / np.cos(angle_rad), rel=1e-4)


def test_nothing_behind_beside_or_absent_is_hit():
    wall = np.array([[2.0, -1.0, 2.0, 1.0]])
    assert cast_segments(*rays(np.pi), wall)[0] == np.inf
    assert cast_segments(*rays(0.6), wall)[0] == np.inf
    assert cast_segments(*rays(0.0), np.zeros((0, 4)))[0] == np.inf
    assert cast_circles(*rays(0.0), np.array([[-2.0, 0.0, 0.5]]))[0] == np.inf
    assert cast_circles(*rays(0.0), np.array([[np.nan, np.nan, 0.5]]))[0] == np.inf


@given(ANGLES, st.floats(1.0, 8.0), st.floats(0.05, 0.9), st.floats(-0.9, 0.9))
def test_a_disc_is_hit_where_the_chord_begins(bearing_rad, away_m, radius_m, aside):
    offset_rad = np.arcsin(aside * radius_m / away_m)
    centre = away_m * np.array((np.cos(bearing_rad), np.sin(bearing_rad)))
    expected_m = away_m * np.cos(offset_rad) - np.sqrt(radius_m**2 - (away_m * np.sin(offset_rad)) ** 2)
    hit_m = cast_circles(*rays(bearing_rad + offset_rad), np.array([[*centre, radius_m]]))[0]
    assert hit_m == pytest.approx(expected_m, abs=2e-3)


def test_the_nearest_of_several_is_hit_in_every_frame():
    origins, directions = np.zeros((2, 1, 2)), np.tile((1.0, 0.0), (2, 1, 1))
    circles = np.array([[[5.0, 0.0, 0.5], [3.0, 0.0, 0.5]], [[5.0, 0.0, 0.5], [np.nan, np.nan, 0.5]]])
    assert cast_circles(origins, directions, circles)[:, 0] == pytest.approx([2.5, 4.5])


@given(ANGLES, st.floats(-1.0, 1.0), st.floats(-1.0, 1.0))
@settings(max_examples=60)
def test_a_map_is_hit_as_the_walls_that_it_shows(angle_rad, x, y):
    # A room of 6 m in cells of 5 cm; the same walls as segments are the exact answer.
    kinds = np.zeros((122, 122), np.uint8)
    kinds[[0, -1], :] = kinds[:, [0, -1]] = 1
    blocked = Raster(kinds, (-3.05, -3.05), 0.05)
    clearance_m = clearance_raster(kinds == 0, (-3.05, -3.05), 0.05)
    corners = np.array([(-3, -3), (3, -3), (3, 3), (-3, 3)], float)
    walls = np.concatenate((corners, np.roll(corners, -1, axis=0)), axis=1)
    exact_m = cast_segments(*rays(angle_rad, (x, y)), walls)[0]
    assert cast_map(*rays(angle_rad, (x, y)), clearance_m, blocked)[0] == pytest.approx(exact_m, abs=0.08)


def test_a_ray_into_the_unknown_part_of_a_map_reads_nothing_and_a_free_one_ends_far():
    kinds = np.zeros((20, 400), np.uint8)
    kinds[:, 100:] = 2
    clearance_m = clearance_raster(kinds == 0, (0.0, 0.0), 0.05)
    unknown, outside = Raster(kinds, (0.0, 0.0), 0.05), rays(np.pi, (2.0, 0.5))
    assert np.isnan(cast_map(*rays(0.0, (1.0, 0.5)), clearance_m, unknown)[0])
    assert np.isnan(cast_map(*outside, clearance_m, unknown)[0])
    assert cast_map(*rays(0.0, (1.0, 0.5)), clearance_m, unknown, farthest_m=3.0)[0] == np.inf


def test_a_clean_scanner_reports_the_truth_and_infinity_beyond_its_range():
    exact_m = np.array([[1.0, 7.9, 8.5, np.inf]])
    ranges_m = corrupt(exact_m, dataclasses.replace(CLEAN, beams=4), np.random.default_rng(0))
    np.testing.assert_array_equal(ranges_m, [[1.0, 7.9, np.inf, np.inf]])


def test_noise_lost_rays_and_mixed_pixels_appear_as_asked_for():
    rng = np.random.default_rng(0)
    lost = corrupt(np.full((5, 4000), 3.0), dataclasses.replace(CLEAN, dropout=0.1), rng)
    assert np.isnan(lost).mean() == pytest.approx(0.1, abs=0.01)
    cleared = corrupt(np.full((5, 4000), 3.0), dataclasses.replace(CLEAN, dropout=0.1, dropout_clears=True), rng)
    assert np.isinf(cleared).mean() == pytest.approx(0.1, abs=0.01)
    noisy = corrupt(np.full((5, 4000), 3.0), dataclasses.replace(CLEAN, noise_m=0.02), rng)
    assert noisy.std() == pytest.approx(0.02, rel=0.05)
    edge = np.tile((2.0, 6.0), (5, 2000))
    mixed = corrupt(edge, dataclasses.replace(CLEAN, mixed_pixels=0.4), rng)
    between = (mixed > 2.0) & (mixed < 6.0)
    assert between.mean() == pytest.approx(0.4, abs=0.03)


def test_a_full_turn_looks_once_in_each_direction_and_the_mount_is_respected():
    lidar = dataclasses.replace(CLEAN, mount=(0.3, 0.0, np.pi))
    gaps = np.diff(np.sort(np.mod(lidar.angles_rad, 2 * np.pi)))
    assert gaps == pytest.approx(2 * np.pi / lidar.beams)
    ranges = np.full(lidar.beams, np.nan)
    ranges[lidar.beams // 2] = 2.0  # ahead of the scanner, which looks backwards
    sweep = to_sweep(ranges, lidar, 0)
    assert sweep.endpoints[0] == pytest.approx((-1.7, 0.0), abs=1e-9)


def test_most_scanners_are_the_usual_ones_and_all_lie_within_the_stated_limits():
    rng = np.random.default_rng(1)
    drawn = [draw_lidar(rng) for _ in range(600)]
    usual = [lidar for lidar in drawn if lidar.fov_rad > np.pi - 1e-6 and 180 <= lidar.beams <= 720]
    assert len(usual) > 0.55 * len(drawn)
    assert all(40 <= lidar.beams <= 1080 and 4.0 <= lidar.range_max_m <= 30.0 for lidar in drawn)
    assert all(np.pi / 2 <= lidar.fov_rad <= 2 * np.pi and 5 <= lidar.rate_hz <= 40 for lidar in drawn)
    assert all(0.0 <= lidar.noise_m <= 0.05 for lidar in drawn)
