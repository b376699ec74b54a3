"""The distance field leads round obstacles, out of margins and to goals beyond the grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.planner.guidance.cost_to_go import CostToGo, CostToGoConfig, cost_to_go
from edge_worldmodel.core.planner.guidance.local_map import local_map

RADIUS_M = 0.3


def _frame(unknown: bool = False) -> np.ndarray:
    frame = np.zeros((2, 64, 64), np.float32)
    frame[1] = 0.0 if unknown else 1.0
    return frame


def _field(frame: np.ndarray, goal: tuple[float, float]) -> CostToGo:
    return cost_to_go(local_map(frame), np.array(goal), RADIUS_M)


STRETCH = 1.0 / np.cos(0.5 * np.arctan(0.5))
"""Most by which 16 moves lengthen a way, 1.0275: it lies halfway between a straight move and a knight's move."""
TO_CENTRES_M = np.sqrt(2.0) * EGO_GRID.cell_size_m
"""Most that start and goal lie away from the nearest cell centres together: half a diagonal each."""


@settings(max_examples=50, deadline=None)
@given(*[st.floats(-6.2, 6.2)] * 4)
@example(gx=-2.0078125, gy=0.0, x=-1.5, y=0.0)
def test_free_space_is_nearly_euclidean(gx: float, gy: float, x: float, y: float) -> None:
    """The way leads from the start to a cell centre, by moves to the goal's cell centre, and to the goal."""
    straight = np.hypot(gx - x, gy - y)
    found = float(_field(_frame(), (gx, gy)).at([x, y]))
    assert straight - 1e-3 <= found
    # The centres lie at most TO_CENTRES_M farther apart than start and goal, and the way to and from them is added.
    assert found <= STRETCH * (straight + TO_CENTRES_M) + TO_CENTRES_M + 1e-3


@settings(max_examples=30, deadline=None)
@given(st.floats(6.5, 40.0), st.floats(-np.pi, np.pi))
def test_goal_outside_adds_the_straight_remainder(distance_m: float, bearing: float) -> None:
    goal = 1.5 * distance_m * np.array([np.cos(bearing), np.sin(bearing)])
    field = _field(_frame(), tuple(goal))
    assert field.at([0.0, 0.0]) == pytest.approx(1.5 * distance_m, rel=0.04, abs=0.4)
    error = np.remainder(field.heading(np.zeros(2)) - bearing + np.pi, 2 * np.pi) - np.pi
    assert abs(error) < 0.45


def test_way_round_a_wall_is_longer_and_starts_sideways() -> None:
    frame = _frame()
    frame[0, 20:45, 40] = 1.0
    field = _field(frame, (4.0, 0.0))
    assert 6.0 < field.at([0.0, 0.0]) < 9.5
    assert abs(field.heading(np.zeros(2))) > 0.6
    route = field.route()
    clearance = local_map(frame).clearance_at(route)
    assert clearance.min() >= RADIUS_M
    np.testing.assert_array_equal(route[-1], [4.0, 0.0])
    assert (np.diff(field.at(route)) < 0.3).all()


def test_goal_in_an_obstacle_uses_the_nearest_free_cell() -> None:
    frame = _frame()
    frame[0, 28:36, 50:56] = 1.0
    field = _field(frame, (4.0, 0.0))
    assert field.goal is not None
    assert local_map(frame).clearance_at(field.goal) >= RADIUS_M
    assert np.hypot(*(field.goal - [4.0, 0.0])) < 1.2
    assert field.at([0.0, 0.0]) < 5.0


def test_a_robot_inside_the_margin_finds_out() -> None:
    frame = _frame()
    frame[0, :, 33] = 1.0
    field = _field(frame, (-4.0, 0.0))
    assert np.isfinite(field.at([0.0, 0.0]))
    assert field.at([-1.0, 0.0]) < field.at([0.0, 0.0])
    assert abs(field.heading(np.zeros(2))) > 2.5


def test_blocked_all_round_is_costly_but_finite() -> None:
    frame = _frame()
    frame[0, 26:39, [26, 38]] = 1.0
    frame[0, [26, 38], 26:39] = 1.0
    assert 20.0 < _field(frame, (5.0, 0.0)).at([0.0, 0.0]) < 1000.0


def test_unknown_costs_more() -> None:
    known, unknown = _field(_frame(), (4.0, 0.0)), _field(_frame(unknown=True), (4.0, 0.0))
    assert unknown.at([0.0, 0.0]) == pytest.approx(CostToGoConfig().unknown_factor * known.at([0.0, 0.0]), rel=0.05)


def test_no_goal_is_no_way() -> None:
    field = cost_to_go(local_map(_frame()), None, RADIUS_M)
    assert field.at(np.zeros((3, 2))).tolist() == [0.0, 0.0, 0.0]
    assert field.route().shape == (0, 2)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.02, 0.1, 0.3]), st.floats(-9.0, 9.0), st.floats(-9.0, 9.0))
def test_route_alone_is_the_route_of_the_whole_field(seed: int, share: float, gx: float, gy: float) -> None:
    rng = np.random.default_rng(seed)
    frame = _frame()
    frame[0] = rng.random((64, 64)) < share
    surroundings = local_map(frame)
    whole = cost_to_go(surroundings, np.array([gx, gy]), RADIUS_M)
    quick = cost_to_go(surroundings, np.array([gx, gy]), RADIUS_M, whole=False)
    np.testing.assert_array_equal(quick.route(), whole.route())
    assert (quick.distance_m >= whole.distance_m).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_cell_hands_on_where_most_is_gained_per_metre(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = _frame()
    frame[0] = rng.random((64, 64)) < 0.1
    field = _field(frame, (3.0, 2.0))
    for cell in rng.integers(0, 64 * 64, 20):
        iy, ix = divmod(int(cell), 64)
        gains = {}
        for dy in range(-2, 3):
            for dx in range(-2, 3):
                if np.gcd(dy, dx) == 1 and 0 <= iy + dy < 64 and 0 <= ix + dx < 64:
                    gained = field.distance_m[iy, ix] - field.distance_m[iy + dy, ix + dx]
                    gains[(iy + dy) * 64 + ix + dx] = gained / np.float32(np.hypot(dy, dx))
        following = int(field.following[cell])
        assert following == cell or gains[following] == max(gains.values())
