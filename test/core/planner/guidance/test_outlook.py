"""The outlook: movers are in the way at their time and place, not for ever."""

from __future__ import annotations

import numpy as np
import pytest

from edge_worldmodel.core.grid import render
from edge_worldmodel.core.planner.guidance.cost_to_go import cost_to_go
from edge_worldmodel.core.planner.guidance.local_map import local_map, lookup
from edge_worldmodel.core.planner.guidance.outlook import Outlook, nearest_frames
from edge_worldmodel.core.planner.robot_limits import STEPS, RobotLimits
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.tensors import HORIZON_STEPS


def outlook(present: np.ndarray, motion: np.ndarray, points: np.ndarray | None = None) -> Outlook:
    return Outlook(local_map(present, points), motion >= 0.5, None, 0.3)


def _someone_crosses() -> Outlook:
    """A person 1 m ahead that walks to the left by one cell an imagined step, and a post 2 m ahead."""
    present = np.stack([np.zeros((64, 64)), np.ones((64, 64))]).astype(np.float32)
    present[0, 32, 37] = present[0, 32, 42] = 1.0
    motion = np.zeros((1 + HORIZON_STEPS, 64, 64), np.float32)
    motion[np.arange(1 + HORIZON_STEPS), 32 + np.arange(1 + HORIZON_STEPS), 37] = 1.0
    return outlook(present, motion)


def test_static_obstacles_exclude_movers() -> None:
    ahead = _someone_crosses()
    assert ahead.seen.occupied[32, 37] and not ahead.static.occupied[32, 37]
    assert ahead.static.occupied[32, 42] and ahead.static.clearance_m[32, 37] > 0.5


def test_a_pose_is_compared_with_movers_at_its_time() -> None:
    ahead = _someone_crosses()
    poses = np.zeros((1, STEPS + 1, 3))
    poses[..., :2] = 1.1, 0.1 + 4 * 0.2  # where the person is after four imagined steps
    limits = RobotLimits(radius_m=0.05)
    room = ahead.clearance_along(poses, limits)[0]
    assert room.argmin() in np.flatnonzero(nearest_frames(STEPS + 1) == 4) and room.min() == pytest.approx(-0.05)
    assert room[0] > 0.4 and room[-1] > 0.4


def test_where_nothing_moves_it_is_the_present() -> None:
    present = np.stack([np.eye(64), 1.0 - np.eye(64)]).astype(np.float32)
    ahead = outlook(present, np.zeros((1 + HORIZON_STEPS, 64, 64), np.float32))
    assert ahead.static is ahead.seen
    assert ahead.movers_m.min() > 10.0 and not ahead.visited.any()


def test_a_gap_is_as_wide_as_its_points_and_a_long_body_passes_lengthwise() -> None:
    """Two posts 0.6 m apart, 1.5 m ahead, that fill the cells beside the gap."""
    posts = np.array([[1.5, side * (0.3 + 0.01 * k)] for side in (-1, 1) for k in range(30)], np.float32)
    present = render([Sweep(0, np.zeros(2), posts.astype(np.float64), np.ones(len(posts), bool))], np.zeros((1, 3)))
    exact = outlook(present, np.zeros((1 + HORIZON_STEPS, 64, 64), np.float32), posts)
    coarse = outlook(present, np.zeros((1 + HORIZON_STEPS, 64, 64), np.float32))
    through = np.zeros((1, STEPS + 1, 3))
    through[0, :, 0] = np.linspace(0.0, 3.0, STEPS + 1)
    long = RobotLimits(radius_m=0.334, length_m=0.508, width_m=0.43)
    assert exact.clearance_along(through, long).min() > 0.02
    assert exact.clearance_along(through, RobotLimits(radius_m=0.334)).min() < 0.0
    assert coarse.clearance_along(through, long).min() < 0.0
    across = through + np.array([0.0, 0.0, 0.5 * np.pi])
    assert exact.clearance_along(across, long).min() < 0.0


def test_the_way_gives_way_to_where_people_come_by() -> None:
    """Somebody walks up and down right ahead; the goal lies behind, and the way round is hardly longer."""
    present = np.stack([np.zeros((64, 64)), np.ones((64, 64))]).astype(np.float32)
    present[0, 28, 42] = 1.0
    motion = np.zeros((1 + HORIZON_STEPS, 64, 64), np.float32)
    motion[np.arange(1 + HORIZON_STEPS), 28 + np.arange(1 + HORIZON_STEPS), 42] = 1.0
    ahead = outlook(present, motion)
    goal = np.array([5.0, 0.1])
    straight, careful = (
        cost_to_go(ahead.static, goal, 0.3, visited=crossed).route() for crossed in (None, ahead.visited)
    )
    assert np.abs(straight[:, 1]).max() < 0.3
    met = lookup(ahead.visited, careful).sum() / lookup(ahead.visited, straight).sum()
    assert met < 0.9, "the careful way leads less through where somebody comes by"


@pytest.mark.parametrize("hit", [0, 1, 400])
def test_the_clearance_at_few_points_is_that_of_the_map_to_the_last_bit(hit: int) -> None:
    rng = np.random.default_rng(hit)
    points = rng.uniform(-7.0, 7.0, (hit, 2)).astype(np.float32)
    surroundings = local_map(render([], np.zeros((0, 3))), points)
    way = rng.uniform(-7.0, 7.0, (200, 2))
    assert np.array_equal(surroundings.clearance_at_few(way), surroundings.clearance_at(way))
