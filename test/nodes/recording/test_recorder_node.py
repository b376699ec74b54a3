"""The recorder node, run as users run it: the file it writes and the figures it finds."""

from __future__ import annotations

import json
import os
import signal
import statistics
import time

import pytest

pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from geometry_msgs.msg import Twist  # noqa: E402
from rclpy.qos import qos_profile_sensor_data  # noqa: E402
from sensor_msgs.msg import LaserScan  # noqa: E402
from std_msgs.msg import Bool  # noqa: E402

from edge_worldmodel import msg  # noqa: E402
from edge_worldmodel.nodes.ros.convert import stamp_to_msg  # noqa: E402
from edge_worldmodel.nodes.ros.qos import LATCHED, LATEST  # noqa: E402
from edge_worldmodel.recordings import open_recording  # noqa: E402
from edge_worldmodel.recordings.records import Scan  # noqa: E402

from ..conftest import running  # noqa: E402

pytestmark = pytest.mark.live

START_S = 60.0


REMAPPED = {"scan": "front/scan", "cmd_vel": "base/cmd_vel"}


def speak(probe, count, names=()):
    """Publish what a graph would: scans, plans each said twice, commands, and verdicts that end in a stop."""
    names = dict(names)

    def make(kind, topic, qos):
        return probe.node.create_publisher(kind, names.get(topic, topic), qos)

    scans, plans = make(LaserScan, "scan", qos_profile_sensor_data), make(msg.Plan, "planner/plan", LATEST)
    commands, verdicts = make(Twist, "cmd_vel", LATEST), make(msg.Verdict, "supervisor/verdict", LATEST)
    reached = make(Bool, "sim/goal_reached", LATCHED)
    reached.publish(Bool(data=False))
    publishers = (scans, plans, commands, verdicts, reached)
    assert probe.wait(lambda: all(p.get_subscription_count() for p in publishers), START_S)
    for index in range(count):
        stamp = stamp_to_msg(time.time_ns())
        scan = LaserScan(ranges=[1.0, 2.0])
        scan.header.stamp = stamp
        scans.publish(scan)
        probe.spin(0.05)
        plan = msg.Plan(sequence=index, model_id="tried", dt_s=0.1)
        plan.header.stamp = stamp
        plans.publish(plan)
        commands.publish(Twist())
        state = msg.Verdict.STOPPED if index == count - 2 else msg.Verdict.ACTIVE
        verdict = msg.Verdict(state=state, reason="a wall" if state == msg.Verdict.STOPPED else "")
        verdict.header.stamp = stamp
        verdicts.publish(verdict)
        probe.spin(0.05)
        plans.publish(plan)
    reached.publish(Bool(data=True))
    probe.spin(1.5)


@pytest.mark.parametrize("names", [{}, REMAPPED], ids=["usual", "remapped"])
def test_messages_are_recorded_and_figures_found(probe, tmp_path, names):
    with running("recorder", names, output_dir=tmp_path) as process:
        speak(probe, 20, names)
        os.killpg(process.pid, signal.SIGINT)
        assert probe.wait(lambda: process.poll() is not None, START_S)
        assert process.returncode == 0, process.stdout.read()
    summary = json.loads((tmp_path / "statistics.json").read_text())
    assert (summary["scans"], summary["plans"], summary["model_id"]) == (20, 20, "tried")
    assert 0.04 < summary["sensor_to_command_s"]["p50"] < 0.3
    assert [stop_["reason"] for stop_ in summary["stops"]] == ["a wall"]
    assert summary["goal_reached"] is True
    assert summary["plan_rate_hz"] == pytest.approx(summary["scan_rate_hz"])
    scans = [record for record in open_recording(tmp_path / "run.mcap").records() if isinstance(record.value, Scan)]
    assert len(scans) == 20
    lags_s = [(record.log_ns - record.stamp_ns) * 1e-9 for record in scans]
    assert abs(statistics.median(lags_s)) < 0.1
    assert (tmp_path / "moment.npz").is_file()


def test_figures_survive_a_recorder_that_is_killed(probe, tmp_path):
    with running("recorder", output_dir=tmp_path) as process:
        speak(probe, 5)
        process.kill()
    assert json.loads((tmp_path / "statistics.json").read_text())["scans"] == 5


@pytest.mark.parametrize("parameters", [{}, {"output_dir": "/proc/nowhere"}])
def test_without_a_folder_it_refuses_to_start(probe, parameters):
    with running("recorder", **parameters) as process:
        assert probe.wait(lambda: process.poll() is not None, START_S)
        output = process.stdout.read()
    assert process.returncode == 1
    assert "refused to start" in output
    assert "Traceback" not in output
