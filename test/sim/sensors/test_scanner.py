"""The scanner measures what geometry says it must see, and errs as told."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.sim.robots import ScannerSpec
from edge_worldmodel.sim.shapes import Box, Cylinder
from edge_worldmodel.sim.simulation import Simulation
from edge_worldmodel.sim.world import Person, RobotPlacement, World

from ..rooms import BOUNDS, EXACT, room


def walls_ahead(x: float, y: float, angles: np.ndarray) -> np.ndarray:
    """Distances from a point inside the test room to its walls, from the slab equations."""
    with np.errstate(divide="ignore"):
        to_x = np.maximum((BOUNDS[2] - x) / np.cos(angles), (BOUNDS[0] - x) / np.cos(angles))
        to_y = np.maximum((BOUNDS[3] - y) / np.sin(angles), (BOUNDS[1] - y) / np.sin(angles))
    return np.minimum(to_x, to_y)


@settings(max_examples=40, deadline=None)
@given(st.floats(-4, 4), st.floats(-3, 3), st.floats(-4, 4), st.sampled_from([0.7, 1.5 * math.pi, 2 * math.pi]))
def test_ranges_in_an_empty_room(x, y, yaw, fov):
    scanner = dataclasses.replace(EXACT, fov_rad=fov, beams=91, range_max_m=20.0)
    scan = Simulation(room(start=(x, y, yaw), scanner=scanner)).scan()
    angles = yaw + scan.angle_min_rad + scan.angle_increment_rad * np.arange(91)
    assert scan.ranges == pytest.approx(walls_ahead(x, y, angles), rel=1e-5)


def test_a_pillar_and_a_person_are_seen_at_their_surface():
    world = room(Cylinder(2.0, 0.0, 0.5), people=(Person(start=(0.0, -3.0), radius_m=0.3),))
    scan = Simulation(world).scan()
    assert scan.ranges[180] == pytest.approx(1.5, abs=1e-6)
    assert scan.ranges[90] == pytest.approx(2.7, abs=1e-6)
    edge = np.arcsin(0.5 / 2.0)
    beyond = 180 + math.ceil(math.degrees(edge))
    assert scan.ranges[beyond - 1] < 2.0 < scan.ranges[beyond]


def test_what_is_lower_than_the_scan_plane_is_not_seen():
    low, high = Box(2.0, 0.0, 0.5, 0.5, height_m=0.2), Box(-2.0, 0.0, 0.5, 0.5, height_m=0.5)
    scan = Simulation(room(low, high)).scan()
    assert scan.ranges[180] == pytest.approx(5.0)
    assert scan.ranges[0] == pytest.approx(1.75)


def test_the_mount_shifts_and_turns_the_view():
    mount = dataclasses.replace(EXACT, mount_x_m=0.5, mount_y_m=0.25, mount_yaw_rad=math.pi / 2)
    scan = Simulation(room(start=(1.0, 0.0, math.pi / 2), scanner=mount)).scan()
    # base turned left: the mount is at (0.75, 0.5) and looks along -x
    assert scan.ranges[180] == pytest.approx(5.75, abs=1e-5)
    assert scan.ranges[90] == pytest.approx(3.5, abs=1e-5)


def test_a_robot_sees_the_others_but_not_itself():
    spec = dataclasses.replace(room().robots[0].spec, radius_m=0.3)
    robots = tuple(RobotPlacement(spec, (x, 0.0, 0.0)) for x in (0.0, 3.0))
    simulation = Simulation(World("two", 1, BOUNDS, robots=robots))
    assert simulation.scan(robot=0).ranges[180] == pytest.approx(2.7, abs=1e-6)
    assert simulation.scan(robot=1).ranges[0] == pytest.approx(2.7, abs=1e-6)
    assert np.isinf(simulation.scan(robot=0).ranges[90])


def test_nothing_in_range_is_infinite():
    scan = Simulation(room(scanner=dataclasses.replace(EXACT, range_max_m=4.5))).scan()
    assert np.isinf(scan.ranges[180]) and scan.ranges[90] == pytest.approx(4.0, abs=1e-5)


def test_noise_and_dropouts_have_the_size_asked_for():
    scanner = ScannerSpec(beams=720, noise_m=0.02, dropout=0.1, range_max_m=20.0)
    simulation = Simulation(room(scanner=scanner))
    angles = scanner.angle_min_rad + scanner.angle_increment_rad * np.arange(720)
    errors = np.stack([simulation.scan().ranges for _ in range(50)]) - walls_ahead(0.0, 0.0, angles)
    assert np.isnan(errors).mean() == pytest.approx(0.1, abs=0.01)
    assert np.nanstd(errors) == pytest.approx(0.02, rel=0.05)
    assert abs(np.nanmean(errors)) < 0.001


def test_a_scan_sees_the_present_not_the_step_before():
    simulation = Simulation(room(start=(0.0, 0.0, 0.0)))
    for _ in range(400):
        simulation.step((1.0, 0.0))
    assert simulation.scan().ranges[180] == pytest.approx(5.0 - simulation.pose()[0], abs=1e-5)
