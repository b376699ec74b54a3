"""Laser scans to sweeps: REP-117 readings, any field of view, every kind of bad scan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from edge_worldmodel.core.errors import InputError
from edge_worldmodel.core.geometry import pose_matrix, transform_points
from edge_worldmodel.core.rejection import RejectedInputError, RejectionKind
from edge_worldmodel.core.sweep import Sweep, check_sweep, limit_range, sweep_from_scan, without_self


def scan(ranges: Any, **changes: Any) -> Sweep:
    values: dict[str, Any] = {
        "angle_min_rad": 0.0, "angle_increment_rad": np.pi / 2, "range_min_m": 0.1, "range_max_m": 8.0,
        "mount": np.eye(4),
    }  # fmt: skip
    return sweep_from_scan(7, np.asarray(ranges), **(values | changes))


def test_readings_become_endpoints() -> None:
    sweep = scan([1.0, 2.0, 3.0])
    np.testing.assert_allclose(sweep.endpoints, [[1, 0], [0, 2], [-3, 0]], atol=1e-12)
    assert sweep.hit.all()
    assert (sweep.stamp_ns, sweep.beams) == (7, 3)


def test_a_negative_increment_counts_the_other_way() -> None:
    sweep = scan([1.0, 2.0], angle_increment_rad=-np.pi / 2)
    np.testing.assert_allclose(sweep.endpoints, [[1, 0], [0, -2]], atol=1e-12)


def test_rep_117() -> None:
    readings = [np.inf, 8.0, 9.0, 7.9, np.nan, -np.inf, 0.05, 0.0, -1.0]
    sweep = scan(readings, angle_increment_rad=0.1)
    assert sweep.hit.tolist() == [False, False, False, True, True, True]
    assert sweep.echo is not None and sweep.echo.tolist() == sweep.hit.tolist()
    np.testing.assert_allclose(np.hypot(*sweep.endpoints.T), [8.0, 8.0, 8.0, 7.9, 0.1, 0.1])
    np.testing.assert_allclose(np.arctan2(*sweep.endpoints.T[::-1]), [0.0, 0.1, 0.2, 0.3, 0.5, 0.6], atol=1e-12)
    assert (sweep.beams, sweep.range_min_m) == (9, 0.1)
    assert scan(readings, hit_below_range_min=False).hit.tolist() == [False, False, False, True]


def test_zero_is_no_reading_even_where_the_scanner_may_measure_it() -> None:
    assert scan([0.0, 1.0], range_min_m=0.0).hit.tolist() == [True]


def test_the_robots_own_body_is_left_out() -> None:
    outline = np.array([[1.5, 0.5], [0.5, 0.5], [0.5, -0.5], [1.5, -0.5]])
    sweep = without_self(scan([1.0, 1.0, 1.0]), outline)
    np.testing.assert_allclose(sweep.endpoints, [[0, 1], [-1, 0]], atol=1e-12)
    assert sweep.echo is not None and len(sweep.hit) == len(sweep.echo) == 2
    other = scan([2.0, 1.0])
    assert without_self(other, outline) is other and without_self(other, np.empty((0, 2))) is other
    with pytest.raises(RejectedInputError):
        without_self(scan([1.0]), outline)
    assert without_self(replace(scan([1.0, 1.0]), echo=None), outline).echo is None


@given(st.tuples(st.floats(-3, 3), st.floats(-3, 3), st.floats(-4, 4)), st.integers(0, 1000))
@settings(deadline=None)
def test_the_sensor_pose_moves_the_whole_sweep(pose: tuple[float, float, float], seed: int) -> None:
    ranges = np.random.default_rng(seed).uniform(0.0, 10.0, 20)
    ranges[0] = 5.0
    plain, mounted = scan(ranges), scan(ranges, mount=pose_matrix(pose))
    np.testing.assert_allclose(mounted.endpoints, transform_points(np.array(pose), plain.endpoints), atol=1e-9)
    np.testing.assert_allclose(mounted.origin, pose[:2])
    np.testing.assert_array_equal(mounted.hit, plain.hit)


MOUNTS = st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(0.1, 1), *3 * (st.floats(-4, 4),))
SLAB_M = (0.08, 1.5)


@given(MOUNTS, st.integers(0, 1000))
@settings(deadline=None)
def test_each_ray_is_turned_in_space_and_counts_only_in_the_slab(numbers: tuple[float, ...], seed: int) -> None:
    ranges = np.random.default_rng(seed).uniform(0.1, 10.0, 20)
    sweep = scan(ranges, angle_increment_rad=0.3, mount=pose_matrix(numbers), slab_m=SLAB_M)
    for index, range_m in enumerate(ranges):
        rotation = Rotation.from_euler("xyz", numbers[3:]).as_matrix()
        ray = rotation @ np.array([np.cos(0.3 * index), np.sin(0.3 * index), 0.0])
        z_m = numbers[2] + min(range_m, 8.0) * ray[2]
        if min(abs(z_m - SLAB_M[0]), abs(z_m - SLAB_M[1]), abs(range_m - 8.0)) < 1e-6:
            continue
        in_slab = SLAB_M[0] < z_m < SLAB_M[1]
        assert sweep.hit[index] == (in_slab and range_m < 8.0)
        length_m = np.hypot(*(sweep.endpoints[index] - sweep.origin))
        if in_slab:
            np.testing.assert_allclose(
                sweep.endpoints[index], np.array(numbers[:2]) + min(range_m, 8.0) * ray[:2], atol=1e-9
            )
        else:
            end_z_m = numbers[2] + length_m * ray[2] / np.hypot(ray[0], ray[1])
            assert end_z_m == pytest.approx(SLAB_M[0] if ray[2] < 0.0 else SLAB_M[1], abs=1e-6)


def test_a_scanner_upside_down_is_not_mirrored() -> None:
    left = scan([2.0], angle_min_rad=-np.pi / 2, mount=pose_matrix((0.0, 0.0, 0.3, np.pi, 0.0, 0.0)), slab_m=SLAB_M)
    np.testing.assert_allclose(left.endpoints, [[0.0, 2.0]], atol=1e-9)


def test_the_floor_in_front_of_a_tilted_scanner_is_free_up_to_the_slab() -> None:
    down = scan([0.6], mount=pose_matrix((0.0, 0.0, 0.3, 0.0, np.pi / 6, 0.0)), slab_m=SLAB_M)
    assert down.hit.tolist() == [False]
    np.testing.assert_allclose(down.endpoints, [[0.22 / np.tan(np.pi / 6), 0.0]], atol=1e-9)


@pytest.mark.parametrize("height_m", [0.0, 0.08, 1.5, 1.9])
def test_a_level_scanner_outside_the_slab_sees_at_its_own_height(height_m: float) -> None:
    level = scan([3.0, 8.0], mount=pose_matrix((0.0, 0.0, height_m, np.pi, 0.0, 0.0)), slab_m=SLAB_M)
    assert level.hit.tolist() == [True, False]
    np.testing.assert_allclose(np.hypot(*level.endpoints.T), [3.0, 8.0])


def test_an_endless_scanner_is_free_far_out() -> None:
    sweep = scan([np.inf, 30.0], range_max_m=np.inf)
    assert sweep.hit.tolist() == [False, True]
    assert np.isfinite(sweep.endpoints).all()


@pytest.mark.parametrize(
    ("ranges", "changes", "cause"),
    [
        ([], {}, RejectionKind.EMPTY),
        ([[1.0, 2.0]], {}, RejectionKind.EMPTY),
        ([np.nan, 0.0, -1.0], {}, RejectionKind.EMPTY),
        (np.ones(200_000), {}, RejectionKind.TOO_LARGE),
        ([1.0, 2.0], {"angle_increment_rad": 0.0}, RejectionKind.MALFORMED),
        ([1.0, 2.0], {"angle_increment_rad": np.nan}, RejectionKind.MALFORMED),
        ([1.0, 2.0], {"angle_min_rad": np.inf}, RejectionKind.MALFORMED),
        ([1.0, 2.0], {"angle_increment_rad": 1e300}, RejectionKind.MALFORMED),
        ([1.0, 2.0], {"range_max_m": 0.1}, RejectionKind.MALFORMED),
        ([1.0, 2.0], {"range_min_m": np.nan}, RejectionKind.MALFORMED),
        ([1.0, 2.0], {"range_min_m": -1.0}, RejectionKind.MALFORMED),
        ([1.0, 2.0], {"mount": np.full((4, 4), np.nan)}, RejectionKind.POSE_NOT_FINITE),
        ([1.0, 2.0], {"mount": np.zeros(3)}, RejectionKind.POSE_NOT_FINITE),
    ],
)
def test_bad_scans_are_refused_by_name(ranges: Any, changes: dict[str, Any], cause: RejectionKind) -> None:
    with pytest.raises(RejectedInputError) as refused:
        scan(ranges, **changes)
    assert refused.value.kind is cause
    assert isinstance(refused.value, InputError)


@given(st.lists(st.floats(), max_size=30), st.floats(), st.floats(), st.floats(), st.floats())
@settings(deadline=None)
def test_any_numbers_give_a_sound_sweep_or_a_named_refusal(
    ranges: list[float], start: float, step: float, near: float, far: float
) -> None:
    try:
        sweep = sweep_from_scan(0, ranges, start, step, near, far, np.eye(4))
    except RejectedInputError:
        return
    check_sweep(sweep)


def test_limit_range_turns_far_hits_into_free_rays() -> None:
    sweep = scan([1.0, 5.0, np.inf], mount=pose_matrix((1.0, 0.0, 0.0)))
    near = limit_range(sweep, 4.0)
    assert near.hit.tolist() == [True, False, False]
    np.testing.assert_allclose(near.endpoints, [[2, 0], [1, 4], [-3, 0]], atol=1e-12)
    assert limit_range(sweep, 20.0) is sweep


@pytest.mark.parametrize(
    "sweep",
    [
        Sweep(0, np.zeros(2), np.zeros((3, 2)), np.ones(2, dtype=bool)),
        Sweep(0, np.zeros(3), np.zeros((3, 2)), np.ones(3, dtype=bool)),
        Sweep(0, np.zeros(2), np.full((3, 2), np.nan), np.ones(3, dtype=bool)),
        Sweep(0, np.array([np.inf, 0.0]), np.zeros((3, 2)), np.ones(3, dtype=bool)),
    ],
)
def test_unsound_sweeps_are_named(sweep: Sweep) -> None:
    with pytest.raises(RejectedInputError) as refused:
        check_sweep(sweep)
    assert refused.value.kind is RejectionKind.MALFORMED
