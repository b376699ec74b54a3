"""The simulation of one world: robots, people and physics, step by step, reproducible by its seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.sim.crowds.crowd import Crowd, CrowdState
from edge_worldmodel.sim.crowds.crowd_models import make_crowd
from edge_worldmodel.sim.drive import SimulatedOdometry, make_drive
from edge_worldmodel.sim.mjcf import KIND_NAMES, ROBOT, compile_world
from edge_worldmodel.sim.quadrotor import Quadrotor
from edge_worldmodel.sim.sensors.depth_camera import DepthCamera, DepthImage
from edge_worldmodel.sim.sensors.scanner import Scanner, SimulatedScan
from edge_worldmodel.sim.wind import Wind
from edge_worldmodel.sim.world import World

START_NS = 1_000_000_000
CROWD_PERIOD_S = 0.04
# Absent people are moved out of the world, because bodies cannot be removed from a compiled model.
_FAR_AWAY_M = 1000.0


@dataclass(frozen=True)
class ContactEvent:
    """The beginning of a contact: robot, kind and index of the touched thing, speed of the robot.

    ``kind`` is "person", "wall" or "robot".
    """

    stamp_ns: int
    robot: int
    kind: str
    other: int
    speed_mps: float


@dataclass(frozen=True)
class OdometryReading:
    """Pose (3,) in the odom frame, whose origin is the start pose, and twist (3,) in the base frame."""

    stamp_ns: int
    pose: Floats
    twist: Floats


class Simulation:
    """A running world.

    Robots are given by their index in the world. All poses are (x_m, y_m, yaw_rad) in the world frame
    unless a name gives another frame.
    """

    def __init__(self, world: World, seed: int | None = None) -> None:
        """Build the world; ``seed`` replaces the world's own."""
        self.world = world
        self._compiled = compile_world(world)
        self._model = self._compiled.model
        self._data = mujoco.MjData(self._model)
        seeds = np.random.SeedSequence(world.seed if seed is None else seed)
        crowd_seed, *robot_seeds = seeds.spawn(1 + len(world.robots))
        self._drives = [make_drive(placement.spec) for placement in world.robots]
        self._qpos_starts = self._compiled.robot_qpos
        self._planar = np.array(self._qpos_starts, int)[:, None] + np.arange(2)
        self._place_robots(robot_seeds)
        self._quadrotors = self._make_quadrotors(seeds)
        self._crowd = make_crowd(world, np.random.default_rng(crowd_seed))
        # The crowd model runs at a lower rate than the physics; positions are interpolated.
        self._crowd_steps = max(round(CROWD_PERIOD_S / world.step_s), 1)
        self._crowd_before = self._crowd_after = self._crowd.state
        self._people_step = np.zeros_like(self._crowd_after.positions)
        self._steps = 0
        self._touching: set[tuple[int, int, int]] = set()
        self._state_before = np.concatenate([self._data.qpos, self._data.qvel])
        self.contact_events: list[ContactEvent] = []
        self._move_people()
        # So that poses and sensors can be read before the first step.
        mujoco.mj_forward(self._model, self._data)

    def _place_robots(self, seeds: Sequence[np.random.SeedSequence]) -> None:
        self._scanners: list[list[Scanner]] = []
        self._cameras: list[list[DepthCamera]] = []
        self._odometry: list[SimulatedOdometry] = []
        for i, (placement, seed) in enumerate(zip(self.world.robots, seeds, strict=True)):
            at = self._qpos_starts[i]
            self._data.qpos[at : at + 3] = placement.start
            if placement.spec.kind == "quadrotor":
                self._data.qpos[at + 3] = placement.spec.flight_height_m
            # Each sensor has its own seed, so that one sensor does not change the noise of another.
            odometry_seed, *scanner_seeds = seed.spawn(1 + len(placement.spec.scanners))
            rng = np.random.default_rng(odometry_seed)
            self._odometry.append(SimulatedOdometry(placement.spec.odometry, placement.start, rng))
            pairs = zip(placement.spec.scanners, scanner_seeds, strict=True)
            body = self._compiled.robot_body[i]
            self._scanners.append([Scanner(spec, body, np.random.default_rng(s)) for spec, s in pairs])
            # Spawned after those of the scanners, so that a camera does not change their noise.
            cameras = zip(placement.spec.cameras, seed.spawn(len(placement.spec.cameras)), strict=True)
            self._cameras.append([DepthCamera(spec, body, np.random.default_rng(s)) for spec, s in cameras])

    def _make_quadrotors(self, seeds: np.random.SeedSequence) -> dict[int, Quadrotor]:
        made: dict[int, Quadrotor] = {}
        for i, placement in enumerate(self.world.robots):
            spec = placement.spec
            if spec.kind == "quadrotor":
                (seed,) = seeds.spawn(1)
                wind_spec, rng = self.world.wind, np.random.default_rng(seed)
                wind = Wind(wind_spec, spec.flight_height_m, rng) if wind_spec is not None else None
                made[i] = Quadrotor(spec, self._model, self._compiled.robot_body[i], self._qpos_starts[i], wind)
        return made

    @property
    def stamp_ns(self) -> int:
        """Simulated time in nanoseconds; it starts at 1 s, because 0 means "no time yet" in ROS."""
        return START_NS + self._steps * round(self.world.step_s * 1e9)

    def command(self, forward_mps: float, yaw_rate_radps: float, robot: int = 0) -> None:
        """Set the commanded speeds of a robot; they hold until the next command."""
        self._drives[robot].command(forward_mps, yaw_rate_radps)

    def step(self, command: Sequence[float] | None = None) -> None:
        """Advance by one physics step; ``command`` (forward_mps, yaw_rate_radps) is set for robot 0 first."""
        if command is not None:
            self.command(command[0], command[1])
        if self._steps % self._crowd_steps == 0:
            self._step_crowd()
        self._steps += 1
        self._move_people()
        for i, drive in enumerate(self._drives):
            speeds = drive.advance(self.world.step_s)
            if i in self._quadrotors:
                self._quadrotors[i].apply(self._data, speeds, self.world.step_s)
            else:
                motors = self._compiled.robot_ctrl[i]
                self._data.ctrl[motors], self._data.ctrl[motors + 2] = speeds
        self._state_before = np.concatenate([self._data.qpos, self._data.qvel])
        mujoco.mj_step(self._model, self._data)
        for i, odometry in enumerate(self._odometry):
            at = self._qpos_starts[i]
            odometry.update(*self._data.qpos[at : at + 3].tolist())
        self._record_contacts()

    def advance(self, duration_s: float) -> None:
        """Advance by a duration, rounded to whole physics steps."""
        for _ in range(round(duration_s / self.world.step_s)):
            self.step()

    def pose(self, robot: int = 0) -> Floats:
        """Return the true pose (3,) of a robot; yaw is not wrapped."""
        at = self._qpos_starts[robot]
        return np.array(self._data.qpos[at : at + 3])

    def twist(self, robot: int = 0) -> Floats:
        """Return the true twist (3,) of a robot in its base frame."""
        return self._twist(self._data.qpos, self._data.qvel, self._qpos_starts[robot])

    def velocity_before_step(self, robot: int = 0) -> Floats:
        """Return the velocity (2,) of a robot in the world frame before the last step.

        An impact in that step has already changed the present one.
        """
        at = len(self._data.qpos) + self._qpos_starts[robot]
        return self._state_before[at : at + 2].copy()

    @staticmethod
    def _twist(qpos: Floats, qvel: Floats, at: int) -> Floats:
        yaw = qpos.item(at + 2)
        vx, vy, yaw_rate = qvel[at : at + 3].tolist()
        c, s = math.cos(yaw), math.sin(yaw)
        return np.array([c * vx + s * vy, c * vy - s * vx, yaw_rate])

    def scan(self, robot: int = 0, scanner: int = 0) -> SimulatedScan:
        """Return a scan of one of a robot's scanners."""
        mujoco.mj_kinematics(self._model, self._data)  # after a step the body positions are those of its beginning
        return self._scanners[robot][scanner].scan(self._model, self._data, self.pose(robot), self.stamp_ns)

    def depth_image(self, robot: int = 0, camera: int = 0) -> DepthImage:
        """Return an image of one of a robot's depth cameras."""
        mujoco.mj_kinematics(self._model, self._data)
        return self._cameras[robot][camera].image(self._model, self._data, self.pose(robot), self.stamp_ns)

    def odom(self, robot: int = 0) -> OdometryReading:
        """Return the odometry of a robot."""
        return OdometryReading(self.stamp_ns, self._odometry[robot].pose, self.twist(robot))

    def people(self) -> CrowdState:
        """Return positions and velocities of the people (world frame), NaN where absent."""
        return CrowdState(self._people_positions(), self._people_step / self.world.step_s)

    def in_contact(self, robot: int = 0) -> bool:
        """Return whether a robot is in contact with anything."""
        return any(entry[0] == robot for entry in self._touching)

    def goal_distance(self, robot: int = 0) -> float:
        """Return the distance from a robot to its goal in metres; NaN if it has none."""
        goal = self.world.robots[robot].goal
        if goal is None:
            return math.nan
        return math.hypot(*(self._data.qpos[self._qpos_starts[robot] : self._qpos_starts[robot] + 2] - goal[:2]))

    def _step_crowd(self) -> None:
        robots = np.concatenate([self._data.qpos[self._planar], self._data.qvel[self._planar]], axis=1)
        self._crowd_before = self._crowd_after
        self._crowd_after = self._crowd.step(self._crowd_steps * self.world.step_s, robots)
        self._people_step = (self._crowd_after.positions - self._crowd_before.positions) / self._crowd_steps

    def _people_positions(self) -> Floats:
        """Return positions (n, 2), interpolated linearly between two steps of the crowd."""
        since = (self._steps - 1) % self._crowd_steps + 1 if self._steps else 0
        return self._crowd_before.positions + since * self._people_step

    def _move_people(self) -> None:
        if len(self._data.mocap_pos):
            positions = self._people_positions()
            self._data.mocap_pos[:, :2] = np.where(np.isnan(positions), _FAR_AWAY_M, positions)

    def _record_contacts(self) -> None:
        touching: set[tuple[int, int, int]] = set()
        if self._data.ncon:
            contact = self._data.contact
            # MuJoCo also lists pairs that are close but do not touch.
            for a, b in contact.geom[contact.dist <= 0]:
                touching.update(self._touches(int(a), int(b)))
                touching.update(self._touches(int(b), int(a)))
            for robot, kind, other in sorted(touching - self._touching):
                speed_mps = float(np.hypot(*self._data.qvel[self._planar[robot]]))
                self.contact_events.append(ContactEvent(self.stamp_ns, robot, KIND_NAMES[kind], other, speed_mps))
        self._touching = touching

    def _touches(self, geom: int, other: int) -> list[tuple[int, int, int]]:
        kinds, owners = self._compiled.geom_kind, self._compiled.geom_owner
        return [(int(owners[geom]), int(kinds[other]), int(owners[other]))] if kinds[geom] == ROBOT else []


def seeded_crowd(world: World, seed: int) -> Crowd:
    """Return a crowd that walks as that of ``Simulation(world, seed)``, to be stepped every CROWD_PERIOD_S."""
    (crowd_seed,) = np.random.SeedSequence(seed).spawn(1)
    return make_crowd(world, np.random.default_rng(crowd_seed))
