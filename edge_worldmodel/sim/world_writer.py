"""Writes a world as a file that ``load_world`` reads, for a simulator in another process."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import yaml

from edge_worldmodel.sim.fields import WorldError
from edge_worldmodel.sim.shapes import Box, Solid
from edge_worldmodel.sim.world import Person, RobotPlacement, World, load_world


def write_world(world: World, path: Path) -> None:
    """Write a world file; reading it gives exactly this world.

    Raises:
        WorldError: the world has parts that a file cannot hold: recorded tracks, or a robot that is not a preset.
    """
    tree: dict[str, Any] = {
        "name": world.name,
        "seed": world.seed,
        "bounds": list(world.bounds),
        "enclosed": False,  # the walls are among the solids
        "step_s": world.step_s,
        "walls": [_solid(solid) for solid in world.solids],
        "people": [_person(person) for person in world.people],
        "crowd": {
            "model": world.crowd.model,
            "reacts_to_robot": world.crowd.reacts_to_robot,
            "robot_margin": world.crowd.robot_margin_m,
            "radius": world.crowd.replay_radius_m,
        },
        "robots": [_robot(placement) for placement in world.robots],
    }
    if world.wind is not None:
        tree["wind"] = dataclasses.asdict(world.wind)
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    # Reading the file again detects anything that it does not contain.
    if world.crowd.tracks is not None or load_world(path) != world:
        path.unlink()
        raise WorldError(
            f"world {world.name}: cannot be written as a world file (recorded tracks, or a robot that is not a preset)"
        )


def _solid(solid: Solid) -> dict[str, Any]:
    if isinstance(solid, Box):
        sizes = [solid.x_m, solid.y_m, solid.length_m, solid.width_m]
        return {"box": _plain(sizes), "yaw": float(solid.yaw_rad), "height": float(solid.height_m)}
    return {"cylinder": _plain([solid.x_m, solid.y_m, solid.radius_m]), "height": float(solid.height_m)}


def _person(person: Person) -> dict[str, Any]:
    tree: dict[str, Any] = {
        "start": _plain(person.start),
        "waypoints": [_plain(point) for point in person.waypoints],
        "speed": float(person.speed_mps),
        "radius": float(person.radius_m),
        "waits_for_robot": float(person.waits_for_robot_m),
        "attentive": person.attentive,
        "walks": float(person.walks_s),
        "stops": float(person.stops_s),
        "changes_mind": float(person.changes_mind_s),
    }
    return tree if person.area is None else {**tree, "area": _plain(person.area)}


def _robot(placement: RobotPlacement) -> dict[str, Any]:
    tree: dict[str, Any] = {"preset": placement.spec.name, "start": _plain(placement.start)}
    return tree if placement.goal is None else {**tree, "goal": _plain(placement.goal)}


def _plain(values: Any) -> list[float]:
    return [float(value) for value in values]
