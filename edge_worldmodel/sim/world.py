"""A world: solids, people and robots; read from a small YAML file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml

from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.types import Floats
from edge_worldmodel.sim.crowds.tracks import RecordedTracks, load_tracks
from edge_worldmodel.sim.fields import Fields, WorldError
from edge_worldmodel.sim.robots import RobotSpec, robot_spec, with_overrides
from edge_worldmodel.sim.shapes import Box, Cylinder, Solid, clearance, enclosure, segment
from edge_worldmodel.sim.wind import WindSpec

CROWD_MODELS = ("waypoints", "jupedsim", "orca", "replay", "reacting_replay")
_WALL_KINDS = ("segment", "box", "cylinder")

Point = tuple[float, float]


@dataclass(frozen=True)
class Person:
    """A person who repeats a route from start through waypoints, or walks between random points of an area.

    With ``waits_for_robot_m`` above 0 a person of the model "waypoints" waits until a robot is within that distance
    and then walks through the waypoints once. Where a crowd reacts to the robots, people who are not ``attentive`` do
    not ("orca" and "reacting_replay"). People of the model "jupedsim" stop after ``walks_s`` on average, for
    ``stops_s`` on average, and turn to another waypoint after ``changes_mind_s`` on average; 0: never.
    """

    start: Point
    waypoints: tuple[Point, ...] = ()
    area: tuple[float, float, float, float] | None = None
    speed_mps: float = 1.0
    radius_m: float = 0.25
    waits_for_robot_m: float = 0.0
    attentive: bool = True
    walks_s: float = 0.0
    stops_s: float = 0.0
    changes_mind_s: float = 0.0


@dataclass(frozen=True)
class CrowdSpec:
    """The motion of the people.

    ``model`` is "waypoints" (straight lines without avoidance), "jupedsim" (people avoid walls, each other and, with
    ``reacts_to_robot``, the robots), "orca" (reciprocal avoidance without walls) or "replay" (the recorded
    ``tracks``, or those of ``file``, see tracks.py). In a "reacting_replay" attentive people leave their tracks to
    avoid the robots and return to them.
    """

    model: str = "waypoints"
    reacts_to_robot: bool = True
    robot_margin_m: float = 0.1
    file: Path | None = None
    replay_radius_m: float = 0.25
    tracks: RecordedTracks | None = field(default=None, compare=False)

    @property
    def recorded(self) -> bool:
        """Whether the people come from recorded tracks."""
        return self.model in ("replay", "reacting_replay")


@dataclass(frozen=True)
class RobotPlacement:
    """A robot with its start and goal (world frame: x_m, y_m, yaw_rad)."""

    spec: RobotSpec
    start: tuple[float, float, float]
    goal: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class World:
    """The initial state of a simulation.

    ``bounds`` is (x_min, y_min, x_max, y_max); ``solids`` includes the walls around the bounds, if any.
    """

    name: str
    seed: int
    bounds: tuple[float, float, float, float]
    solids: tuple[Solid, ...] = ()
    people: tuple[Person, ...] = ()
    crowd: CrowdSpec = CrowdSpec()
    robots: tuple[RobotPlacement, ...] = ()
    step_s: float = 0.005
    wind: WindSpec | None = None

    def __post_init__(self) -> None:
        """Refuse worlds in which robots or people start out of bounds, in a wall or in each other."""
        if not (self.bounds[0] < self.bounds[2] and self.bounds[1] < self.bounds[3]):
            raise WorldError(f"{self.name}: bounds = {self.bounds}: expected x_min < x_max and y_min < y_max")
        for i, placement in enumerate(self.robots):
            self._check_free(f"robots[{i}].start", placement.start[:2], placement.spec.radius_m)
            if placement.goal is not None:
                self._check_free(f"robots[{i}].goal", placement.goal[:2], placement.spec.radius_m)
        if self.crowd.recorded:
            return  # recorded people may overlap walls and each other
        for i, person in enumerate(self.people):
            self._check_free(f"people[{i}].start", person.start, person.radius_m)
            for j, point in enumerate(person.waypoints):
                self._check_free(f"people[{i}].waypoints[{j}]", point, person.radius_m)
        self._check_apart()

    def _check_free(self, name: str, point: Point, radius_m: float) -> None:
        x0, y0, x1, y1 = self.bounds
        if not (x0 <= point[0] <= x1 and y0 <= point[1] <= y1):
            raise WorldError(f"{self.name}: {name} = {list(point)}: outside the bounds {list(self.bounds)}")
        free_m = float(clearance(self.solids, np.array(point)))
        if free_m < radius_m:
            raise WorldError(
                f"{self.name}: {name} = {list(point)}: only {free_m:.2f} m from a wall, {radius_m} m are needed"
            )

    def _check_apart(self) -> None:
        bodies = [(f"robots[{i}]", r.start[:2], r.spec.radius_m) for i, r in enumerate(self.robots)]
        bodies += [(f"people[{i}]", p.start, p.radius_m) for i, p in enumerate(self.people)]
        for i, (name_a, a, radius_a) in enumerate(bodies):
            for name_b, b, radius_b in bodies[:i]:
                if np.hypot(a[0] - b[0], a[1] - b[1]) < radius_a + radius_b:
                    raise WorldError(f"{self.name}: {name_b} and {name_a} overlap at the start, at {list(a)}")

    def clearance(self, points: Floats) -> Floats:
        """Return the signed distances (n,) of world points (n, 2) to the nearest solid."""
        return clearance(self.solids, points)


def load_world(path: Path) -> World:
    """Read a world file.

    Raises:
        WorldError: names the file, the place in it, the value found and what is expected.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise WorldError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise WorldError(f"{path}: not valid YAML: {error}") from error
    fields = Fields(tree, path.name)
    world = _world(fields, path)
    fields.finish()
    return world


