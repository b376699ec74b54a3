"""What cannot be used is told once in the same words: in the verdict, in /diagnostics and in summary.json."""

from __future__ import annotations

import re
import time

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from nav_msgs.msg import Odometry  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402
from sensor_msgs.msg import LaserScan  # noqa: E402
from std_msgs.msg import Bool  # noqa: E402

from edge_worldmodel import msg  # noqa: E402
from edge_worldmodel.nodes.recording.run_statistics import RunStatistics  # noqa: E402

from .conftest import running  # noqa: E402
from .good_messages import latent_msg  # noqa: E402
from .safety_supervisor.supervised_graph import odom_msg, scan_msg  # noqa: E402
from .words import library_words  # noqa: E402

pytestmark = pytest.mark.live

FIXED = {"sensor_pose": "[0.0, 0.0, 0.0]"}
UNREADABLE = (
    r"topic '/{}': \d+ messages? could not be read \(the publisher's message type differs from {}, or the data was"
    r" cut\); check the publisher"
)
OLD_S = 5.0


class Sender:
    """Publishes what a function makes, until told otherwise."""

    def __init__(self, probe):
        self._probe, self._sources = probe, []

    def send(self, kind, topic, make):
        publisher = self._probe.node.create_publisher(kind, topic, 10)
        self._probe.node.create_timer(0.05, lambda: publisher.publish(make(time.time_ns())))


def values(diagnostics, node):
    """Return the newest values of a node."""
    for _, array in reversed(diagnostics):
        for status in array.status:
            if status.name.startswith(node):
                return {item.key: item.value for item in status.values} | {"message": status.message}
    return {}


def summary_of(diagnostics):
    """Return what summary.json says of these diagnostics, as the recorder makes it: by node and kind."""
    statistics = RunStatistics()
    for _, array in diagnostics:
        for status in array.status:
            statistics.on_diagnostics(status.name, {item.key: item.value for item in status.values})
    return {(entry["node"], entry["kind"]): entry for entry in statistics.summary()["inputs_not_used"]}


def cut(message):
    return serialize_message(message)[:-40]


CASES = {
    "cut": (lambda ns: cut(scan_msg(ns)), "sensor scan: " + UNREADABLE.format("scan", "sensor_msgs/msg/LaserScan")),
    "of another type": (
        lambda ns: serialize_message(Bool()),
        "sensor scan: " + UNREADABLE.format("scan", "sensor_msgs/msg/LaserScan"),
    ),
    "old": (
        lambda ns: scan_msg(ns - int(OLD_S * 1e9)),
        r"sensor scan: stamp is \d\.\d\d s old by the ROS clock, the limit is 0.2 s; synchronise the clocks of the"
        r" computers \(chrony, PTP\), or set use_sim_time for a recording",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_supervisor(probe, case):
    make, expected = CASES[case]
    sender = Sender(probe)
    sender.send(LaserScan, "scan", make)
    sender.send(Odometry, "odom", odom_msg)
    verdicts, diagnostics = (
        probe.listen(msg.Verdict, "supervisor/verdict"),
        probe.listen(DiagnosticArray, "/diagnostics"),
    )
    with running("safety_supervisor", **FIXED):
        told = lambda: any(re.fullmatch(expected, v.reason) for _, v in verdicts)  # noqa: E731
        assert probe.wait(told, 10.0), {v.reason for _, v in verdicts}
        found = lambda: re.fullmatch(expected, values(diagnostics, "safety_supervisor").get("why_sensor_scan", ""))  # noqa: E731
        assert probe.wait(found, 5.0), values(diagnostics, "safety_supervisor")
    said = values(diagnostics, "safety_supervisor")
    said.pop("kernels")  # the path of their library is meant
    assert int(said["rejected_sensor_scan"]) > 0 and int(said["rejected_inputs"]) >= int(said["rejected_sensor_scan"])
    entry = summary_of(diagnostics)["safety_supervisor", "rejected_sensor_scan"]
    assert (entry["why"], entry["count"]) == (said["why_sensor_scan"], int(said["rejected_sensor_scan"]))
    for text in [*said.values(), *(v.reason for _, v in verdicts)]:
        assert not library_words(text), text


@pytest.mark.parametrize("node", ["perception", "latent_cache", "rollout_planner"])
def test_nodes_with_messages_that_are_cut(probe, node):
    sender = Sender(probe)
    kind, topic = (LaserScan, "scan") if node == "perception" else (msg.LatentFrame, "perception/latent")
    sender.send(kind, topic, lambda ns: cut(scan_msg(ns)))
    diagnostics = probe.listen(DiagnosticArray, "/diagnostics")
    with running(node, **({"backend": "deterministic"} if node != "latent_cache" else {})):
        expected = UNREADABLE.format(topic, f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}")
        found = lambda: re.fullmatch(expected, values(diagnostics, node).get("why_unreadable", ""))  # noqa: E731
        assert probe.wait(found, 20.0), values(diagnostics, node)
    said = values(diagnostics, node)
    assert summary_of(diagnostics)[node, "rejected_unreadable"]["why"] == said["why_unreadable"]
    assert not any(map(library_words, said.values())), said


def test_old_stamps_are_told_as_such_by_perception_and_planner(probe):
    """Frames that are older than a plan is valid: the stamps are the cause, never the backend."""
    sender = Sender(probe)
    sender.send(msg.LatentFrame, "perception/latent", lambda ns: latent_msg(ns - int(OLD_S * 1e9)))
    sender.send(LaserScan, "scan", lambda ns: scan_msg(ns - int(OLD_S * 1e9)))
    diagnostics = probe.listen(DiagnosticArray, "/diagnostics")
    with running("rollout_planner", backend="deterministic"), running("perception", backend="deterministic", **FIXED):
        expected = (
            r"the stamps of LatentFrame are 5\.\d\d s old by this computer's clock when they arrive.*use_sim_time.*"
        )
        found = lambda: re.fullmatch(expected, values(diagnostics, "rollout_planner").get("why_old_frame", ""))  # noqa: E731
        assert probe.wait(found, 20.0), values(diagnostics, "rollout_planner")
        clock = r"the stamps of 'scan' are 5\.\d\d s behind this computer's clock.*"
        found = lambda: re.fullmatch(clock, values(diagnostics, "perception").get("why_other_clock", ""))  # noqa: E731
        assert probe.wait(found, 20.0), values(diagnostics, "perception")
    assert "stamps" in values(diagnostics, "rollout_planner")["message"]
    texts = [
        text for _, array in diagnostics for s in array.status for text in (s.message, *(v.value for v in s.values))
    ]
    assert not [text for text in texts if "stalled" in text or library_words(text)]
