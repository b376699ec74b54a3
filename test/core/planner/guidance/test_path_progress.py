"""The goal moves along a path ahead of the robot, never back, to its end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.errors import InputError
from edge_worldmodel.core.planner.guidance.path_progress import PathProgress

STRAIGHT = np.stack([np.linspace(0.0, 20.0, 41), np.zeros(41)], axis=-1)


def test_the_goal_runs_ahead_and_ends_at_the_end() -> None:
    route = PathProgress(STRAIGHT, ahead_m=4.0)
    assert route.goal([0.0, 0.3])[0] == pytest.approx(4.0)
    xs = [float(route.goal([x, -0.2])[0]) for x in np.arange(0.0, 20.5, 0.25)]
    assert (np.diff(xs) >= 0.0).all() and xs[-1] == pytest.approx(20.0)
    assert route.left_m < 0.1


def test_it_moves_in_strides_and_not_back() -> None:
    route = PathProgress(STRAIGHT, stride_m=0.5)
    goals = {float(route.goal([x, 0.0])[0]) for x in np.arange(5.05, 5.45, 0.05)}
    assert len(goals) <= 2
    assert float(route.goal([2.0, 0.0])[0]) == max(goals), "pushed back, it is still wanted where it was"


def test_a_detour_does_not_lose_the_path() -> None:
    route = PathProgress(STRAIGHT)
    for x in np.arange(0.0, 12.0, 0.2):
        goal = route.goal([x, 2.0 * np.sin(x / 12.0 * np.pi)])
        assert x + 3.0 <= goal[0] <= x + 5.5 and goal[1] == 0.0


def test_a_path_that_crosses_itself_is_followed_in_its_order() -> None:
    angle = np.linspace(0.0, 2.0 * np.pi, 100)
    eight = np.stack([5.0 * np.sin(angle), 2.5 * np.sin(2.0 * angle)], axis=-1)
    route, left_m = PathProgress(eight, ahead_m=2.0), []
    for point in eight:
        route.goal(point)
        left_m.append(route.left_m)
    assert max(-np.diff(left_m)) < 1.0, "no part was skipped at the crossing"
    np.testing.assert_allclose(route.goal(eight[-1]), eight[-1], atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(-6, 6), st.floats(-6, 6)), min_size=1, max_size=6), st.integers(0, 100))
def test_any_path_of_any_shape_is_followed_to_its_end(points: list[tuple[float, float]], seed: int) -> None:
    route, rng = PathProgress(points), np.random.default_rng(seed)
    position, goal = np.array(points[0]), route.goal(points[0])
    for _ in range(round(route.length_m / 0.2) + 60):
        goal = route.goal(position + rng.normal(0.0, 0.05, 2))
        ahead = goal - position
        position = position + ahead * min(1.0, 0.3 / max(float(np.hypot(*ahead)), 1e-9))
    np.testing.assert_allclose(goal, points[-1], atol=1e-6)


@pytest.mark.parametrize("path", [np.zeros((0, 2)), np.zeros((3, 3)), [[0.0, np.nan]]])
def test_an_invalid_path_is_refused(path: np.ndarray) -> None:
    with pytest.raises(InputError, match="expected"):
        PathProgress(path)
