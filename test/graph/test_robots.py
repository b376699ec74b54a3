"""Each robot of config/robots/ drives out of the box: its preset, the real launch file, and data as of its maker."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from geometry_msgs.msg import PoseStamped  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402

from edge_worldmodel import msg  # noqa: E402

from .fake_robots import MAKERS, FakeRobot, Maker  # noqa: E402

pytestmark = pytest.mark.live

ACTIVE_WITHIN_S = 5.0
"""After the first data, with all nodes up."""
OVERRIDES = {"turtlebot3_waffle": ("command_type:=twist",)}
"""Launch arguments for a robot that is not as its preset says: one with the older driver."""


@pytest.fixture(scope="module")
def launch():
    """Return a context that runs bringup.launch.py; a graph may end while the next one starts, to save time.

    The deterministic backend and no cache, which no preset changes, start sooner.
    """
    usual = ("backend:=deterministic", "without:=latent_cache", "use_respawn:=false")
    command = ["ros2", "launch", "edge_worldmodel", "bringup.launch.py", *usual]
    graphs: list[subprocess.Popen] = []

    @contextlib.contextmanager
    def launched(*arguments: str):
        graphs.append(subprocess.Popen([*command, *arguments], start_new_session=True))
        try:
            yield graphs[-1]
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(graphs[-1].pid, signal.SIGINT)

    yield launched
    for graph in graphs:
        _end(graph)


def _end(graph: subprocess.Popen) -> None:
    try:
        graph.wait(10.0)
    except subprocess.TimeoutExpired:
        os.killpg(graph.pid, signal.SIGKILL)
        graph.wait()


class Robot:
    """A fake robot in a namespace, and what the supervisor says about it."""

    def __init__(self, name: str, maker: Maker) -> None:
        self.node, self.maker = rclpy.create_node("robot", namespace=name), maker
        self.fake, self.verdicts = FakeRobot(self.node, maker), []
        self.node.create_subscription(msg.Verdict, "supervisor/verdict", self.verdicts.append, 10)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.goals = self.node.create_publisher(PoseStamped, "goal_pose", 10)

    def wait(self, condition, timeout_s: float) -> float:
        """Return the time that a condition took to hold [s]; fail with the last verdict after the timeout."""
        begin_s = time.monotonic()
        while not condition():
            waited_s = time.monotonic() - begin_s
            assert waited_s < timeout_s, [(verdict.state, verdict.reason) for verdict in self.verdicts[-1:]]
            self.executor.spin_once(timeout_sec=0.1)
        return time.monotonic() - begin_s

    def all_nodes_are_up(self) -> bool:
        """Perception, planner and watchdog have their topics, and the supervisor ticks."""
        published = ("perception/latent", "planner/plan", "cmd_vel")
        return bool(self.verdicts) and all(map(self.node.count_publishers, published))

    def is_active(self) -> bool:
        return self.verdicts[-1].state == msg.Verdict.ACTIVE

    def send_goal(self, x_m: float) -> None:
        goal = PoseStamped()
        goal.header.frame_id, goal.pose.position.x, goal.pose.orientation.w = "odom", x_m, 1.0
        self.goals.publish(goal)


@pytest.mark.parametrize("name", MAKERS)
def test_a_robot_becomes_active_and_drives(name: str, launch):
    rclpy.init()
    robot = Robot(name, MAKERS[name])
    try:
        with launch(f"robot:={name}", f"namespace:={name}", *OVERRIDES.get(name, ())) as graph:
            up_s = robot.wait(lambda: robot.all_nodes_are_up() or graph.poll() is not None, 60.0)
            assert graph.poll() is None, "the launch file ended"
            robot.fake.start()
            active_s = robot.wait(robot.is_active, ACTIVE_WITHIN_S)
            robot.send_goal(1.5)
            moving_s = robot.wait(lambda: robot.fake.pose[0] > 0.05, 20.0)
    finally:
        robot.node.destroy_node()
        rclpy.try_shutdown()
    print(f"{name}: nodes up in {up_s:.1f} s, active {active_s:.1f} s after the first data, 5 cm in {moving_s:.1f} s")