def _world(fields: Fields, path: Path) -> World:
    bounds = fields.numbers("bounds", "x_min y_min x_max y_max")
    solids = fields.each("walls", _solid)
    if fields.flag("enclosed", True):
        solids += enclosure(bounds, 0.2, fields.number("wall_height", 2.0, minimum=0.01))  # type: ignore[arg-type]
    crowd = _crowd(fields, path)
    people = fields.each("people", _person)
    if crowd.file is not None:
        if people:
            raise WorldError(
                f"{fields.place('people')}: not allowed with a replay, whose people are those of {crowd.file.name}"
            )
        recorded = load_tracks(crowd.file).positions.shape[1]
        people = (Person(start=bounds[:2], radius_m=crowd.replay_radius_m),) * recorded  # type: ignore[arg-type]
    return World(
        name=fields.text("name", path.stem),
        seed=int(fields.number("seed", 0, minimum=0)),
        bounds=bounds,  # type: ignore[arg-type]
        solids=solids,
        people=people,
        crowd=crowd,
        robots=fields.each("robots", _robot),
        step_s=fields.number("step_s", 0.005, minimum=0.001, maximum=0.01),
        wind=_wind(fields),
    )


def _solid(value: object, place: str) -> Solid:
    fields = Fields(value, place)
    kinds = [kind for kind in _WALL_KINDS if kind in fields]
    if len(kinds) != 1:
        raise WorldError(f"{place}: expected exactly one of {', '.join(_WALL_KINDS)}")
    height_m = fields.number("height", 2.0, minimum=0.01)
    solid: Solid
    if kinds == ["segment"]:
        x0, y0, x1, y1 = fields.numbers("segment", "x0 y0 x1 y1")
        solid = segment((x0, y0), (x1, y1), fields.number("thickness", 0.1, minimum=0.01), height_m)
    elif kinds == ["box"]:
        x, y, length_m, width_m = fields.numbers("box", "x y length width")
        solid = Box(x, y, length_m, width_m, fields.number("yaw", 0.0), height_m)
    else:
        x, y, radius_m = fields.numbers("cylinder", "x y radius")
        solid = Cylinder(x, y, radius_m, height_m)
    fields.finish()
    sizes = (solid.radius_m,) if isinstance(solid, Cylinder) else (solid.length_m, solid.width_m)
    if min(sizes) <= 0:
        raise WorldError(f"{place}.{kinds[0]}: sizes {list(sizes)} must be above 0")
    return solid


def _person(value: object, place: str) -> Person:
    fields = Fields(value, place)
    person = Person(
        start=fields.numbers("start", "x y"),  # type: ignore[arg-type]
        waypoints=fields.number_lists("waypoints", "x y"),  # type: ignore[arg-type]
        area=fields.optional_numbers("area", "x_min y_min x_max y_max"),  # type: ignore[arg-type]
        speed_mps=fields.number("speed", 1.0, minimum=0.0, maximum=3.0),
        radius_m=fields.number("radius", 0.25, minimum=0.05, maximum=1.0),
        waits_for_robot_m=fields.number("waits_for_robot", 0.0, minimum=0.0, maximum=20.0),
        attentive=fields.flag("attentive", True),
        walks_s=fields.number("walks", 0.0, minimum=0.0, maximum=1e3),
        stops_s=fields.number("stops", 0.0, minimum=0.0, maximum=1e3),
        changes_mind_s=fields.number("changes_mind", 0.0, minimum=0.0, maximum=1e3),
    )
    fields.finish()
    if person.waypoints and person.area:
        raise WorldError(f"{place}: give either waypoints or area, not both")
    return person


def _crowd(fields: Fields, path: Path) -> CrowdSpec:
    crowd = Fields(fields.mapping("crowd"), fields.place("crowd"))
    spec = CrowdSpec(
        model=crowd.text("model", "waypoints", choices=CROWD_MODELS),
        reacts_to_robot=crowd.flag("reacts_to_robot", True),
        robot_margin_m=crowd.number("robot_margin", 0.1, minimum=0.0, maximum=1.0),
        file=path.parent / crowd.text("file") if "file" in crowd else None,
        replay_radius_m=crowd.number("radius", 0.25, minimum=0.05, maximum=1.0),
    )
    crowd.finish()
    if spec.recorded != (spec.file is not None):
        raise WorldError(f"{crowd.place('file')}: must be given with model: replay, and with no other model")
    return spec


def _wind(fields: Fields) -> WindSpec | None:
    if "wind" not in fields:
        return None
    try:
        return WindSpec(**fields.mapping("wind"))  # type: ignore[arg-type]
    except (ConfigError, TypeError) as error:
        raise WorldError(f"{fields.place('wind')}: {error}") from error


def _robot(value: object, place: str) -> RobotPlacement:
    fields = Fields(value, place)
    try:
        preset = robot_spec(fields.text("preset"))
        spec = with_overrides(preset, fields.mapping("scanner"), fields.mapping("odometry"))
    except (ConfigError, TypeError) as error:
        raise WorldError(f"{place}: {error}") from error
    placement = RobotPlacement(
        spec,
        start=fields.numbers("start", "x y yaw"),  # type: ignore[arg-type]
        goal=fields.optional_numbers("goal", "x y yaw"),  # type: ignore[arg-type]
    )
    fields.finish()
    return placement
