"""Compiles a World to a MuJoCo model: solids, people as mocap bodies, robots on planar joints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.sim.robots import RobotSpec
from edge_worldmodel.sim.shapes import Cylinder, Solid
from edge_worldmodel.sim.world import Person, RobotPlacement, World

PERSON_HEIGHT_M = 1.75
WALL, PERSON, ROBOT = 0, 1, 2
KIND_NAMES = ("wall", "person", "robot")

# Robots collide with everything; walls and people do not collide with each other, because no force moves them.
_ROBOT_BITS = {"contype": 1, "conaffinity": 3}
_SCENERY_BITS = {"contype": 2, "conaffinity": 1}
_GROUND_CLEARANCE_M = 0.03
# Time constants with which the motors reduce a speed error, within their force limits.
_SPEED_LAG_S = 0.04
_YAW_LAG_S = 0.03
_GRAVITY_MPS2 = 9.81
_MANY_SOLIDS = 40
_BLOCK_M = 2.0


@dataclass(frozen=True)
class CompiledWorld:
    """A compiled model and the indices of the things of the world in it.

    ``geom_kind`` (ngeom,) is WALL, PERSON or ROBOT, ``geom_owner`` (ngeom,) the index of the person, robot or solid.
    ``robot_body`` are body ids. Robot i has qpos and qvel from ``robot_qpos[i]`` on: x, y, yaw, and for a quadrotor
    z, pitch, roll; and ctrl from ``robot_ctrl[i]`` on: forward, sideways, turn; a quadrotor has none.
    """

    model: mujoco.MjModel
    geom_kind: NDArray[np.int8]
    geom_owner: NDArray[np.int32]
    robot_body: tuple[int, ...]
    robot_qpos: tuple[int, ...]
    robot_ctrl: tuple[int, ...]


def compile_world(world: World) -> CompiledWorld:
    """Compile a world; mocap body i is person i."""
    spec = mujoco.MjSpec()
    spec.modelname = world.name
    spec.option.timestep = world.step_s
    spec.option.gravity = [0.0, 0.0, 0.0]  # planar joints carry the weight; the grip of the wheels is a force limit
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    _add_solids(spec.worldbody, world.solids)
    for i, person in enumerate(world.people):
        _add_person(spec.worldbody, i, person)
    for i, placement in enumerate(world.robots):
        _add_robot(spec, i, placement)
    model = spec.compile()
    kinds, owners = _geom_tables(model)
    bodies = tuple(model.body(f"robot{i}").id for i in range(len(world.robots)))
    flies = [placement.spec.kind == "quadrotor" for placement in world.robots]
    qpos = tuple(sum(6 if f else 3 for f in flies[:i]) for i in range(len(flies)))
    ctrl = tuple(sum(0 if f else 3 for f in flies[:i]) for i in range(len(flies)))
    return CompiledWorld(model, kinds, owners, bodies, qpos, ctrl)


def _add_solids(world: mujoco.MjsBody, solids: Sequence[Solid]) -> None:
    """Add the walls; if there are many, neighbours share a body, so that rays can skip whole groups."""
    blocks: dict[tuple[int, int], mujoco.MjsBody] = {}
    for i, solid in enumerate(solids):
        body = world
        if len(solids) >= _MANY_SOLIDS:
            block = math.floor(solid.x_m / _BLOCK_M), math.floor(solid.y_m / _BLOCK_M)
            if block not in blocks:
                blocks[block] = world.add_body(name=f"block{len(blocks)}")
            body = blocks[block]
        _add_solid(body, f"wall{i}", solid)


def _add_solid(body: mujoco.MjsBody, name: str, solid: Solid) -> None:
    half_height = solid.height_m / 2
    common = {"name": name, "pos": [solid.x_m, solid.y_m, half_height], **_SCENERY_BITS}
    if isinstance(solid, Cylinder):
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=[solid.radius_m, half_height, 0.0], **common)
        return
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[solid.length_m / 2, solid.width_m / 2, half_height],
        quat=[np.cos(solid.yaw_rad / 2), 0.0, 0.0, np.sin(solid.yaw_rad / 2)],
        **common,
    )


def _add_person(world: mujoco.MjsBody, index: int, person: Person) -> None:
    half_height = PERSON_HEIGHT_M / 2
    body = world.add_body(name=f"person{index}", mocap=True, pos=[*person.start, half_height])
    size = [person.radius_m, half_height, 0.0]
    body.add_geom(name=f"person{index}", type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=size, **_SCENERY_BITS)


def _add_robot(spec: mujoco.MjSpec, index: int, placement: RobotPlacement) -> None:
    name, robot = f"robot{index}", placement.spec
    body = spec.worldbody.add_body(name=name)
    slide, hinge = mujoco.mjtJoint.mjJNT_SLIDE, mujoco.mjtJoint.mjJNT_HINGE
    for joint, kind, axis in (("x", slide, [1, 0, 0]), ("y", slide, [0, 1, 0]), ("yaw", hinge, [0, 0, 1])):
        body.add_joint(name=f"{name}_{joint}", type=kind, axis=axis)
    flies = robot.kind == "quadrotor"
    if flies:
        for joint, kind, axis in (("z", slide, [0, 0, 1]), ("pitch", hinge, [0, 1, 0]), ("roll", hinge, [1, 0, 0])):
            body.add_joint(name=f"{name}_{joint}", type=kind, axis=axis)
    half_height = robot.height_m / 2 if flies else (robot.height_m - _GROUND_CLEARANCE_M) / 2
    centre_m = 0.0 if flies else _GROUND_CLEARANCE_M + half_height
    geom = {"name": name, "pos": [0.0, 0.0, centre_m], "mass": robot.mass_kg, **_ROBOT_BITS}
    if robot.length_m > 0:
        size = [robot.length_m / 2, robot.width_m / 2, half_height]
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=size, **geom)
    else:
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=[robot.radius_m, half_height, 0.0], **geom)
    body.add_site(name=name)
    if not flies:
        _add_motors(spec, name, robot)


def _add_motors(spec: mujoco.MjSpec, name: str, robot: RobotSpec) -> None:
    """Add velocity motors in the base frame: forward, sideways (the grip of the wheels) and yaw."""
    grip_n = robot.grip * robot.mass_kg * _GRAVITY_MPS2
    drive_n = min(grip_n, 1.2 * robot.mass_kg * max(robot.max_acceleration_mps2, robot.max_deceleration_mps2))
    inertia = robot.mass_kg * robot.radius_m**2 / 2
    turn_nm = min(grip_n * robot.radius_m, 2.0 * inertia * robot.max_yaw_acceleration_radps2)
    motors = (
        ("forward", [1, 0, 0, 0, 0, 0], robot.mass_kg / _SPEED_LAG_S, drive_n),
        ("sideways", [0, 1, 0, 0, 0, 0], robot.mass_kg / _SPEED_LAG_S, grip_n),
        ("turn", [0, 0, 0, 0, 0, 1], inertia / _YAW_LAG_S, turn_nm),
    )
    for motor, gear, stiffness, limit in motors:
        actuator = spec.add_actuator(
            name=f"{name}_{motor}",
            trntype=mujoco.mjtTrn.mjTRN_SITE,
            target=name,
            gear=gear,
            forcelimited=True,
            forcerange=[-limit, limit],
        )
        actuator.set_to_velocity(kv=stiffness)


def _geom_tables(model: mujoco.MjModel) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    kinds = np.zeros(model.ngeom, np.int8)
    owners = np.zeros(model.ngeom, np.int32)
    for i in range(model.ngeom):
        name = model.geom(i).name
        prefix = name.rstrip("0123456789")
        kinds[i] = KIND_NAMES.index(prefix)
        owners[i] = int(name[len(prefix) :])
    return kinds, owners
