"""A supervisor under a flood on every topic goes on commanding, with gaps of 60 ms at most. Real processes.

The gaps are those between the times at which the middleware sent the commands. A longer flood:
EDGE_WORLDMODEL_FLOOD_S.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from rclpy.qos import QoSProfile  # noqa: E402

from edge_worldmodel import msg  # noqa: E402

from ..conftest import running, stop  # noqa: E402

pytestmark = pytest.mark.live

FLOOD_S = float(os.environ.get("EDGE_WORLDMODEL_FLOOD_S", "2.0"))
LONGEST_GAP_S = 0.06
CHECKED = r"a tick took|slower than planned|all checks pass"
HERE = Path(__file__).parent
SIGNALS = {
    "sensor_pose": "[0.0, 0.0, 0.0]",
    "cloud_topics": "[points]",
    "footprint_m": "[0.4, 0.3, -0.4, 0.3, -0.4, -0.3, 0.4, -0.3]",
    "realtime_priority": 50 if os.geteuid() == 0 else 0,
}
ALL_SIGNALS = {"deadman": "true", "operator_link": "true", "battery_min": 0.1}


@pytest.fixture
def program():
    """Run a program of this folder; ended with the test."""
    begun = []

    def begin(name, *arguments):
        command = [sys.executable, str(HERE / name), *arguments]
        begun.append(subprocess.Popen(command, start_new_session=True))
        return begun[-1]

    yield begin
    for process in begun:
        stop(process, signal.SIGKILL)


@pytest.fixture
def commands(probe):
    """Times at which commands were sent [s], with their speeds."""
    sent = []
    take = lambda message, info: sent.append((1e-9 * info["source_timestamp"], message.twist.linear.x))  # noqa: E731
    probe.node.create_subscription(msg.SupervisorCommand, "supervisor/command", take, QoSProfile(depth=1000))
    return sent


def flooded(probe, commands, record_property, process):
    """Let the flood do its work; return the speeds of the commands meanwhile."""
    probe.spin(1.5)
    commands.clear()
    probe.spin(FLOOD_S)
    assert process.poll() is None, "the supervisor ended"
    gaps_s = np.diff([at_s for at_s, _ in commands])
    record_property("gaps_s", {"longest": gaps_s.max(), "p99": np.percentile(gaps_s, 99.0), "count": len(gaps_s)})
    p50, p99 = np.percentile(gaps_s, [50.0, 99.0])
    print(f"\n{len(gaps_s)} gaps: p50 {p50:.4f} s, p99 {p99:.4f} s, longest {gaps_s.max():.4f} s")
    assert len(gaps_s) > 0.7 * FLOOD_S / 0.02 and gaps_s.max() <= LONGEST_GAP_S
    return np.array([speed_mps for _, speed_mps in commands])


def test_large_clouds_plans_without_end_and_a_hostile_imagination(probe, commands, program, record_property):
    program("supervised_graph.py", "scan", "odom")
    with running("safety_supervisor", **SIGNALS) as process:
        program("flooding.py", "good")
        verdicts = probe.listen(msg.Verdict, "supervisor/verdict")
        # It drives, or the machine is so busy that the clouds take too long: then it says so and commands zero.
        checked = lambda: any(not v.reason or re.match(CHECKED, v.reason) for _, v in verdicts)  # noqa: E731
        assert probe.wait(checked, 30.0), Counter(verdict.reason for _, verdict in verdicts).most_common(5)
        flooded(probe, commands, record_property, process)


def test_garbage_on_every_topic(probe, commands, program, record_property):
    program("supervised_graph.py")
    with running("safety_supervisor", **SIGNALS, **ALL_SIGNALS) as process:
        # The middleware reports each unreadable message, and nobody reads that.
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        program("flooding.py", "garbage")
        assert probe.wait(lambda: len(commands) > 10, 30.0)
        assert not flooded(probe, commands, record_property, process).any()
