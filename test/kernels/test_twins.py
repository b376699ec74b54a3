"""The compiled kernels and their numpy twins compute the same, also for input that is made to break them."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_worldmodel.core.safety.inputs import cloud_slab
from edge_worldmodel.core.safety.motion import braking, path_gate
from edge_worldmodel.core.safety.motion.braking import RobotFootprint, check_path, turned
from edge_worldmodel.core.safety.sight import bearings, coverage, static_returns
from edge_worldmodel.core.safety.sight.bearings import BIN_STARTS, BINS, Rays
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.kernels import library

pytestmark = pytest.mark.skipif(library.load().library is None, reason=library.load().text)

# Many equal values, values a rounding apart, and any others.
COORDINATE = st.sampled_from([0.0, -0.0, 0.25, 0.3, 0.33, 0.33000000000000002, -0.5, 1.0]) | st.floats(-3.0, 3.0)
POINTS = st.integers(1, 60).flatmap(lambda count: arrays(np.float64, (count, 2), elements=COORDINATE))
TWIST = st.tuples(*[st.sampled_from([0.0, 1.0]) | st.floats(-2.0, 2.0)] * 3).map(np.array)


def polygon(corners, front_m, noise):
    angle = np.linspace(0.0, 2.0 * math.pi, corners, endpoint=False)
    radius_m = front_m * (1.0 + 0.4 * np.sin(noise * np.arange(corners)))
    return np.stack((radius_m * np.cos(angle), 0.6 * radius_m * np.sin(angle)), axis=-1)


FOOTPRINT = st.one_of(
    st.floats(0.05, 0.8).map(lambda radius_m: RobotFootprint(np.empty((0, 2)), radius_m)),
    st.builds(polygon, st.integers(3, 64), st.floats(0.1, 0.9), st.floats(0.0, 3.0)).map(
        lambda outline: RobotFootprint(outline, 0.25)
    ),
)


def with_twin(monkeypatch_module, name, call):
    """Return the result with the twin in place of the kernel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(monkeypatch_module, name, lambda *_: None)
        return call()


@settings(max_examples=1000, deadline=None)
@given(TWIST, st.floats(0.0, 3.0), POINTS, FOOTPRINT, st.floats(0.0, 0.5), st.integers(1, 5))
def test_swept_footprint(twist, duration_s, points, footprint, margin_m, min_hits):
    def check():
        return check_path(twist, duration_s, points, footprint, margin_m, min_hits)

    compiled, twin = check(), with_twin(braking, "sweep_footprint", check)
    assert compiled.free_s == twin.free_s
    assert compiled.clearance_m == pytest.approx(twin.clearance_m, abs=1e-12)
    only_free = check_path(twist, duration_s, points, footprint, margin_m, min_hits, wants_clearance=False)
    assert only_free.free_s == twin.free_s


@settings(max_examples=500, deadline=None)
@given(POINTS, st.data(), st.sampled_from([1, 7, 720, 1024, 4096]))
def test_nearest_by_direction(offsets, data, directions):
    obstacle = data.draw(arrays(np.bool_, len(offsets)))

    def choose():
        return cloud_slab._choose(offsets, obstacle, directions)

    compiled, twin = choose(), with_twin(cloud_slab, "nearest_by_direction", choose)
    assert compiled[0].tolist() == twin[0].tolist() and compiled[1] == twin[1]


@settings(max_examples=500, deadline=None)
@example(np.array([[0.875, 0.0], [0.0, 0.0]]), np.array([[1.125, 0.0]]))
@given(POINTS, POINTS)
def test_imagined_near_seen(imagined, hits):
    def filtered():
        return path_gate._only_imagined(imagined, hits)

    compiled, twin = filtered(), with_twin(path_gate, "mark_near", filtered)
    np.testing.assert_array_equal(compiled, twin)
    apart = np.linalg.norm(imagined[:, None] - hits[None], axis=-1)
    far = imagined[(apart > 0.3).all(axis=1)]
    # The plain rule, up to the rounding of a distance of exactly 0.3 m.
    if (np.abs(apart - 0.3) > 1e-9).all():
        assert sorted(compiled.tolist()) == sorted(far.tolist())


@settings(max_examples=500, deadline=None)
@example(np.array([[-1.0, 0.0], [-1.0, -0.0], [0.0, 1.0], [0.0, -0.0], [1.0, 1.0]]), np.zeros(2))
@given(POINTS, st.tuples(COORDINATE, COORDINATE).map(np.array))
def test_rays_by_direction(ends, origin):
    def measure():
        return Rays.of(Sweep(0, origin, ends, np.ones(len(ends), bool)))

    compiled, twin = measure(), with_twin(bearings, "rays", measure)
    np.testing.assert_array_equal(compiled.lengths_m, twin.lengths_m)
    np.testing.assert_array_equal(compiled.bins, twin.bins)
    np.testing.assert_array_equal(compiled.reach_m, twin.reach_m)


