"""Random squares, corridors, crossings and doorways with people who avoid each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.arena.source import (
    STEP_S,
    DrawnWorld,
    Skipped,
    SourceInputs,
    heading_to,
    scatter,
    span,
    straight_distance_m,
    whole_range,
)
from edge_worldmodel.sim.fields import Fields
from edge_worldmodel.sim.shapes import Box, Solid, clearance, enclosure, segment
from edge_worldmodel.sim.world import CrowdSpec, Person, Point, RobotPlacement, World

Bounds = tuple[float, float, float, float]

_WALL_M = 0.2
_HEIGHT_M = 2.0
_CLEAR_OF_ROBOT_M = 1.5
"""Distance of people from the start of the robot, so that no contact is unavoidable."""
_APART_M = 0.7
_RADII_M = (0.2, 0.3)


@dataclass(frozen=True)
class StreetPlan:
    """The plan of one world; ``areas`` are pairs of rectangles between which people walk."""

    bounds: Bounds
    solids: tuple[Solid, ...]
    start: Point
    goal: Point
    areas: tuple[tuple[Bounds, Bounds], ...]


class StreetSource:
    """Draws a plan, and people who walk to and fro between two areas of it."""

    skipped: tuple[Skipped, ...] = ()

    def __init__(self, fields: Fields, inputs: SourceInputs, people: tuple[int, int], layout: Layout) -> None:
        """Read the keys that all of these kinds have."""
        drawn = whole_range(fields, "people", people)
        self._count = inputs.people or drawn
        self._speeds_mps = span(fields, "speeds", (0.6, 1.4))
        self._reacts = fields.flag("reacts_to_robot", True)
        self._robot, self._layout = inputs.robot, layout

    def draw(self, index: int, rng: np.random.Generator) -> DrawnWorld:
        """Return the world of an episode."""
        plan = self._layout(rng)
        solids = plan.solids + enclosure(plan.bounds, _WALL_M, _HEIGHT_M)
        count = int(rng.integers(self._count[0], self._count[1] + 1))
        start = (*plan.start, heading_to(plan.start, plan.goal))
        world = World(
            name=f"drawn{index}",
            seed=0,
            bounds=plan.bounds,
            solids=solids,
            people=self._people(plan, solids, count, rng),
            crowd=CrowdSpec("jupedsim", self._reacts),
            robots=(RobotPlacement(self._robot, start, (*plan.goal, 0.0)),),
            step_s=STEP_S,
        )
        return DrawnWorld(world, f"{count} people", straight_distance_m(plan.start, plan.goal))

    def _people(
        self, plan: StreetPlan, solids: tuple[Solid, ...], count: int, rng: np.random.Generator
    ) -> tuple[Person, ...]:
        start = np.array(plan.start)

        def free(points: Floats) -> Floats:
            away_m = np.hypot(*(points - start).T)
            return np.asarray((clearance(solids, points) > _RADII_M[1] + 0.05) & (away_m > _CLEAR_OF_ROBOT_M))

        ways = rng.integers(len(plan.areas), size=count)
        begin: list[Point] = [(0.0, 0.0)] * count
        for way, (first, _) in enumerate(plan.areas):
            mine = np.flatnonzero(ways == way)
            others = np.array([begin[i] for i in range(count) if ways[i] < way]).reshape(-1, 2)

            def free_of(points: Floats, others: Floats = others) -> Floats:
                return np.logical_and(free(points), _far_from(others, points))

            spots = scatter(rng, len(mine), first, _APART_M, free_of)
            for i, spot in zip(mine, spots.tolist(), strict=True):
                begin[i] = (spot[0], spot[1])
        return tuple(self._person(begin[i], plan.areas[ways[i]], free, rng) for i in range(count))

    def _person(
        self, begin: Point, way: tuple[Bounds, Bounds], free: Callable[[Floats], Floats], rng: np.random.Generator
    ) -> Person:
        radius_m, speed_mps = float(rng.uniform(*_RADII_M)), float(rng.uniform(*self._speeds_mps))
        targets = [scatter(rng, 1, area, 0.0, free)[0].tolist() for area in (way[1], way[0], way[1])]
        return Person(begin, tuple((x, y) for x, y in targets), None, speed_mps, radius_m)


Layout = Callable[[np.random.Generator], StreetPlan]


def _far_from(others: Floats, points: Floats) -> Floats:
    """Return which points (n, 2) are far enough from all others (m, 2), as (n,) bool."""
    if not len(others):
        return np.ones(len(points), bool)
    away_m = np.hypot(*np.moveaxis(points[:, None] - others, -1, 0))
    return np.asarray(away_m.min(axis=1) >= _APART_M)


def make_crowd(fields: Fields, inputs: SourceInputs) -> StreetSource:
    """Make an open square that people cross in all directions."""
    half_m = fields.number("size", 14.0, minimum=6.0, maximum=100.0) / 2

    def layout(rng: np.random.Generator) -> StreetPlan:
        """Draw the walls, the robot's start and goal, and the areas of the people."""
        reach_m = half_m - 1.0
        start, goal = (-reach_m, rng.uniform(-2, 2)), (reach_m, rng.uniform(-2, 2))
        inner = (-half_m + 0.5, -half_m + 0.5, half_m - 0.5, half_m - 0.5)
        return StreetPlan((-half_m, -half_m, half_m, half_m), (), start, goal, ((inner, inner),))

    return StreetSource(fields, inputs, (5, 45), layout)


