"""Processor time of the supervisor's process in ordinary driving, with all its threads."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from edge_worldmodel import msg  # noqa: E402

from ..conftest import running, stop  # noqa: E402

GOAL = 0.10
MEASURED_S = 20.0


def processor_s(group):
    """Return the processor time that the processes of a group have used so far."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@pytest.mark.benchmark
def test_it_takes_a_tenth_of_a_core_at_most(probe, capsys):
    verdicts = probe.listen(msg.Verdict, "supervisor/verdict")
    source = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("supervised_graph.py"))], start_new_session=True
    )
    try:
        with running("safety_supervisor", sensor_pose="[0.0, 0.0, 0.0]", drive_base_timeout_s=0.2) as process:
            assert probe.wait(lambda: bool(verdicts) and not verdicts[-1][1].reason, 30.0), verdicts[-1:]
            count, begin_s, before_s = len(verdicts), time.monotonic(), processor_s(process.pid)
            probe.spin(MEASURED_S)
            share = (processor_s(process.pid) - before_s) / (time.monotonic() - begin_s)
            rate_hz = (len(verdicts) - count) / (time.monotonic() - begin_s)
    finally:
        stop(source)
    with capsys.disabled():
        print(f"\nsupervisor: {100.0 * share:.1f} % of a core, {rate_hz:.0f} ticks/s")
    assert share <= GOAL
