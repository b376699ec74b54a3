"""A drive base that takes the other form of commands is noticed."""

from __future__ import annotations

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from geometry_msgs.msg import Twist, TwistStamped  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from edge_worldmodel.nodes.safety_supervisor.command_type import command_type_problem  # noqa: E402

from ..conftest import running  # noqa: E402

pytestmark = pytest.mark.live


@pytest.mark.parametrize(
    ("heard", "problem"),
    [
        (Twist, ""),
        (TwistStamped, "heard as geometry_msgs/msg/TwistStamped only: launch with command_type:=twist_stamped"),
        (String, "heard as std_msgs/msg/String only: convert the commands"),
    ],
)
def test_the_form_of_commands_is_compared_with_what_the_drive_base_takes(probe, heard, problem):
    assert not command_type_problem(probe.node, "/cmd_vel", "twist")
    probe.node.create_subscription(heard, "cmd_vel", lambda _: None, 1)
    assert probe.wait(lambda: probe.node.count_subscribers("/cmd_vel") == 1, 5.0)
    said = command_type_problem(probe.node, "/cmd_vel", "twist")
    assert problem in said and bool(said) is bool(problem)


def test_the_supervisor_says_so(probe):
    told = probe.listen(DiagnosticArray, "/diagnostics")
    probe.node.create_subscription(Twist, "cmd_vel", lambda _: None, 1)
    with running("safety_supervisor", output="twist_stamped"):
        assert probe.wait(lambda: any("command_type:=twist" in s.message for _, a in told for s in a.status), 20.0)
