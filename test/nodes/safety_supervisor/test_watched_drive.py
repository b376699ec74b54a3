"""Supervisor and watchdog together: the drive base hears what both agree on, and zeros when the supervisor is gone."""

from __future__ import annotations

import os
import signal
import time

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from geometry_msgs.msg import Twist  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from std_srvs.srv import SetBool  # noqa: E402

from edge_worldmodel import msg  # noqa: E402
from edge_worldmodel.core.command_crc import command_crc  # noqa: E402
from edge_worldmodel.core.safety.config import SupervisorConfig  # noqa: E402
from edge_worldmodel.nodes.ros.qos import LATEST  # noqa: E402

from ..conftest import running, watched  # noqa: E402
from .supervised_graph import Source, plan_msg  # noqa: E402
from .test_safety_supervisor_node import NODE, STANDING_STILL, Watch  # noqa: E402

pytestmark = pytest.mark.live

WRONG = ("CRC", "order", "often", "finite", "limits", "another command", "state", "readable")


class DriveBase(Watch):
    """What the drive base hears, and what the watchdog says."""

    def __init__(self, probe):
        super().__init__(probe)
        self.sent, self.commands = self.commands, probe.listen(Twist, "cmd_vel", LATEST)
        self.states = probe.listen(String, "watchdog/state", LATEST)


@pytest.fixture
def drive(probe):
    source, base = Source(probe.node), DriveBase(probe)
    with running(NODE, **STANDING_STILL) as supervisor, watched() as watchdog:
        assert base.drives(), (base.verdicts[-1:], base.states[-1:])
        yield source, base, supervisor, watchdog


def test_what_the_supervisor_commands_passes_and_its_stop_does(drive):
    source, base, _, _ = drive
    since = len(base.states)
    for _ in range(5):
        source.send["plan"] = None
        assert base.stopped_after_s(source.last_s["plan"], 0.4) <= 0.25
        source.send["plan"] = plan_msg
        assert base.drives()
    base.probe.call(SetBool, "supervisor/estop", SetBool.Request(data=True))
    assert base.stopped_after_s(time.monotonic(), 0.4) <= 0.1
    # On a crowded machine either process may come too late; nothing that the supervisor says may be found wrong.
    told = {text.data for _, text in base.states[since:]}
    assert "passing" in told and not [text for text in told for word in WRONG if word in text]


@pytest.mark.parametrize("sent", [signal.SIGSTOP, signal.SIGKILL])
def test_a_frozen_or_killed_supervisor_is_replaced_by_zeros(drive, sent):
    _, base, supervisor, _ = drive
    os.killpg(supervisor.pid, sent)
    assert base.stopped_after_s(time.monotonic(), 2.0) <= 0.15  # for less than the lease (docs/adr/0008)
    assert "no command for" in base.states[-1][1].data
    if sent == signal.SIGSTOP:
        os.killpg(supervisor.pid, signal.SIGCONT)
        assert base.drives()


def test_both_messages_of_a_tick_belong_together(probe):
    commands, verdicts = [
        probe.listen(kind, topic, 100)
        for kind, topic in ((msg.SupervisorCommand, "supervisor/command"), (msg.Verdict, "supervisor/verdict"))
    ]
    Source(probe.node)
    with running(NODE, **STANDING_STILL):
        assert probe.wait(lambda: any(command.twist.linear.x > 0.35 for _, command in commands), 20.0)
        probe.spin(0.2)
    known = {verdict.sequence: verdict for _, verdict in verdicts}
    pairs = [(command, known[command.sequence]) for _, command in commands if command.sequence in known]
    assert len(pairs) > 0.8 * len(commands)
    config = SupervisorConfig()
    for command, verdict in pairs:
        linear, angular = command.twist.linear, command.twist.angular
        twist = (linear.x, linear.y, linear.z, angular.x, angular.y, angular.z)
        seal = command_crc(command.sequence, command.stamp.sec, command.stamp.nanosec, twist)
        assert command.crc == verdict.command_crc == seal
        assert (command.twist, command.stamp) == (verdict.command, verdict.header.stamp)
        assert verdict.max_forward_mps == pytest.approx(config.max_forward_mps)
        assert verdict.max_yaw_rate_radps == pytest.approx(config.max_yaw_rate_radps)
