"""The depth camera measures what geometry says it must see, floor and people included, and errs as told."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from edge_worldmodel.core.perception.config import PerceptionConfig
from edge_worldmodel.core.perception.depth import sweep_from_depth
from edge_worldmodel.sim.robots import DepthCameraSpec
from edge_worldmodel.sim.sensors.depth_camera import mount_quaternion, mount_rotation
from edge_worldmodel.sim.shapes import Cylinder
from edge_worldmodel.sim.simulation import Simulation
from edge_worldmodel.sim.world import Person, World

from ..rooms import room

EXACT = DepthCameraSpec(noise_per_m2=0.0, dropout=0.0, mount_pitch_rad=0.0)


def with_camera(world: World, camera: DepthCameraSpec) -> World:
    placement = world.robots[0]
    return dataclasses.replace(
        world,
        robots=(dataclasses.replace(placement, spec=dataclasses.replace(placement.spec, cameras=(camera,))),),
    )


def test_a_wall_is_flat_and_the_floor_lies_where_it_must():
    camera = dataclasses.replace(EXACT, rows=61, fov_rad=1.2)
    depth = Simulation(with_camera(room(), camera)).depth_image().depth_m
    ahead_m = 5.0 - camera.mount_x_m
    assert depth[30, 20:60] == pytest.approx(ahead_m, abs=1e-4), "depth is along the axis, not along the ray"
    row = 55
    floor_m = camera.mount_height_m / ((row - camera.cy_px) / camera.focal_px)
    assert floor_m < ahead_m
    assert depth[row, 40] == pytest.approx(floor_m, rel=1e-4)
    assert np.isnan(Simulation(with_camera(room(enclosed=False), camera)).depth_image().depth_m[:30]).all()


def test_a_turned_and_pitched_camera_looks_there():
    camera = dataclasses.replace(EXACT, mount_yaw_rad=math.pi / 2, mount_pitch_rad=0.5)
    axis = mount_rotation(camera)[:, 2]
    np.testing.assert_allclose(axis, [0.0, math.cos(0.5), -math.sin(0.5)], atol=1e-12)
    x, y, z, w = mount_quaternion(camera)
    turned = np.array([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)])
    np.testing.assert_allclose(turned, axis, atol=1e-12)
    depth = Simulation(with_camera(room(), camera)).depth_image().depth_m
    middle = depth[29:31, 39:41].mean()
    assert middle == pytest.approx(camera.mount_height_m / math.sin(0.5), rel=0.02)


def test_perception_finds_the_pillar_and_the_person_and_takes_the_floor_for_free():
    camera = dataclasses.replace(EXACT, columns=160, rows=120, mount_pitch_rad=0.1)
    world = room(Cylinder(2.0, 0.0, 0.3), people=(Person(start=(2.5, 1.2), radius_m=0.25),))
    simulation = Simulation(with_camera(world, camera))
    pose = np.eye(4)
    pose[:3, :3] = mount_rotation(camera)
    pose[:3, 3] = camera.mount_x_m, camera.mount_y_m, camera.mount_height_m
    intrinsics = (camera.focal_px, camera.focal_px, camera.cx_px, camera.cy_px)
    image = simulation.depth_image()
    sweep = sweep_from_depth(image.stamp_ns, image.depth_m, *intrinsics, pose, PerceptionConfig(depth_stride=1))
    hits = sweep.endpoints[sweep.hit]
    assert np.abs(np.hypot(*(hits - [1.7, 0.0]).T)).min() < 0.05
    person = simulation.people().positions[0]
    assert abs(np.hypot(*(hits - person).T).min() - 0.25) < 0.08
    assert np.hypot(*hits.T).min() > 1.5, "no piece of the floor counts as an obstacle"


def test_noise_grows_with_depth_pixels_are_lost_and_the_same_seed_sees_the_same():
    noisy = dataclasses.replace(EXACT, noise_per_m2=0.01, dropout=0.2, range_max_m=20.0)
    first, again = (Simulation(with_camera(room(), noisy), seed=5).depth_image().depth_m for _ in range(2))
    np.testing.assert_array_equal(first, again)
    exact = Simulation(with_camera(room(), dataclasses.replace(EXACT, range_max_m=20.0))).depth_image().depth_m
    error = first - exact
    assert np.isnan(first)[~np.isnan(exact)].mean() == pytest.approx(0.2, abs=0.03)
    near, far = exact < 2.0, exact > 4.0
    assert np.nanstd(error[far]) > 4 * np.nanstd(error[near]) > 0.0


def test_a_camera_leaves_scans_and_odometry_of_the_same_seed_unchanged():
    plain, with_one = Simulation(room(), seed=3), Simulation(with_camera(room(), EXACT), seed=3)
    for simulation in (plain, with_one):
        simulation.command(0.5, 0.2)
        simulation.advance(1.0)
    np.testing.assert_array_equal(plain.scan().ranges, with_one.scan().ranges)
    np.testing.assert_array_equal(plain.odom().pose, with_one.odom().pose)
