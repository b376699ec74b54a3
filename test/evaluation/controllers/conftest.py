"""A room with a robot in it, and a drive through it without ROS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from edge_worldmodel.core.geometry import inverse, pose_matrix, relative, transform_points
from edge_worldmodel.core.sweep import Sweep, sweep_from_scan
from edge_worldmodel.evaluation.controllers import CONTROL_PERIOD_S, Controller, ControllerInput, People
from edge_worldmodel.sim.robots import PRESETS
from edge_worldmodel.sim.shapes import Box, Solid, enclosure
from edge_worldmodel.sim.simulation import Simulation
from edge_worldmodel.sim.world import Person, RobotPlacement, World

BOUNDS = (-1.0, -3.0, 7.0, 3.0)
START, GOAL = (0.0, 0.0, 0.0), (5.0, 0.0, 0.0)
BOX = Box(2.5, 0.2, 0.6, 1.2)


@dataclass(frozen=True)
class Drive:
    """How a drive ended and what was commanded."""

    arrived: bool
    touched: bool
    time_s: float
    commands: np.ndarray


def room(*solids: Solid, people: tuple[Person, ...] = (), robot: str = "generic") -> World:
    """A walled room of 8 m by 6 m; the robot shall drive 5 m along x."""
    placement = RobotPlacement(PRESETS[robot], START, GOAL)
    return World("room", 1, BOUNDS, (*enclosure(BOUNDS, 0.2, 2.0), *solids), people, robots=(placement,))


def look_around(simulation: Simulation, knows_people: bool = False) -> ControllerInput:
    """What a controller is shown of a simulation."""
    placement = simulation.world.robots[0]
    mount = placement.spec.scanners[0]
    scan, odometry = simulation.scan(), simulation.odom()
    sweep = sweep_from_scan(
        scan.stamp_ns, scan.ranges, scan.angle_min_rad, scan.angle_increment_rad, scan.range_min_m, scan.range_max_m,
        pose_matrix((mount.mount_x_m, mount.mount_y_m, mount.mount_yaw_rad)),
    )  # fmt: skip
    goal = relative(placement.start, placement.goal)[:2]
    people = None
    if knows_people:
        state = simulation.people()
        radii = np.array([person.radius_m for person in simulation.world.people])
        people = People(transform_points(inverse(placement.start), state.positions), state.velocities, radii)
    return ControllerInput(odometry.stamp_ns, sweep, odometry.pose, odometry.twist, goal, people, _nobody_ahead)


def _nobody_ahead(times_s):
    return np.empty((len(times_s), 0, 2))


def drive_through(controller: Controller, world: World, limit_s: float = 40.0, seed: int = 5) -> Drive:
    """Drive until the robot is at its goal, touches something, or the time is up."""
    simulation = Simulation(world, seed)
    placement = world.robots[0]
    to_odom = inverse(np.array(placement.start))
    walls = [transform_points(to_odom, solid.outline()) for solid in world.solids]
    controller.reset(placement.spec, relative(placement.start, placement.goal)[:2], seed, walls)
    steer_period_s = getattr(controller, "steer_period_s", CONTROL_PERIOD_S)
    commands = []
    for tick in range(round(limit_s / CONTROL_PERIOD_S)):
        command = controller.act(look_around(simulation, controller.knows_people))
        for part in range(round(CONTROL_PERIOD_S / steer_period_s)):
            if part:
                odometry = simulation.odom()
                command = controller.steer(odometry.stamp_ns, odometry.pose, odometry.twist)
            simulation.command(*command)
            simulation.advance(steer_period_s)
        commands.append(command)
        arrived = simulation.goal_distance() < 0.4
        if arrived or simulation.contact_events:
            return Drive(arrived, bool(simulation.contact_events), tick * CONTROL_PERIOD_S, np.array(commands))
    return Drive(False, False, limit_s, np.array(commands))


@pytest.fixture
def wall_sweep() -> Callable[[float], Sweep]:
    """Makes a sweep of a wall across the x axis, ``distance`` ahead, nothing elsewhere."""

    def make(distance_m: float) -> Sweep:
        bearing = np.linspace(-np.pi, np.pi, 360, endpoint=False)
        direction = np.stack([np.cos(bearing), np.sin(bearing)], axis=-1)
        ahead = np.abs(bearing) < 1.2
        ranges = np.where(ahead, distance_m / np.where(ahead, np.cos(bearing), 1.0), 5.0)
        hit = ahead & (ranges < 5.0)
        return Sweep(1_000_000_000, np.zeros(2), direction * np.minimum(ranges, 5.0)[:, None], hit, beams=360)

    return make