@settings(max_examples=500, deadline=None)
@given(POINTS, FOOTPRINT, st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(1, 4))
def test_places_looked_at(places, footprint, seed, looks, bodies):
    draw = np.random.default_rng(seed)
    reach_m = draw.uniform(0.0, 3.0, (looks, BINS)) * (draw.random((looks, BINS)) < 0.5)
    place, sensor_m = turned(draw.normal(0.0, 1.0, (looks, 3))), draw.normal(0.0, 0.3, (looks, 2))
    rows = np.concatenate((place, sensor_m, reach_m.max(axis=1, keepdims=True), reach_m), axis=1)
    places_of_body = turned(draw.normal(0.0, 1.0, (bodies, 3)))
    compiled = library.looked_at(
        footprint.outline, footprint.radius_m, BIN_STARTS, rows, 0.1, places_of_body, coverage._BODY_TOLERANCE_M, places
    )
    np.testing.assert_array_equal(compiled, coverage._looked_at(footprint, rows, places_of_body, places))


@settings(max_examples=200, deadline=None)
@given(POINTS, st.integers(0, 2**32 - 1), st.integers(0, 6))
def test_places_in_earlier_views(places, seed, views):
    draw = np.random.default_rng(seed)
    bins, padded = static_returns._BINS, static_returns._BINS + 2 * static_returns._AROUND
    low_m = draw.uniform(0.0, 3.0, (views, padded))
    low_m[draw.random(low_m.shape) < 0.3] = np.inf
    parts = (
        turned(draw.normal(0.0, 1.0, (views, 3))),
        draw.normal(0.0, 0.3, (views, 2)),
        low_m,
        low_m + draw.uniform(0.0, 0.5, low_m.shape),
        draw.uniform(0.0, 4.0, (views, bins)) * (draw.random((views, bins)) < 0.7),
    )
    rows = np.concatenate(parts, axis=1)
    compiled = library.compare_views(static_returns._BIN_STARTS, rows, static_returns._AROUND, places)
    for mask, twin in zip(compiled, static_returns._compare_views(rows, places), strict=True):
        np.testing.assert_array_equal(mask, twin)


def test_sizes_beyond_the_bounds_go_to_the_twin():
    outline = polygon(65, 0.5, 1.0)
    point = np.array([[1.0, 0.0]])
    poses = np.array([[0.0, 0.0, 1.0, 0.0]])
    assert library.sweep_footprint(outline, 0.3, poses, 0.0, point, 0.1, 1e-6, 1, True) is None
    many = np.repeat(poses, 257, axis=0)
    assert library.sweep_footprint(outline[:64], 0.3, many, 0.0, point, 0.1, 1e-6, 1, True) is None
    assert library.nearest_by_direction(point, np.array([True]), 4097) is None
    assert library.mark_near(point, np.array([0, 1]), point, np.zeros(2), 1, 0.3) is None
    assert library.rays(np.zeros(2), point, np.zeros(361)) is None
    assert library.looked_at(outline, 0.3, BIN_STARTS, np.zeros((0, 187)), 0.1, poses, 0.05, point) is None
    assert library.compare_views(np.zeros(361), np.zeros((0, 1089)), 0, point) is None
    assert library.compare_views(BIN_STARTS, np.zeros((0, 1089)), 181, point) is None
    check = check_path(np.array([1.0, 0.0, 0.0]), 1.0, point, RobotFootprint(outline, 0.25), 0.05)
    assert check.free_s < 1.0


def test_random_crowds_of_points():
    draw = np.random.default_rng(0)
    for _ in range(40):
        points = draw.normal(0.0, 1.5, (2000, 2)).round(draw.integers(1, 6))
        twist, corners = draw.normal(0.0, 1.0, 3), int(draw.integers(3, 20))
        footprint = RobotFootprint(polygon(corners, 0.4, 1.0), 0.25)

        def check(twist=twist, points=points, footprint=footprint):
            return check_path(twist, 1.5, points, footprint, 0.08, 3)

        compiled, twin = check(), with_twin(braking, "sweep_footprint", check)
        assert compiled.free_s == twin.free_s
        assert compiled.clearance_m == pytest.approx(twin.clearance_m, abs=1e-12)
