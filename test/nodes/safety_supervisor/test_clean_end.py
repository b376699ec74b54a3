"""Every node ends at once, without a trace and with success when it is told to."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from ament_index_python.packages import get_package_prefix  # noqa: E402

from ..conftest import Probe  # noqa: E402
from .supervised_graph import Source  # noqa: E402

pytestmark = pytest.mark.live

END_S = 3.0
START_S = 20.0
PARAMETERS = {
    "perception": {"backend": "deterministic", "sensor_pose": "[0.0, 0.0, 0.0]"},
    "latent_cache": {},
    "rollout_planner": {"backend": "deterministic"},
    "safety_supervisor": {"sensor_pose": "[0.0, 0.0, 0.0]"},
    "sim": {"world": "empty"},
    "recorder": {},
}


def started(executable: str, parameters: dict[str, object]) -> subprocess.Popen:
    """Start the node itself: `ros2 run` before it would take the signal, and its exit code would be seen instead."""
    program = Path(get_package_prefix("edge_worldmodel"), "lib", "edge_worldmodel", executable)
    settings = [item for name, value in parameters.items() for item in ("-p", f"{name}:={value}")]
    return subprocess.Popen(
        [program, "--ros-args", *settings], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def ready(probe: Probe, executable: str) -> bool:
    if executable in ("perception", "latent_cache", "rollout_planner"):
        probe.wait_active(executable, START_S)
    return probe.wait(lambda: executable in probe.node.get_node_names(), START_S)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("executable", PARAMETERS)
def test_a_node_at_work_ends_at_once_when_told_to(probe, tmp_path, executable, sent):
    if executable != "sim":
        Source(probe.node)
    place = {"output_dir": tmp_path} if executable == "recorder" else {}
    process = started(executable, PARAMETERS[executable] | place)
    try:
        assert ready(probe, executable), "never came up"
        probe.spin(0.5)
        assert process.poll() is None
        process.send_signal(sent)
        begin_s = time.monotonic()
        output, _ = process.communicate(timeout=4 * END_S)
        took_s = time.monotonic() - begin_s
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, output
    assert took_s < END_S
    assert "Traceback" not in output, output
