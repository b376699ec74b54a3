"""The whole graph, every node its own process, on a recording of our own simulator.

`check` states what a working graph shows. It passes on the full graph and must fail when any one node is missing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from geometry_msgs.msg import Twist  # noqa: E402

from edge_worldmodel import msg  # noqa: E402

from .recording import record  # noqa: E402

pytestmark = pytest.mark.live

RECORDED_S = 8.0
FOLLOWED_M = 0.15
"""How far from its plan a robot may be for the plan to be used again (attention.max_off_m)."""
STANDING = (msg.Verdict.STOPPING, msg.Verdict.STOPPED, msg.Verdict.LATCHED)


@dataclass
class Heard:
    """What came out of the graph, with steady receipt times [s]."""

    frames: list = field(default_factory=list)
    plans: list = field(default_factory=list)
    rollouts: list = field(default_factory=list)
    verdicts: list = field(default_factory=list)
    commands: list = field(default_factory=list)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds among walking people."""
    path = tmp_path_factory.mktemp("recording") / "sim"
    assert record("demo_room", path, RECORDED_S) == RECORDED_S * 10
    return path


def listen(node: object, heard: Heard) -> None:
    """Fill ``heard`` from the topics of the graph."""
    for kind, topic, messages in (
        (msg.LatentFrame, "perception/latent", heard.frames),
        (msg.Plan, "planner/plan", heard.plans),
        (msg.RolloutSet, "planner/rollouts", heard.rollouts),
        (msg.Verdict, "supervisor/verdict", heard.verdicts),
        (Twist, "cmd_vel", heard.commands),
    ):
        node.create_subscription(kind, topic, lambda m, to=messages: to.append((time.monotonic(), m)), 50)


@contextlib.contextmanager
def launched(recording: Path, without: str | None):
    """Run replay.launch.py on the recording; one node may be taken out."""
    command = ["ros2", "launch", "edge_worldmodel", "replay.launch.py", f"file:={recording}", "use_respawn:=false"]
    if without:
        command.append(f"without:={without}")
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(10.0)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def run(recording: Path, without: str | None = None) -> Heard:
    """Play the recording through the graph, and listen on for two seconds after its last scan."""
    heard = Heard()
    rclpy.init()
    node = rclpy.create_node("graph_probe")
    listen(node, heard)
    try:
        with launched(recording, without):
            deadline_s = time.monotonic() + (40.0 if without is None else 15.0)
            last_frame_s = None
            while time.monotonic() < deadline_s:
                rclpy.spin_once(node, timeout_sec=0.05)
                last_frame_s = heard.frames[-1][0] if heard.frames else None
                if last_frame_s is not None and time.monotonic() - last_frame_s > 2.0:
                    break
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return heard


def check(heard: Heard) -> None:
    """What a working graph shows on the recording."""
    assert len(heard.frames) >= 0.8 * RECORDED_S * 10, "perception: a frame for nearly every scan"
    sequences = {plan.sequence for _, plan in heard.plans}
    assert len(sequences) >= 5 * RECORDED_S, "planner: five new plans a second or more"
    assert all(len(r.rollouts) >= 8 for _, r in heard.rollouts)
    assert all(r.futures_per_maneuver >= 4 or r.effort for _, r in heard.rollouts), "fewer futures, and no word why"
    assert any(r.futures_per_maneuver >= 4 for _, r in heard.rollouts), "planner: never all futures"
    assert any(r.warm_started for _, r in heard.rollouts), "cache: warm starts that the planner used"
    assert any(v.state == msg.Verdict.ACTIVE for _, v in heard.verdicts), "supervisor: passes commands"
    assert heard.commands, "watchdog: commands for the drive base"
    assert max(abs(c.linear.x) + abs(c.angular.z) for _, c in heard.commands) > 0.05, "a command that moves"
    check_stop(heard)


def check_stop(heard: Heard) -> None:
    """The scan has ended: the supervisor stops, says why, and keeps sending zeros."""
    last_frame_s = heard.frames[-1][0]
    verdict = heard.verdicts[-1][1]
    assert verdict.state in STANDING and verdict.reason
    late = [(at_s, c) for at_s, c in heard.commands if at_s > last_frame_s + 0.6]
    assert len(late) >= 20, "zeros keep coming"
    assert all(c.linear.x == 0.0 and c.angular.z == 0.0 for _, c in late)


@pytest.fixture(scope="module")
def full_run(recording: Path) -> Heard:
    """One run of the whole graph with the shipped model."""
    return run(recording)


def test_the_whole_graph_works(full_run: Heard):
    check(full_run)


def test_the_shipped_model_is_what_ran(full_run: Heard):
    assert {rollouts.model_id for _, rollouts in full_run.rollouts} not in ({"deterministic"}, set())


def test_plans_are_finite_and_start_at_the_robot(full_run: Heard):
    poses = {frame.sequence: frame.pose.position for _, frame in full_run.frames}
    for _, plan in full_run.plans:
        points = np.array([[p.position.x, p.position.y] for p in plan.poses])
        assert np.isfinite(points).all()
        if plan.sequence in poses:
            start = poses[plan.sequence]
            # a plan that is used again starts where it wanted the robot to be by now
            away_m = FOLLOWED_M if "followed further" in plan.reason else 1e-6
            assert np.hypot(*(points[0] - (start.x, start.y))) < away_m


# Without any other node there are no frames, plans or verdicts at all.
@pytest.mark.parametrize("without", ["latent_cache", "watchdog"])
def test_the_check_fails_without(recording: Path, without: str):
    heard = run(recording, without)
    with pytest.raises((AssertionError, IndexError, ValueError)):
        check(heard)
