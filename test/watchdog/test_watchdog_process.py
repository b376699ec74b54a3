"""The real watchdog process under real ROS: good commands pass in time, anything else becomes zero, never silence."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from ament_index_python.packages import get_package_prefix  # noqa: E402
from geometry_msgs.msg import Twist, TwistStamped  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from edge_worldmodel import msg  # noqa: E402

from ..nodes.conftest import Probe  # noqa: E402
from .fake_supervisor import PERIOD_S, SPEED_MPS, FakeSupervisor, seal  # noqa: E402

pytestmark = pytest.mark.live

LATE_S = 3 * PERIOD_S + PERIOD_S + 0.03
"""Three periods, one tick, and what a crowded machine adds."""


def realtime_priority():
    """Return a priority that we may give, so that other programs of this machine do not show in what is measured."""
    allowed = subprocess.run(["chrt", "-f", "50", "true"], capture_output=True, check=False).returncode == 0
    return 50 if allowed else 0


ARGUMENTS = {
    "kind": "twist", "frame": "base_link", "enclave": "/", "priority": realtime_priority(), "period-s": PERIOD_S,
    "max-forward-mps": 0.8, "max-reverse-mps": 0.3, "max-lateral-mps": 0.1, "max-yaw-rate-radps": 1.5,
    "max-sink-mps": 0.0, "max-acceleration-mps2": 1.8, "max-yaw-acceleration-radps2": 3.6,
}  # fmt: skip
TOPICS = {
    "command": "supervisor/command", "verdict": "supervisor/verdict", "drive": "cmd_vel", "state": "watchdog/state",
}  # fmt: skip


@pytest.fixture
def probe():
    rclpy.init()
    value = Probe()
    yield value
    value.node.destroy_node()
    rclpy.try_shutdown()


def command_line(prefix="/", **changes):
    names = {name: prefix + topic for name, topic in TOPICS.items()}
    values = {**ARGUMENTS, **names, "namespace": prefix.rstrip("/") or "/", **changes}
    program = Path(get_package_prefix("edge_worldmodel"), "lib", "edge_worldmodel", "watchdog")
    words = [str(program), *(word for name, value in values.items() for word in (f"--{name}", str(value)))]
    return [*words, "--ros-args", "-r", "__node:=watchdog"]


@contextlib.contextmanager
def watchdog(prefix="/", **changes):
    process = subprocess.Popen(command_line(prefix, **changes), stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


class Watch:
    """What the drive base hears and the watchdog says."""

    def __init__(self, probe, prefix="", kind=Twist):
        self.probe = probe
        self.commands, self.states = (
            self._listen(kind, f"{prefix}cmd_vel"),
            self._listen(String, f"{prefix}watchdog/state"),
        )

    def _listen(self, kind, topic):
        """Return the list that fills with (when it was sent on the steady clock [s], message), however busy we are."""
        heard, steady_s = [], time.monotonic() - time.time()

        def take(message, info):
            heard.append((info["source_timestamp"] * 1e-9 + steady_s, message))

        self.probe.node.create_subscription(kind, topic, take, 1000)
        return heard

    def twists(self):
        return [(at_s, getattr(message, "twist", message)) for at_s, message in self.commands]

    def drives(self, timeout_s=15.0):
        fast = lambda: bool(self.commands) and self.twists()[-1][1].linear.x == SPEED_MPS  # noqa: E731
        return self.probe.wait(fast, timeout_s)

    def stops(self, since_s, within_s=0.5):
        """Return how long after ``since_s`` the first zero came after which only zeros came, for a while."""
        self.probe.wait(lambda: False, max(0.0, since_s + within_s - time.monotonic()))
        twists = self.twists()
        moving = [at_s for at_s, twist in twists if is_moving(twist)]
        zeros = [at_s for at_s, _ in twists if at_s > moving[-1]]
        assert len(zeros) > 0.5 * (within_s - LATE_S) / PERIOD_S, "the output went silent"
        return zeros[0] - since_s

    def says(self, word, timeout_s=2.0):
        return self.probe.wait(lambda: bool(self.states) and word in self.states[-1][1].data, timeout_s)


def is_moving(twist):
    return any(getattr(vector, axis) != 0.0 for vector in (twist.linear, twist.angular) for axis in "xyz")


@pytest.fixture
def driving(probe):
    supervisor, watch = FakeSupervisor(probe.node), Watch(probe)
    with watchdog() as process:
        assert watch.drives(), watch.states[-1:]
        yield supervisor, watch, process


def test_only_zeros_come_at_fifty_hertz_while_nothing_arrives(probe):
    watch = Watch(probe)
    with watchdog():
        assert probe.wait(lambda: len(watch.commands) > 5, 10.0)
        probe.spin(2.0)
        assert watch.says("zero: no command yet")
    assert not any(is_moving(twist) for _, twist in watch.twists())
    gaps_s = np.diff([at_s for at_s, _ in watch.commands[5:]])
    assert 0.015 < np.median(gaps_s) <= 0.02


def test_good_commands_pass_within_five_milliseconds(driving, record_property):
    supervisor, watch, _ = driving
    count = len(watch.commands)
    watch.probe.spin(3.0)
    passed = [(at_s, round(twist.linear.y, 9)) for at_s, twist in watch.twists()[count:]]
    delays_s = [at_s - supervisor.sent_s[mark] for at_s, mark in passed if mark in supervisor.sent_s]
    record_property("passed_on_after_s", [np.median(delays_s), max(delays_s)])
    assert len(delays_s) > 100
    assert np.median(delays_s) <= 0.005
    assert watch.says("passing")
    told = [text.data for _, text in watch.states]
    assert 2 <= told[told.index("passing") :].count("passing") <= 8, "once a second"


@pytest.mark.parametrize("sent", [signal.SIGSTOP, signal.SIGKILL])
def test_a_frozen_or_killed_supervisor_stops_the_robot(probe, sent, record_property):
    watch = Watch(probe)
    supervisor = subprocess.Popen([sys.executable, str(Path(__file__).with_name("fake_supervisor.py"))])
    try:
        with watchdog():
            assert watch.drives()
            last_s = time.monotonic()
            supervisor.send_signal(sent)
            stopped_s = watch.stops(last_s, 2.0)
            record_property("stopped_s", stopped_s)
            assert stopped_s <= LATE_S
            assert watch.says("no command for")
            if sent == signal.SIGSTOP:
                supervisor.send_signal(signal.SIGCONT)
                assert watch.drives()
    finally:
        supervisor.kill()
        supervisor.wait()


def spoil_twist(name, axis, value):
    def spoil(command, verdict):
        setattr(getattr(command.twist, name), axis, value)
        seal(command, verdict)

    return spoil


def spoil_sequence(change):
    def spoil(command, verdict):
        command.sequence = change(command.sequence)
        seal(command, verdict)

    return spoil


def spoil_field(of_verdict, name, value):
    def spoil(command, verdict):
        setattr(verdict if of_verdict else command, name, value)

    return spoil


SPOILED = {
    "wrong CRC": ("CRC", spoil_field(False, "crc", 1)),
    "repeated sequence": ("order", spoil_sequence(lambda number: 100_000)),
    "backward sequence": ("order", spoil_sequence(lambda number: 1_000_000 - number)),
    "NaN": ("finite", spoil_twist("linear", "x", math.nan)),
    "infinite": ("finite", spoil_twist("angular", "z", -math.inf)),
    "too fast": ("velocity", spoil_twist("linear", "x", 0.9)),
    "too fast backward": ("velocity", spoil_twist("linear", "x", -0.4)),
    "too far sideways": ("velocity", spoil_twist("linear", "y", 0.2)),
    "turns too fast": ("velocity", spoil_twist("angular", "z", -1.6)),
    "not planar": ("velocity", spoil_twist("angular", "x", 0.1)),
    "verdict of another command": ("another command", spoil_field(True, "command_crc", 7)),
    "verdict with another twist": ("another command", spoil_field(True, "command", Twist())),
    "verdict that stops": ("state", spoil_field(True, "state", msg.Verdict.ESTOP)),
    "verdict with lower limits": ("own limits", spoil_field(True, "max_forward_mps", 0.2)),
    "verdict of another sequence": ("without their verdict", spoil_field(True, "sequence", 5)),
}


def test_whatever_is_wrong_stops_and_is_named(driving):
    supervisor, watch, process = driving
    for what, (word, spoil) in SPOILED.items():
        supervisor.spoil, since_s = spoil, time.monotonic()
        watch.probe.spin(0.4)
        # If a crowded machine keeps us silent for three periods, a wrong sequence is a new one: a first small step.
        after = [twist.linear.x for at_s, twist in watch.twists() if at_s > since_s + LATE_S]
        allowed_mps = 0.25 * SPEED_MPS * supervisor.was_silent(since_s - LATE_S)
        assert len(after) > 5 and max(map(abs, after)) <= allowed_mps, what
        assert any(word in text.data for at_s, text in watch.states if at_s >= since_s), (what, watch.states[-3:])
        supervisor.spoil, supervisor.sends = None, False
        watch.probe.spin(0.2)  # only a silence ends the order of commands
        supervisor.sends = True
        assert watch.drives(), (what, watch.states[-1])
    assert process.poll() is None


def test_a_sudden_jump_stops(driving):
    supervisor, watch, _ = driving
    since_s = time.monotonic()
    supervisor.spoil = spoil_twist("angular", "z", 1.0)
    assert watch.says("acceleration", 0.5)
    zeros = [at_s for at_s, twist in watch.twists() if at_s > since_s and not is_moving(twist)]
    assert zeros and zeros[0] - since_s <= LATE_S
    watch.probe.spin(1.0)
    turns = np.array([(at_s, twist.angular.z) for at_s, twist in watch.twists() if at_s > zeros[0]])
    assert np.diff(turns[:, 1]).max() <= 3.6 * 3 * PERIOD_S + 0.01, "it reached the new command within the limits"


def test_a_flood_neither_stalls_it_nor_gets_through(driving, record_property):
    _, watch, process = driving
    flood = subprocess.Popen([sys.executable, str(Path(__file__).with_name("fake_supervisor.py")), "0.001"])
    assert watch.says("order", 10.0) or watch.says("often")
    since_s = time.monotonic()
    watch.probe.spin(3.0)
    flood.kill()
    flood.wait()
    twists = [(at_s, twist) for at_s, twist in watch.twists() if at_s > since_s + 0.2]
    gaps_s = np.diff([at_s for at_s, _ in twists])
    record_property("longest_gap_s", gaps_s.max())
    assert gaps_s.max() <= 0.06 + 0.03
    assert max(twist.linear.x for _, twist in twists) < 0.2
    assert watch.drives() and process.poll() is None


def test_rubbish_on_its_topics_neither_ends_nor_stalls_it(driving):
    supervisor, watch, process = driving
    fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)  # soon full of what the middleware says about rubbish
    rubbish = [b"", b"\0\1\0\0", b"\0\1\0\0" + b"\xff" * 64, b"\xff" * 300, os.urandom(5000)]
    for _ in range(20):
        for bytes_ in rubbish:
            with contextlib.suppress(Exception):  # some middleware refuses to send it
                supervisor.commands.publish(bytes_)
                supervisor.verdicts.publish(bytes_)
        supervisor.verdicts.publish(msg.Verdict(reason="x" * 5_000_000, limits=["y" * 1000] * 100))
        watch.probe.spin(0.05)
    assert process.poll() is None
    assert watch.drives(), (watch.states[-3:], watch.commands[-1], supervisor.sequence)


def test_a_listener_that_hangs_and_a_full_pipe_do_not_hang_it(probe):
    supervisor, watch = FakeSupervisor(probe.node), Watch(probe)
    listener = subprocess.Popen(
        [sys.executable, "-c", "import rclpy; from rclpy.node import Node; from geometry_msgs.msg import Twist;"
         "rclpy.init(); n = Node('listener'); n.create_subscription(Twist, 'cmd_vel', print, 1); rclpy.spin(n)"],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with watchdog() as process:
            fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)
            assert watch.drives()
            assert probe.wait(lambda: probe.node.count_subscribers("cmd_vel") == 2, 10.0)
            listener.send_signal(signal.SIGSTOP)
            count = len(watch.commands)
            supervisor.spoil = lambda command, _: setattr(command, "crc", command.sequence % 2 * command.crc)
            probe.spin(4.0)
            assert len(watch.commands) - count > 150
            supervisor.spoil = None
            assert watch.drives()
    finally:
        listener.kill()
        listener.wait()


def test_after_a_freeze_of_its_own_it_does_not_follow_what_waited(driving):
    supervisor, watch, process = driving
    process.send_signal(signal.SIGSTOP)
    watch.probe.spin(0.5)
    supervisor.sends = False
    watch.probe.spin(0.2)
    count = len(watch.commands)
    process.send_signal(signal.SIGCONT)
    watch.probe.spin(0.5)
    later = watch.twists()[count:]
    assert len(later) > 10 and not any(is_moving(twist) for _, twist in later)
    supervisor.sends = True
    assert watch.drives()


def test_a_supervisor_that_starts_anew_is_followed_again(driving):
    supervisor, watch, _ = driving
    supervisor.sends = False
    assert watch.stops(time.monotonic()) <= LATE_S
    supervisor.sequence, supervisor.speed_mps, supervisor.sends = 0, 0.0, True
    assert watch.drives()


def test_stamped_twists_have_the_time_and_the_frame_also_while_stopped(probe):
    supervisor, watch = FakeSupervisor(probe.node), Watch(probe, kind=TwistStamped)
    supervisor.sends = False
    with watchdog(kind="twist_stamped", frame="base_footprint"):
        for sends in (False, True, False):
            supervisor.sends = sends
            assert watch.drives() if sends else probe.wait(lambda: len(watch.commands) > 5, 10.0)
            probe.spin(0.3)
            header = watch.commands[-1][1].header
            assert header.frame_id == "base_footprint"
            assert abs(header.stamp.sec + 1e-9 * header.stamp.nanosec - time.time()) < 0.2
            assert is_moving(watch.twists()[-1][1]) == sends


def test_two_robots_in_namespaces_do_not_hear_each_other(probe):
    one, other = Watch(probe, "one/"), Watch(probe, "other/")
    FakeSupervisor(probe.node, "one/")
    with watchdog("/one/"), watchdog("/other/"):
        assert one.drives()
        assert probe.wait(lambda: len(other.commands) > 5, 10.0)
        names = probe.node.get_node_names_and_namespaces()
    assert {("watchdog", "/one"), ("watchdog", "/other")} <= set(names)
    assert not any(is_moving(twist) for _, twist in other.twists())


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_commands_zero_a_last_time(driving, sent):
    _, watch, process = driving
    begin_s = time.monotonic()
    process.send_signal(sent)
    assert process.wait(5.0) == 0
    assert time.monotonic() - begin_s <= 1.0
    watch.probe.spin(0.3)
    assert not is_moving(watch.twists()[-1][1])


REFUSED = {
    "period": ({"period-s": "0"}, "--period-s 0"),
    "not a number": ({"max-forward-mps": "fast"}, "--max-forward-mps fast"),
    "NaN": ({"max-acceleration-mps2": "nan"}, "--max-acceleration-mps2 nan"),
    "kind": ({"kind": "sbus"}, "--kind"),
    "topic": ({"drive": "not a topic"}, "not a topic"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_arguments_are_refused_in_one_line(what):
    changes, hint = REFUSED[what]
    run = subprocess.run(command_line(**changes), capture_output=True, check=False, text=True, timeout=20.0)
    assert run.returncode == 1
    assert hint in run.stderr.splitlines()[-1]


def test_security_that_is_enforced_is_not_gone_without(tmp_path):
    security = {
        "ROS_SECURITY_ENABLE": "true",
        "ROS_SECURITY_STRATEGY": "Enforce",
        "ROS_SECURITY_KEYSTORE": str(tmp_path),
    }
    words = command_line(enclave="/robot/watchdog")
    run = subprocess.run(
        words, env={**os.environ, **security}, capture_output=True, check=False, text=True, timeout=20.0
    )
    assert run.returncode == 1 and f"{tmp_path}/enclaves/robot/watchdog does not exist" in run.stderr


def test_the_same_with_the_other_middleware():
    mine = os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    other = "rmw_cyclonedds_cpp" if mine.startswith("rmw_fastrtps") else "rmw_fastrtps_cpp"
    command = [sys.executable, "-m", "pytest", "-q", __file__, "-k", "not other_middleware", "-p", "no:cacheprovider"]
    environment = {**os.environ, "RMW_IMPLEMENTATION": other}
    root = Path(__file__).parents[2]
    run = subprocess.run(command, cwd=root, env=environment, capture_output=True, check=False, text=True, timeout=300.0)
    assert run.returncode == 0, run.stdout[-4000:]
