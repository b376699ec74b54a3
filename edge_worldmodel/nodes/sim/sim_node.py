"""Sim node: a simulated world that takes cmd_vel and publishes clock, scans, depth images, odometry and tf."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from geometry_msgs.msg import Twist, TwistStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rosgraph_msgs.msg import Clock as ClockMessage

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.errors import ConfigError, InputError
from edge_worldmodel.nodes.ros import convert
from edge_worldmodel.nodes.ros.health import Health
from edge_worldmodel.nodes.ros.managed_node import run
from edge_worldmodel.nodes.ros.parameters import declare
from edge_worldmodel.nodes.ros.polling import subscribe
from edge_worldmodel.nodes.ros.qos import LATEST
from edge_worldmodel.nodes.ros.spans import mark, spanned
from edge_worldmodel.nodes.sim.sim_cameras import DepthTopics
from edge_worldmodel.nodes.sim.sim_topics import QUIET, SensorTopics, TruthTopics
from edge_worldmodel.sim.pace import Pace, Schedule
from edge_worldmodel.sim.simulation import Simulation
from edge_worldmodel.sim.world import World, load_world

_MIN_PERIOD_S = 0.005
"""Shortest period of the timer; when time runs faster, a tick simulates several steps."""
_PEOPLE_RATE_HZ = 10.0


@dataclass(frozen=True)
class SimConfig(Config):
    """Parameters of the simulator node."""

    world: str = param("demo_room", "World file, or the name of a shipped world.")
    seed: int = param(-1, "Seed of people and sensor noise; -1: the seed of the world.", minimum=-1)
    real_time_factor: float = param(1.0, "Simulated seconds per real second.", minimum=0.01, maximum=50.0)
    clock_rate_hz: float = param(
        50.0, "Rate of /clock in simulated time; each message wakes every node.", minimum=1.0, maximum=200.0
    )
    scan_rate_hz: float = param(10.0, "Rate of each scanner in simulated time.", minimum=0.1, maximum=100.0)
    depth_rate_hz: float = param(10.0, "Rate of each depth camera in simulated time.", minimum=0.1, maximum=60.0)
    odom_rate_hz: float = param(50.0, "Rate of odometry and tf in simulated time.", minimum=1.0, maximum=200.0)
    command_timeout_s: float = param(
        0.5, "The base brakes after this time without command.", minimum=0.05, maximum=10.0
    )
    enable_stamped_cmd_vel: bool = param(False, "cmd_vel is a TwistStamped instead of a Twist.")
    publish_goal: bool = param(True, "Publish the goal of the world on goal_pose.")
    goal_tolerance_m: float = param(0.4, "The goal is reached within this distance.", minimum=0.05, maximum=5.0)
    base_frame: str = param("base_link", "Robot base frame (REP-105).")
    odom_frame: str = param("odom", "Odometry frame, with its origin at the start pose (REP-105).")


class SimNode(Node):
    """Runs the simulation in step with the steady clock and publishes its sensor data."""

    def __init__(self) -> None:
        """Load the world and begin."""
        super().__init__("sim")
        self._config = config = declare(self, SimConfig)
        self._simulation = Simulation(find_world(config.world), None if config.seed < 0 else config.seed)
        if not self._simulation.world.robots:
            raise ConfigError(f"world {config.world!r}: has no robot; add one to its file")
        self._health = Health(self, self._simulation.world.robots[0].spec.name)
        self._clock_publisher = self.create_publisher(ClockMessage, "/clock", LATEST, event_callbacks=QUIET)
        self._sensors = SensorTopics(self, self._simulation, config.base_frame, config.odom_frame)
        self._cameras = DepthTopics(self, self._simulation, config.base_frame)
        self._truth = TruthTopics(self, self._simulation, config.odom_frame, config.goal_tolerance_m)
        if config.publish_goal:
            self._truth.publish_goal()
        kind = TwistStamped if config.enable_stamped_cmd_vel else Twist
        subscribe(self, kind, "cmd_vel", self._on_command, 1, self._health.reject)
        self._command_ns: int | None = None
        self._schedule_outputs()
        self._pace = Pace(config.real_time_factor, self._simulation.stamp_ns, time.monotonic())
        period_s = max(1.0 / (config.clock_rate_hz * config.real_time_factor), _MIN_PERIOD_S)
        self.create_timer(period_s, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _schedule_outputs(self) -> None:
        config, now_ns = self._config, self._simulation.stamp_ns
        self._outputs = [
            (Schedule(config.clock_rate_hz, now_ns), self._publish_clock),  # first, so that no stamp is ahead of /clock
            (Schedule(config.odom_rate_hz, now_ns), self._publish_odom),
            (Schedule(config.scan_rate_hz, now_ns), self._publish_scans),
            (Schedule(config.depth_rate_hz, now_ns), self._publish_depth),
            (Schedule(_PEOPLE_RATE_HZ, now_ns), self._truth.publish_people),
            (Schedule(1.0, now_ns), self._report),
        ]

    def _on_command(self, message: Twist | TwistStamped) -> None:
        try:
            twist = convert.twist_from_msg(message.twist if isinstance(message, TwistStamped) else message)
        except InputError as error:
            self._health.reject(error)
            return
        self._simulation.command(float(twist[0]), float(twist[2]))
        self._command_ns = self._simulation.stamp_ns

    @spanned
    def _tick(self) -> None:
        """Simulate until the simulated time has caught up with the steady clock."""
        due_ns = self._pace.due_ns(self._simulation.stamp_ns, time.monotonic())
        while self._simulation.stamp_ns < due_ns:
            self._brake_without_command()
            self._simulation.step()
            self._truth.note_step()
            for schedule, publish in self._outputs:
                if schedule.is_due(self._simulation.stamp_ns):
                    publish()

    def _brake_without_command(self) -> None:
        timeout_ns = self._config.command_timeout_s * 1e9
        if self._command_ns is not None and self._simulation.stamp_ns - self._command_ns > timeout_ns:
            self._simulation.command(0.0, 0.0)
            self._command_ns = None

    def _publish_clock(self) -> None:
        self._clock_publisher.publish(ClockMessage(clock=convert.stamp_to_msg(self._simulation.stamp_ns)))

    def _publish_odom(self) -> None:
        self._sensors.publish_odom(self._simulation.odom())

    @spanned
    def _publish_scans(self) -> None:
        for index in range(len(self._simulation.world.robots[0].spec.scanners)):
            scan = self._simulation.scan(scanner=index)
            mark("scan", scan.stamp_ns)
            self._sensors.publish_scan(index, scan)

    def _publish_depth(self) -> None:
        for index in range(len(self._simulation.world.robots[0].spec.cameras)):
            self._cameras.publish(index, self._simulation.depth_image(camera=index))

    def _report(self) -> None:
        if self._config.publish_goal:
            self._truth.publish_goal_to_new_listeners()
        self._health.figures.update(
            world=self._simulation.world.name,
            slipped_s=round(self._pace.slipped_s, 3),
            contacts=self._truth.contacts,
            goal_reached=self._truth.arrived,
            goal_distance_m=round(self._simulation.goal_distance(), 3),
        )


def find_world(name: str) -> World:
    """Load a world by path, or by name from the shipped ones.

    Raises:
        ConfigError: there is no such world.
        WorldError: its file is damaged.
    """
    shipped = Path(get_package_share_directory("edge_worldmodel")) / "worlds"
    path = Path(name) if name.endswith((".yaml", ".yml")) else shipped / f"{name}.yaml"
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in shipped.glob("*.yaml")))
        raise ConfigError(f"world {name!r}: no such file; shipped worlds: {names}")
    return load_world(path)


def main() -> None:
    """Run the node."""
    run(SimNode)
