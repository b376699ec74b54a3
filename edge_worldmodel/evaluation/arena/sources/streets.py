"""Random squares, corridors, crossings, junctions, doorways and aisles with people who avoid each other.

People walk by JuPedSim's anticipation velocity model (Xu et al., 2021). A file may ask for groups of two or three who
walk side by side (Moussaid et al., PLoS ONE 2010), for stops, for changes of mind, and for other sizes and speeds, as
of carts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.arena.source import (
    STEP_S,
    DrawnWorld,
    ScenarioError,
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
_SIDE_BY_SIDE_M = 0.7


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
        self._radii_m = span(fields, "radii", _RADII_M)
        self._groups = fields.number("groups", 0.0, minimum=0.0, maximum=1.0)
        # Mean times: walking, standing, and until a change of mind.
        self._stops_s = fields.numbers("stops", "walks stops", (0.0, 0.0))
        if min(self._stops_s) < 0.0:
            raise ScenarioError(f"{fields.place('stops')} = {list(self._stops_s)}: expected times of at least 0 s")
        self._mind_s = fields.number("changes_mind", 0.0, minimum=0.0, maximum=1e3)
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
            people=self._grouped(self._people(plan, solids, count, rng), plan, solids, rng),
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
            return np.asarray((clearance(solids, points) > self._radii_m[1] + 0.05) & (away_m > _CLEAR_OF_ROBOT_M))

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
        radius_m, speed_mps = float(rng.uniform(*self._radii_m)), float(rng.uniform(*self._speeds_mps))
        targets = [scatter(rng, 1, area, 0.0, free)[0].tolist() for area in (way[1], way[0], way[1])]
        return Person(
            start=begin,
            waypoints=tuple((x, y) for x, y in targets),
            speed_mps=speed_mps,
            radius_m=radius_m,
            walks_s=self._stops_s[0],
            stops_s=self._stops_s[1],
            changes_mind_s=self._mind_s,
        )

    def _grouped(
        self, people: tuple[Person, ...], plan: StreetPlan, solids: tuple[Solid, ...], rng: np.random.Generator
    ) -> tuple[Person, ...]:
        """Let a share of the people walk beside another one instead of on their own, where there is room."""
        if not self._groups:
            return people
        grouped: list[Person] = []
        for person in people:
            beside = _beside(grouped[-1], float(rng.choice([-1.0, 1.0]))) if grouped else person
            others = np.array([other.start for other in (*grouped, *people)])
            points = np.array([beside.start, *beside.waypoints])
            inside = (points > plan.bounds[:2]).all() and (points < plan.bounds[2:]).all()
            room = inside and (clearance(solids, points) > beside.radius_m + 0.05).all()
            apart = np.hypot(*(others - beside.start).T).min() > 2 * self._radii_m[1]
            joins = rng.uniform() < self._groups and room and apart
            grouped.append(beside if joins else person)
        return tuple(grouped)


def _beside(leader: Person, side: float) -> Person:
    """Return a person who walks beside another one, with the same speed."""
    way = np.subtract(leader.waypoints[0], leader.start)
    across = side * _SIDE_BY_SIDE_M * np.array([-way[1], way[0]]) / max(float(np.hypot(*way)), 1e-9)
    moved = [(float(x), float(y)) for x, y in np.array([leader.start, *leader.waypoints]) + across]
    return replace(leader, start=moved[0], waypoints=tuple(moved[1:]))


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


def make_junction(fields: Fields, inputs: SourceInputs) -> StreetSource:
    """Make a T-junction: a corridor and a second one that ends in it; people may come from and go to all three arms."""
    half_m = fields.number("length", 14.0, minimum=8.0, maximum=100.0) / 2
    widths_m = span(fields, "width", (2.4, 3.4))

    def layout(rng: np.random.Generator) -> StreetPlan:
        """Draw the walls, the robot's start and goal, and the areas of the people."""
        w = rng.uniform(*widths_m) / 2
        block_m = half_m - w
        centre_m = w + block_m / 2
        blocks = tuple(Box(side * centre_m, -w - block_m / 2, block_m, block_m) for side in (-1, 1))
        west, east = (-half_m + 0.4, -w, -w - 0.3, w), (w + 0.3, -w, half_m - 0.4, w)
        south = (-w, -half_m + 0.4, w, -w - 0.3)
        areas = ((south, west), (south, east), (east, south), (east, west), (west, east))
        start, goal = (-half_m + 1.0, rng.uniform(-0.4, 0.4)), (half_m - 1.0, rng.uniform(-0.4, 0.4))
        if rng.uniform() < 0.5:
            goal = (rng.uniform(-0.4, 0.4), -half_m + 1.0)
        return StreetPlan((-half_m, -half_m, half_m, w), blocks, start, goal, areas)

    return StreetSource(fields, inputs, (3, 8), layout)


def make_aisles(fields: Fields, inputs: SourceInputs) -> StreetSource:
    """Make the aisles of a warehouse: one along the robot's way and three across it, between blocks of shelves."""
    half_m = fields.number("length", 16.0, minimum=12.0, maximum=100.0) / 2
    widths_m = span(fields, "width", (2.4, 3.2))
    depth_m = 5.0

    def layout(rng: np.random.Generator) -> StreetPlan:
        """Draw the shelves, the robot's start and goal, and the areas of the carts."""
        w = rng.uniform(*widths_m)
        aisles_m = (-0.5 * half_m, 0.0, 0.5 * half_m)
        edges = [-half_m, *(x + side * w / 2 for x in aisles_m for side in (-1, 1)), half_m]
        shelves = tuple(
            Box((a + b) / 2, side * (w / 2 + depth_m / 2), b - a, depth_m)
            for a, b in zip(edges[::2], edges[1::2], strict=True)
            for side in (-1, 1)
        )
        top_m, side_m = w / 2 + depth_m, w / 2
        up = [(x - side_m, side_m + 1.0, x + side_m, top_m - 0.4) for x in aisles_m]
        down = [(x - side_m, -top_m + 0.4, x + side_m, -side_m - 1.0) for x in aisles_m]
        east, west = (half_m - 5.0, -side_m, half_m - 0.4, side_m), (-half_m + 0.4, -side_m, -half_m + 5.0, side_m)
        areas = (*zip(up, down, strict=True), *zip(down, up, strict=True), (east, west))
        start, goal = (-half_m + 1.0, rng.uniform(-0.4, 0.4)), (half_m - 1.0, rng.uniform(-0.4, 0.4))
        return StreetPlan((-half_m, -top_m, half_m, top_m), shelves, start, goal, areas)

    return StreetSource(fields, inputs, (4, 8), layout)
