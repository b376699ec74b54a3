"""The latent cache as it runs: answers, remembers on disk, survives kill -9, forgets when told to."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

import edge_worldmodel.msg as msg  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from edge_worldmodel.core import tensors  # noqa: E402
from edge_worldmodel.core.types import LatentFrame  # noqa: E402
from edge_worldmodel.nodes.ros.convert import latent_frame_to_msg  # noqa: E402
from edge_worldmodel.nodes.ros.qos import LATEST  # noqa: E402

from ..conftest import Probe, running  # noqa: E402

pytestmark = pytest.mark.live

PATIENCE_S = 30.0


class Robot:
    """Says what perception and planner would say, and hears the cache."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.answers = probe.listen(msg.WarmStart, "latent_cache/warm_start", LATEST)
        self.diagnostics = probe.listen(DiagnosticArray, "/diagnostics")
        self._latent = probe.node.create_publisher(msg.LatentFrame, "perception/latent", LATEST)
        self._solution = probe.node.create_publisher(msg.LatentFrame, "planner/solution", LATEST)
        self._sequence = 0

    def see(self, seed: int, solve: bool = True) -> msg.WarmStart:
        """Show a scene, wait for the answer, and solve it."""
        self._sequence += 1
        frame = _frame(seed, self._sequence)
        count = len(self.answers)
        self._latent.publish(latent_frame_to_msg(frame))
        assert self.probe.wait(lambda: len(self.answers) > count, PATIENCE_S), "no answer"
        if solve:
            latents = np.random.default_rng(seed).standard_normal((4, 8, 16, 16)).astype(np.float32)
            self._solution.publish(latent_frame_to_msg(_frame(seed, self._sequence, frame.stamp_ns, latents)))
            self.probe.spin(0.1)
        return self.answers[-1][1]

    def ready(self) -> None:
        self.probe.wait_active("latent_cache")
        both = (self._latent, self._solution)
        assert self.probe.wait(lambda: all(p.get_subscription_count() == 1 for p in both), PATIENCE_S)

    def figure(self, name: str) -> str | None:
        for _, array in reversed(self.diagnostics):
            for status in array.status:
                if "latent_cache" in status.name:
                    return next((value.value for value in status.values if value.key == name), None)
        return None

    def wait_figure(self, name: str, value: str) -> None:
        assert self.probe.wait(lambda: self.figure(name) == value, PATIENCE_S), f"{name}: {self.figure(name)}"


def _frame(seed: int, sequence: int, stamp_ns: int = 0, tensor: np.ndarray | None = None) -> LatentFrame:
    context = np.random.default_rng(seed).standard_normal(tensors.CONTEXT.shape).astype(np.float32)
    stamp_ns = stamp_ns or time.time_ns()
    pose, still = np.zeros(3), np.zeros(3)
    shown = context if tensor is None else tensor
    return LatentFrame(stamp_ns, "odom", "base_link", pose, still, shown, 0.0, 0.0, "m", sequence)


def test_scenes_survive_kill_9_and_go_when_told_to(probe: Probe, tmp_path: Path) -> None:
    robot = Robot(probe)
    settings = {
        "store_dir": tmp_path / "scenes",
        "flush_period_s": 0.2,
        "new_scene_period_s": 0.0,
        "min_free_mb": 1.0,
    }
    with running("latent_cache", **settings) as node:
        robot.ready()
        robot.wait_figure("store", "sqlite")
        for seed in range(4):
            assert not robot.see(seed).valid
        robot.wait_figure("scenes_on_disk", "4")
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()
    with running("latent_cache", **settings):
        robot.ready()
        robot.diagnostics.clear()
        robot.wait_figure("scenes_on_disk", "4")
        assert not robot.see(2, solve=False).valid, "asked for, the answer is for the next frame"
        probe.spin(0.5)
        answer = robot.see(2, solve=False)
        assert answer.valid and answer.reason.startswith("scene recalled from"), answer.reason
        said = probe.call(Trigger, "latent_cache/delete_all", Trigger.Request())
        assert said is not None and said.success and "4 scenes on disk deleted" in said.message, said
        robot.wait_figure("scenes_on_disk", "0")
        robot.see(2, solve=False)
        probe.spin(0.5)
        assert robot.see(2, solve=False).reason == "no solution yet"


def test_a_folder_that_cannot_be_used_is_a_warning(probe: Probe) -> None:
    robot = Robot(probe)
    with running("latent_cache", store_dir="/proc/scenes"):
        robot.ready()
        robot.see(0)
        assert robot.see(0).valid

        def warned() -> bool:
            statuses = [s for _, array in robot.diagnostics for s in array.status if "latent_cache" in s.name]
            return any(s.level == s.WARN and "memory only" in s.message for s in statuses)

        assert probe.wait(warned, PATIENCE_S)


def test_a_foreign_folder_is_refused_and_left_alone(probe: Probe, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    robot = Robot(probe)
    with running("latent_cache", store_dir=tmp_path):
        robot.ready()
        said = probe.call(Trigger, "latent_cache/delete_all", Trigger.Request())
        assert said is not None and not said.success and "did not make" in said.message, said
        robot.see(0)
        assert robot.see(0).valid
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_old_store_is_refused_with_the_new_one_named() -> None:
    with running("latent_cache", store="qdrant") as node:
        assert node.wait(PATIENCE_S) == 1


def test_without_a_disk_all_goes_when_told_to(probe: Probe) -> None:
    robot = Robot(probe)
    with running("latent_cache", store="memory"):
        robot.ready()
        robot.see(0)
        assert robot.see(0).valid
        robot.wait_figure("store", "memory")
        said = probe.call(Trigger, "latent_cache/delete_all", Trigger.Request())
        assert said is not None and said.success and said.message == "2 solutions in memory deleted"
        assert robot.see(0, solve=False).reason == "no solution yet"