def make_corridor(fields: Fields, inputs: SourceInputs) -> StreetSource:
    """Make a corridor with people who walk in both directions."""
    half_m = fields.number("length", 16.0, minimum=8.0, maximum=100.0) / 2
    widths_m = span(fields, "width", (2.2, 3.6))

    def layout(rng: np.random.Generator) -> StreetPlan:
        """Draw the walls, the robot's start and goal, and the areas of the people."""
        w = rng.uniform(*widths_m) / 2
        side_m = max(w - 0.8, 0.0)
        start, goal = (-half_m + 1.0, rng.uniform(-side_m, side_m)), (half_m - 1.0, rng.uniform(-side_m, side_m))
        near, far = (-half_m + 0.4, -w, -half_m + 6.0, w), (half_m - 6.0, -w, half_m - 0.4, w)
        return StreetPlan((-half_m, -w, half_m, w), (), start, goal, ((far, near), (near, far)))

    return StreetSource(fields, inputs, (2, 8), layout)


def make_crossing(fields: Fields, inputs: SourceInputs) -> StreetSource:
    """Make two corridors that cross; people come from all four arms."""
    half_m = fields.number("length", 14.0, minimum=8.0, maximum=100.0) / 2
    widths_m = span(fields, "width", (2.6, 4.0))

    def layout(rng: np.random.Generator) -> StreetPlan:
        """Draw the walls, the robot's start and goal, and the areas of the people."""
        w = rng.uniform(*widths_m) / 2
        block_m = half_m - w
        centre_m = w + block_m / 2
        blocks = tuple(Box(sx * centre_m, sy * centre_m, block_m, block_m) for sx in (-1, 1) for sy in (-1, 1))
        west, east = (-half_m + 0.4, -w, -w - 0.3, w), (w + 0.3, -w, half_m - 0.4, w)
        south, north = (-w, -half_m + 0.4, w, -w - 0.3), (-w, w + 0.3, w, half_m - 0.4)
        areas = ((south, north), (north, south), (east, west), (south, north), (north, south))
        start, goal = (-half_m + 1.0, rng.uniform(-0.4, 0.4)), (half_m - 1.0, rng.uniform(-0.4, 0.4))
        return StreetPlan((-half_m, -half_m, half_m, half_m), blocks, start, goal, areas)

    return StreetSource(fields, inputs, (3, 12), layout)


def make_doorway(fields: Fields, inputs: SourceInputs) -> StreetSource:
    """Make two rooms and one door that the robot and the people pass through."""
    half_m = fields.number("length", 10.0, minimum=6.0, maximum=100.0) / 2
    doors_m = span(fields, "door", (1.0, 1.5))

    def layout(rng: np.random.Generator) -> StreetPlan:
        """Draw the walls, the robot's start and goal, and the areas of the people."""
        h, at_m, door_m = 3.0, rng.uniform(-1.5, 1.5), rng.uniform(*doors_m)
        walls = (
            segment((0.0, -h), (0.0, at_m - door_m / 2), _WALL_M, _HEIGHT_M),
            segment((0.0, at_m + door_m / 2), (0.0, h), _WALL_M, _HEIGHT_M),
        )
        left, right = (-half_m + 0.5, -h + 0.4, -1.0, h - 0.4), (1.0, -h + 0.4, half_m - 0.5, h - 0.4)
        start, goal = (-half_m + 1.0, rng.uniform(-2, 2)), (half_m - 1.0, rng.uniform(-2, 2))
        return StreetPlan((-half_m, -h, half_m, h), walls, start, goal, ((right, left), (left, right)))

    return StreetSource(fields, inputs, (1, 5), layout)
