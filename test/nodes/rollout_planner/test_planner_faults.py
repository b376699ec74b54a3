"""A backend that sleeps, hangs, raises or returns NaN never blocks the planner node and never yields a stale plan."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402

from edge_worldmodel import msg  # noqa: E402
from edge_worldmodel.nodes.ros import convert  # noqa: E402
from edge_worldmodel.nodes.ros.qos import LATEST  # noqa: E402

from ..conftest import stop  # noqa: E402
from .test_rollout_planner_node import Frames, status  # noqa: E402

pytestmark = pytest.mark.live

SCRIPT = Path(__file__).with_name("faulty_planner.py")
VALIDITY_S = 0.6
REUSE_S = 0.4
"""For so long, what was imagined before the fault is followed without the backend."""
TRANSPORT_S = 0.1
SAID = {
    "sleeps": "no plan: a",
    "hangs": "the backend is stalled",
    "raises": "no plan: the accelerator fell off the bus",
    "returns NaN": "returned NaN or Inf",
}


@pytest.mark.parametrize("fault", SAID)
def test_a_failing_backend_never_yields_a_stale_plan(probe, tmp_path, monkeypatch, fault):
    switch = tmp_path / "fault"
    monkeypatch.setenv("FAULT", fault)
    monkeypatch.setenv("FAULT_FILE", str(switch))
    Frames(probe.node)
    arrived: list[tuple[float, int, int]] = []
    probe.node.create_subscription(
        msg.Plan,
        "planner/plan",
        lambda m: arrived.append(
            (time.time(), convert.stamp_from_msg(m.header.stamp), convert.stamp_from_msg(m.valid_until))
        ),
        LATEST,
    )
    diagnostics = probe.listen(DiagnosticArray, "/diagnostics")
    command = [sys.executable, "-P", str(SCRIPT), "--ros-args", "-p", "backend:=deterministic"]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        assert probe.wait(lambda: len(arrived) > 20, 30.0)
        switch.touch()
        begin_s = time.time()
        probe.spin(3.5)
        # A tick that was under way may still end well.
        fresh = [stamp for at_s, stamp, _ in arrived if at_s > begin_s + 0.3]
        assert max(fresh, default=0) * 1e-9 < begin_s + REUSE_S + 0.2, "no plan from a failing backend"
        assert all(end * 1e-9 + TRANSPORT_S > at_s for at_s, _, end in arrived), "a stale plan was sent"
        last_s = arrived[-1][0] - begin_s
        assert last_s < REUSE_S + VALIDITY_S + TRANSPORT_S, "the last plan runs out and nothing follows"
        assert probe.wait(lambda: SAID[fault] in status(diagnostics).message, 5.0), status(diagnostics).message
        assert status(diagnostics).level != DiagnosticStatus.OK
        assert time.monotonic() - diagnostics[-1][0] < 2.5, "the node itself is not blocked"

        count, _ = len(arrived), switch.unlink()
        assert probe.wait(lambda: len(arrived) > count + 10, 5.0), "it recovers by itself"
        assert probe.wait(lambda: SAID[fault] not in status(diagnostics).message, 5.0)
    finally:
        assert stop(process) < 3.0
