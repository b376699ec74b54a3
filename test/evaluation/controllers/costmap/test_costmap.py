"""The costmap marks, clears, remembers and moves along; the guidance finds the way on it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.evaluation.controllers.costmap.costmap import CELL_M, Costmap
from edge_worldmodel.evaluation.controllers.costmap.footprint import footprint_discs
from edge_worldmodel.evaluation.controllers.costmap.guidance import SPACING_M, Guidance
from edge_worldmodel.sim.robots import PRESETS

ROUND = footprint_discs(PRESETS["generic"])


def one_ray(end: tuple[float, float], hit: bool = True) -> Sweep:
    return Sweep(0, np.zeros(2), np.array([end]), np.array([hit]), beams=1)


@settings(deadline=None, max_examples=20)
@given(st.floats(-3.0, 3.0), st.floats(-3.0, 3.0), st.floats(-np.pi, np.pi), st.floats(0.5, 4.0))
def test_a_hit_is_where_it_was_seen_whatever_the_pose(x: float, y: float, yaw: float, range_m: float) -> None:
    costmap = Costmap(ROUND)
    costmap.update(one_ray((range_m, 0.0)), np.array([x, y, yaw]))
    seen = np.array([x + range_m * np.cos(yaw), y + range_m * np.sin(yaw)])
    # On the border of two cells rounding decides in which of them it is.
    around = [seen + 1e-9 * np.array((dx, dy)) for dx in (-1.0, 1.0) for dy in (-1.0, 1.0)]
    assert min(float(costmap.distance_at(place)) for place in around) == 0.0
    beside = seen + 0.5 * np.array([np.cos(yaw), np.sin(yaw)])
    assert abs(costmap.distance_at(beside) - 0.5) < 2 * CELL_M


def test_a_ray_through_a_hit_clears_it() -> None:
    costmap = Costmap(ROUND)
    costmap.update(one_ray((2.0, 0.0)), np.zeros(3))
    costmap.update(one_ray((4.0, 0.0), hit=False), np.zeros(3))
    assert not costmap.occupied.any()


def test_what_was_seen_stays_while_the_robot_drives_on() -> None:
    costmap = Costmap(ROUND)
    costmap.update(one_ray((2.0, 0.0)), np.zeros(3))
    costmap.update(one_ray((0.0, 3.0), hit=False), np.array([1.0, 1.0, 0.0]))
    assert costmap.distance_at(np.array([2.0, 0.0])) == 0.0
    costmap.update(one_ray((0.0, 3.0), hit=False), np.array([20.0, 0.0, 0.0]))
    assert not costmap.occupied.any()


def test_without_takes_people_out_of_the_map() -> None:
    costmap = Costmap(ROUND)
    costmap.update(one_ray((2.0, 0.0)), np.zeros(3))
    distance_m = costmap.without(np.array([[2.1, 0.0]]), np.array([0.3]))
    assert distance_m.min() > 1.0
    assert costmap.distance_at(np.array([2.0, 0.0])) == 0.0


def test_the_discs_cover_the_body_and_hardly_more() -> None:
    jackal = PRESETS["jackal"]
    footprint = footprint_discs(jackal)
    x = np.linspace(-jackal.length_m / 2, jackal.length_m / 2, 41)
    y = np.linspace(-jackal.width_m / 2, jackal.width_m / 2, 41)
    body = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 1, 2)
    discs = footprint.discs(np.zeros(3))
    away = np.hypot(*np.moveaxis(body - discs, -1, 0)).min(axis=1)
    assert away.max() <= footprint.radius_m + 1e-9
    assert footprint.radius_m - jackal.width_m / 2 < 0.02


def test_the_path_leads_round_a_wall_to_the_goal() -> None:
    costmap = Costmap(ROUND)
    wall = np.stack([np.full(81, 2.0), np.linspace(-2.0, 1.0, 81)], axis=-1)
    costmap.update(Sweep(0, np.zeros(2), wall, np.ones(81, bool), beams=81), np.zeros(3))
    path = Guidance(ROUND).path(costmap, np.zeros(2), np.array([4.0, 0.0]))
    assert np.allclose(path[-1], [4.0, 0.0])
    assert np.hypot(*path[0]) < 0.3
    assert np.hypot(*np.diff(path, axis=0).T).max() < SPACING_M + 1e-6
    assert costmap.distance_at(path).min() > ROUND.radius_m - 0.05
    assert path[:, 1].max() > 1.2
