"""The watchdog is told the limits, names and period of the very supervisor that it watches."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from edge_worldmodel.nodes.parameter_files import node_parameters  # noqa: E402
from edge_worldmodel.nodes.safety_supervisor.watchdog_arguments import watchdog_arguments  # noqa: E402

CONFIG = Path(__file__).resolve().parents[3] / "config"
PATTERNS = """
/**: {ros__parameters: {rate_hz: 60.0}}
safety_supervisor: {ros__parameters: {max_forward_mps: 0.1}}
/**/safety_supervisor: {ros__parameters: {max_forward_mps: 0.2}}
/one/safety_supervisor: {ros__parameters: {max_forward_mps: 0.3}}
/*/other:
  safety_supervisor: {ros__parameters: {max_forward_mps: 0.4}}
perception: {ros__parameters: {max_forward_mps: 9.0}}
"""


def arguments(parameters, *more):
    words = watchdog_arguments(parameters, *more)
    return dict(zip(words[::2], words[1::2], strict=True))


def test_shipped_parameters_of_a_robot_arrive():
    files = [CONFIG / "params.yaml", CONFIG / "robots" / "generic.yaml"]
    given = arguments(node_parameters("safety_supervisor", files))
    wanted = {"max-forward-mps": 0.8, "max-reverse-mps": 0.3, "max-acceleration-mps2": 1.8, "period-s": 0.02}
    assert {name: float(given[f"--{name}"]) for name in wanted} == wanted
    assert given["--max-sink-mps"] == "0.0" and given["--kind"] == "twist" and given["--frame"] == "base_link"
    assert (given["--command"], given["--drive"]) == ("/supervisor/command", "/cmd_vel")


@pytest.mark.parametrize(
    ("namespace", "speed_mps"), [("", 0.2), ("/one", 0.3), ("one", 0.3), ("two", 0.2), ("a/other", 0.4)]
)
def test_sections_are_chosen_as_ros_does(tmp_path, namespace, speed_mps):
    file = tmp_path / "params.yaml"
    file.write_text(PATTERNS)
    assert node_parameters("safety_supervisor", [file], namespace) == {"rate_hz": 60.0, "max_forward_mps": speed_mps}


def test_names_are_written_out():
    given = arguments({}, "one/two", "base/cmd_vel")
    assert given["--namespace"] == "/one/two"
    assert given["--drive"] == "/one/two/base/cmd_vel"
    assert given["--verdict"] == "/one/two/supervisor/verdict"
    assert arguments({}, "one", "/cmd_vel")["--drive"] == "/cmd_vel"


def test_a_drone_may_sink_and_an_autopilot_needs_no_watchdog():
    assert arguments({"vehicle": "drone", "landing_speed_mps": 0.7})["--max-sink-mps"] == "0.7"
    assert watchdog_arguments({"output": "mavros"}) is None
    assert watchdog_arguments({"output": "px4"}) is None
