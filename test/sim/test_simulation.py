"""The simulation keeps its limits, touches what it touches, and is the same for the same seed."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.sim import mjcf
from edge_worldmodel.sim.robots import PRESETS, OdometrySpec, ScannerSpec
from edge_worldmodel.sim.shapes import Box, Cylinder
from edge_worldmodel.sim.simulation import Simulation
from edge_worldmodel.sim.wind import WindSpec
from edge_worldmodel.sim.world import Person, RobotPlacement, World, load_world

from .rooms import room

WORLDS = Path(__file__).parents[2] / "worlds"


def drive(simulation: Simulation, forward_mps: float, yaw_rate_radps: float, duration_s: float) -> np.ndarray:
    """Drive with one command and return the twists (steps, 3) on the way."""
    twists = []
    for _ in range(round(duration_s / simulation.world.step_s)):
        simulation.step((forward_mps, yaw_rate_radps))
        twists.append(simulation.twist())
    return np.array(twists)


def trace(seed: int | None) -> bytes:
    """Everything that can be seen of six seconds in the demo room, as bytes."""
    simulation = Simulation(load_world(WORLDS / "demo_room.yaml"), seed)
    seen = b""
    for i in range(1200):
        simulation.step((0.6, 0.3 * np.sin(i / 50)))
        if i % 20 == 0:
            seen += simulation.scan().ranges.tobytes() + simulation.odom().pose.tobytes()
            seen += simulation.people().positions.tobytes() + simulation.pose().tobytes()
    return seen


def test_the_same_seed_gives_the_same_bits():
    pytest.importorskip("jupedsim")
    first = trace(3)
    assert trace(3) == first
    assert trace(4) != first


def test_time_starts_at_one_second_and_keeps_its_step():
    simulation = Simulation(room())
    assert simulation.stamp_ns == 1_000_000_000
    simulation.advance(0.5)
    assert simulation.stamp_ns == 1_500_000_000


def test_driving_straight_covers_the_distance():
    simulation = Simulation(room(start=(-3.0, 1.0, 0.0)))
    drive(simulation, 0.5, 0.0, 4.0)
    # 0.5 s of acceleration at 1 m/s2 cost 0.125 m, the lag of the motors some 2 cm
    assert simulation.pose() == pytest.approx([-1.125 - 0.02, 1.0, 0.0], abs=0.01)
    assert simulation.odom().pose[:2] == pytest.approx([simulation.pose()[0] + 3.0, 0.0], abs=1e-9)


def test_driving_a_circle_stays_on_it():
    simulation = Simulation(room())
    drive(simulation, 0.5, 0.5, 1.0)
    poses = []
    for _ in range(2400):
        simulation.step()
        poses.append(simulation.pose())
    xy = np.array(poses)[:, :2]
    assert np.ptp(xy, axis=0) == pytest.approx([2.0, 2.0], abs=0.06)
    assert abs(simulation.twist()[1]) < 0.02


@pytest.mark.parametrize("preset", sorted(name for name, spec in PRESETS.items() if spec.kind == "differential"))
@settings(max_examples=10, deadline=None)
@given(commands=st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=2, max_size=5))
def test_limits_of_the_base_are_kept(preset, commands):
    spec = PRESETS[preset]
    simulation = Simulation(room(preset=preset, enclosed=False))
    twists = np.concatenate([drive(simulation, *command, 0.7) for command in commands])
    assert twists[:, 0].max() <= spec.max_speed_mps * 1.01 + 0.01
    assert twists[:, 0].min() >= -spec.max_reverse_mps * 1.01 - 0.01
    assert np.abs(twists[:, 2]).max() <= spec.max_yaw_rate_radps * 1.01 + 0.01
    change = np.diff(twists, axis=0) / simulation.world.step_s
    # turning at speed needs a force sideways, which leaks a little into the forward axis
    assert np.abs(change[:, 0]).max() <= max(spec.max_acceleration_mps2, spec.max_deceleration_mps2) * 1.3 + 0.1
    assert np.abs(change[:, 2]).max() <= spec.max_yaw_acceleration_radps2 * 1.3 + 0.1


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_command_that_is_no_number_stops_the_base(bad):
    simulation = Simulation(room())
    drive(simulation, 0.8, 0.0, 1.5)
    drive(simulation, bad, 0.0, 1.0)
    assert np.abs(simulation.twist()).max() < 1e-3


@pytest.mark.parametrize("solid", [Box(2.0, 0.0, 1.0, 2.0), Cylinder(2.0, 0.1, 0.5), Box(2.0, 0.0, 1.0, 1.0, 0.5)])
def test_a_wall_stops_the_robot_and_is_a_contact(solid):
    simulation = Simulation(room(solid))
    drive(simulation, 1.0, 0.0, 4.0)
    free_m = solid.distance(simulation.pose()[:2])
    assert free_m == pytest.approx(0.25, abs=0.01)
    first = simulation.contact_events[0]
    assert (first.robot, first.kind, first.other) == (0, "wall", 0)
    assert first.speed_mps > 0.3


def test_a_person_in_the_way_is_a_contact():
    simulation = Simulation(room(people=(Person(start=(1.5, 0.0), radius_m=0.3),)))
    drive(simulation, 0.5, 0.0, 1.5)
    assert not simulation.contact_events and not simulation.in_contact()
    drive(simulation, 0.5, 0.0, 1.5)
    assert simulation.in_contact()
    assert simulation.contact_events[0].kind == "person"
    assert np.hypot(*(simulation.pose()[:2] - simulation.people().positions[0])) == pytest.approx(0.55, abs=0.02)
    drive(simulation, -0.5, 0.0, 2.0)
    assert not simulation.in_contact()
    assert len(simulation.contact_events) == 1


def test_a_person_who_walks_into_a_standing_robot_touches_and_pushes_it():
    walker = Person(start=(2.0, 0.0), waypoints=((-4.0, 0.0),), speed_mps=0.8)
    simulation = Simulation(room(people=(walker,)))
    simulation.advance(4.0)
    assert simulation.contact_events[0].kind == "person"
    assert simulation.pose()[0] < -0.5


def test_robots_touch_each_other():
    spec = room().robots[0].spec
    robots = (RobotPlacement(spec, (0.0, 0.0, 0.0)), RobotPlacement(spec, (1.5, 0.0, np.pi)))
    simulation = Simulation(dataclasses.replace(room(), robots=robots))
    simulation.command(0.5, 0.0, robot=0)
    simulation.command(0.5, 0.0, robot=1)
    simulation.advance(3.0)
    assert {(e.robot, e.kind, e.other) for e in simulation.contact_events} == {(0, "robot", 1), (1, "robot", 0)}


def test_standing_a_centimetre_apart_is_no_contact():
    world = room(Box(1.26 + 0.5, 0.0, 1.0, 2.0), people=(Person(start=(0.49, 0.0)),), start=(1.0, 0.0, 0.0))
    simulation = Simulation(dataclasses.replace(world, people=(Person(start=(0.49, 0.0)),)))
    simulation.advance(2.0)
    assert not simulation.contact_events


def test_a_rectangular_robot_passes_where_its_circle_would_not():
    # 0.43 m wide, 0.67 m across its diagonal, in a gap of 0.5 m
    solids = (Box(1.5, 1.25, 1.0, 2.0), Box(1.5, -1.25, 1.0, 2.0))
    simulation = Simulation(room(*solids, preset="jackal"))
    drive(simulation, 0.8, 0.0, 4.0)
    assert simulation.pose()[0] > 2.5 and not simulation.contact_events


def test_noisy_odometry_drifts_with_the_distance():
    spec = OdometrySpec(distance_noise=0.05, yaw_per_metre_rad=0.02, yaw_noise=0.02)
    placement = room(start=(-3.0, 0.0, 0.0)).robots[0]
    noisy = dataclasses.replace(placement, spec=dataclasses.replace(placement.spec, odometry=spec))
    world = dataclasses.replace(room(), robots=(noisy,))
    errors = []
    for seed in range(30):
        simulation = Simulation(world, seed)
        drive(simulation, 1.0, 0.0, 4.5)
        errors.append(simulation.odom().pose[0] - (simulation.pose()[0] + 3.0))
        assert not simulation.contact_events
    assert 0.05 < np.std(errors) < 0.2
    standing = Simulation(world)
    standing.advance(2.0)
    assert np.abs(standing.odom().pose).max() < 1e-6


def test_sensor_noise_does_not_depend_on_other_sensors():
    scanner = ScannerSpec(noise_m=0.02)
    one, both = Simulation(room(scanner=scanner)), None
    spec = dataclasses.replace(room().robots[0].spec, scanners=(scanner, scanner))
    both = Simulation(dataclasses.replace(room(), robots=(RobotPlacement(spec, (0.0, 0.0, 0.0)),)))
    second = both.scan(scanner=1).ranges
    assert np.array_equal(one.scan().ranges, both.scan().ranges)
    assert not np.array_equal(second, one.scan().ranges)


def test_it_runs_far_faster_than_real_time():
    pytest.importorskip("jupedsim")
    simulation = Simulation(load_world(WORLDS / "demo_room.yaml"))
    begin_s = time.process_time()
    for i in range(2000):
        simulation.step((0.3, 0.0))
        if i % 20 == 0:
            simulation.scan()
    # about 50 on an idle core; CPU time, so that other load does not fail it
    assert 10.0 / (time.process_time() - begin_s) > 20.0


def _alone(preset, **world):
    placement = RobotPlacement(PRESETS[preset], (0.0, 0.0, 0.0), (5.0, 0.0, 0.0))
    return Simulation(World("w", 0, (-50.0, -50.0, 50.0, 50.0), robots=(placement,), **world))


def test_a_car_turns_only_while_it_rolls_and_no_tighter_than_it_steers():
    car, spec = _alone("car"), PRESETS["car"]
    car.command(0.0, 2.0)
    car.advance(1.0)
    assert abs(car.pose()[2]) < 1e-6
    car.command(1.0, 4.0)
    car.advance(3.0)
    tightest = np.tan(spec.max_steering_rad) / spec.wheelbase_m
    assert car.twist()[2] == pytest.approx(tightest * car.twist()[0], rel=0.05)


def test_a_quadrotor_follows_commands_and_is_pushed_by_wind():
    still, windy = _alone("quadrotor"), _alone("quadrotor", wind=WindSpec(mean_mps=4.0, turbulence_mps=8.0))
    for simulation in (still, windy):
        simulation.advance(2.0)
    assert np.hypot(*still.pose()[:2]) < 0.01
    assert np.hypot(*windy.pose()[:2]) > 0.3
    still.command(1.5, 0.5)
    still.advance(4.0)
    assert still.twist()[0] == pytest.approx(1.5, abs=0.15)
    assert still.twist()[2] == pytest.approx(0.5, abs=0.05)


def test_many_walls_share_bodies_and_nothing_else_changes(monkeypatch):
    rng = np.random.default_rng(3)
    pillars = [Cylinder(float(x), float(y), 0.1) for x, y in rng.uniform(-4.5, 4.5, (60, 2)) if np.hypot(x, y) > 1.0]
    seen = []
    for many in (1, 10_000):
        monkeypatch.setattr(mjcf, "_MANY_SOLIDS", many)
        simulation = Simulation(room(*pillars))
        scans = [simulation.scan().ranges]
        drive(simulation, 1.0, 0.2, 4.0)
        scans.append(simulation.scan().ranges)
        events = [(event.kind, event.other, event.stamp_ns) for event in simulation.contact_events]
        seen.append((simulation._model.nbody, np.array(scans), events, simulation.pose()))
    assert seen[0][0] > 10 > seen[1][0]
    np.testing.assert_array_equal(seen[0][1], seen[1][1])
    assert seen[0][2] == seen[1][2] != []
    np.testing.assert_array_equal(seen[0][3], seen[1][3])


def test_the_speed_of_an_impact_is_that_before_it():
    simulation = Simulation(room(Box(2.0, 0.0, 0.4, 4.0)))
    while not simulation.contact_events:
        pose, twist = simulation.pose(), simulation.twist()
        simulation.step((1.0, 0.0))
    c, s = np.cos(pose[2]), np.sin(pose[2])
    before = np.array([c * twist[0] - s * twist[1], s * twist[0] + c * twist[1]])
    np.testing.assert_allclose(simulation.velocity_before_step(), before, atol=1e-9)
    assert np.hypot(*before) > 0.9 > np.hypot(*simulation.twist()[:2])
