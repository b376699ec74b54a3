"""A robot on a line of thought: feeds a Supervisor good inputs at real rates, and lets a test spoil them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge_worldmodel.core.geometry import compose, relative
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.inputs.intake import Instant, OdometrySample
from edge_worldmodel.core.safety.motion.braking import arc_pose, arc_poses
from edge_worldmodel.core.safety.states import PASSING
from edge_worldmodel.core.safety.supervisor import Supervisor
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.types import Plan, Trajectory, Verdict

TICK_NS = 20_000_000
START_NS = 1_000_000_000_000
RAYS = 180


class SupervisedRobot:
    """Ideal robot that does what it is told, in a world of points; every input can be spoiled or withheld.

    ``before`` maps an input ("plan", "scan", "odometry", "clock") to a function that changes it, or returns
    None to withhold it.
    """

    def __init__(self, config: SupervisorConfig | None = None, twist=(0.5, 0.0, 0.0), obstacles=()) -> None:
        self.config = config or SupervisorConfig()
        self.supervisor = Supervisor(self.config)
        self.twist = np.array(twist, dtype=float)
        self.obstacles = np.array(obstacles, dtype=float).reshape(-1, 2)
        self.pose = np.zeros(3)
        self.moves = np.zeros(3)
        self.before = {}
        self.ros_ns, self.steady_ns, self.tick = START_NS, 5_000_000_000, 0
        self.drives = True

    @property
    def clock(self) -> Instant:
        return Instant(self.ros_ns, self.steady_ns)

    def plan(self) -> Plan:
        times_s = 0.4 * np.arange(9)
        poses = compose(self.pose, arc_poses(self.twist, times_s))
        trajectory = Trajectory(0.4, poses, np.tile(self.twist, (9, 1)))
        return Plan(self.ros_ns, "odom", trajectory, self.ros_ns + 600_000_000, 0.1, "test", "", "model", 1)

    def scan(self) -> Sweep:
        bearing = np.linspace(-np.pi, np.pi, RAYS, endpoint=False)
        free = 8.0 * np.stack((np.cos(bearing), np.sin(bearing)), axis=-1)
        poses = np.column_stack((self.obstacles, np.zeros(len(self.obstacles))))
        seen = relative(self.pose, poses)[:, :2] if len(poses) else np.empty((0, 2))
        hit = np.arange(RAYS + len(seen)) >= RAYS
        return Sweep(self.ros_ns, np.zeros(2), np.concatenate((free, seen)), hit)

    def odometry(self) -> OdometrySample:
        return OdometrySample(self.ros_ns, "odom", "base_link", self.pose.copy(), self.moves.copy())

    def _send(self, name, value, receive) -> None:
        value = self.before.get(name, lambda same: same)(value)
        if value is not None:
            receive(value)

    def step(self) -> Verdict:
        """One tick: time passes, messages arrive (plans and scans at 25 and 10 Hz), the supervisor decides."""
        self.steady_ns += TICK_NS
        self.ros_ns = self.before.get("clock", lambda now_ns: now_ns + TICK_NS)(self.ros_ns)
        clock, supervisor = self.clock, self.supervisor
        self._send("odometry", self.odometry(), lambda value: supervisor.inputs.receive_odometry(value, clock))
        if self.tick % 5 == 0:
            for topic in self.config.sources:
                self._send("scan", self.scan(), lambda sweep, t=topic: self._look(t, sweep, clock))
        if self.tick % 2 == 0:
            self._send("plan", self.plan(), lambda plan: supervisor.inputs.receive_plan(plan, clock))
        verdict = supervisor.supervise(clock)
        self.tick += 1
        if self.drives:
            self.moves = verdict.command
        self.pose = compose(self.pose, arc_pose(self.moves, 0.02))
        return verdict

    def _look(self, topic: str, sweep: Sweep, clock: Instant) -> None:
        self.supervisor.inputs.receive_sweep(topic, sweep, len(sweep.endpoints), clock)

    def run(self, duration_s: float) -> list[Verdict]:
        return [self.step() for _ in range(round(duration_s / 0.02))]


def spoil(field: str, value):
    """Return a function that replaces one field of a dataclass; a dotted name reaches into the trajectory."""
    if field.startswith("trajectory."):
        name = field.split(".")[1]
        return lambda plan: replace(plan, trajectory=replace(plan.trajectory, **{name: value}))
    return lambda message: replace(message, **{field: value(getattr(message, field)) if callable(value) else value})


def driving(config=None, **world):
    """A robot that has reached its planned speed."""
    robot = SupervisedRobot(config, **world)
    robot.run(2.0)
    assert robot.supervisor.state in PASSING
    return robot


def passing(config=None, **world) -> SupervisedRobot:
    """A robot after its first tick, in which everything was good."""
    robot = SupervisedRobot(config, **world)
    assert robot.step().state in PASSING
    return robot


def after(robot, ros_ms, steady_ms=None) -> Instant:
    """The clocks so much later; the steady one as much unless told otherwise."""
    steady_ms = ros_ms if steady_ms is None else steady_ms
    return Instant(robot.ros_ns + round(ros_ms * 1e6), robot.steady_ns + round(steady_ms * 1e6))


def tick(robot, ros_ms, steady_ms=None) -> Verdict:
    """A tick without any message."""
    return robot.supervisor.supervise(after(robot, ros_ms, steady_ms))


def fault_kinds(robot):
    return [fault.kind for fault in robot.supervisor.faults]
