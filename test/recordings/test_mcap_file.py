"""Recorded messages come back as they were written, from any reader of MCAP files."""

import subprocess
import sys

import pytest
from mcap.exceptions import EndOfFile
from mcap.reader import make_reader
from mcap.records import Message
from mcap.stream_reader import StreamReader
from rclpy.serialization import serialize_message
from sensor_msgs.msg import LaserScan
from visualization_msgs.msg import Marker, MarkerArray

from edge_worldmodel import msg
from edge_worldmodel.recordings import open_recording
from edge_worldmodel.recordings.installed_messages import InstalledMessages
from edge_worldmodel.recordings.mcap_file import McapFile

DEFINITIONS = {
    ("a", "Top"): "b/Inner[] inner  # comment\nOther[<=3] others\nint32 LIMIT=3\nstring<=5 name\n\nfloat64[9] k\n",
    ("b", "Inner"): "std_msgs/Header header\nuint8 A=1\n",
    ("a", "Other"): "b/Inner again\nbool flag false\n",
    ("std_msgs", "Header"): "builtin_interfaces/Time stamp\nstring frame_id\n",
    ("builtin_interfaces", "Time"): "int32 sec\nuint32 nanosec\n",
}


def test_a_definition_holds_every_contained_type_once():
    text = InstalledMessages(lambda package, name: DEFINITIONS[package, name]).definition("a/msg/Top")
    assert text.startswith("int32 LIMIT=3\nb/Inner[] inner\na/Other[<=3] others\nstring<=5 name\nfloat64[9] k\n")
    names = [line.removeprefix("MSG: ") for line in text.splitlines() if line.startswith("MSG: ")]
    assert sorted(names) == ["a/Other", "b/Inner", "builtin_interfaces/Time", "std_msgs/Header"]


@pytest.mark.parametrize("name", ["nowhere/msg/Nothing", "std_msgs/msg/Nothing"])
def test_a_message_that_is_not_installed_is_named(name):
    with pytest.raises(LookupError, match=name.split("/")[0]):
        InstalledMessages().definition(name)


def test_an_unreadable_definition_is_named():
    with pytest.raises(LookupError, match="a/msg/Bad"):
        InstalledMessages(lambda package, name: "float64[ k").definition("a/msg/Bad")


def scan_message():
    message = LaserScan(
        angle_min=-1.0, angle_increment=0.5, range_min=0.1, range_max=9.0, ranges=[1.0, 2.0, float("inf")]
    )
    message.header.stamp.sec, message.header.frame_id = 12, "laser"
    return message


def test_a_recorded_scan_is_read_back_by_our_own_reader(tmp_path):
    with McapFile(tmp_path / "run.mcap", InstalledMessages().definition) as file:
        file.write("/scan", "sensor_msgs/msg/LaserScan", serialize_message(scan_message()), 12_500_000_000)
    (record,) = open_recording(tmp_path / "run.mcap").records()
    assert (record.topic, record.log_ns, record.stamp_ns) == ("scan", 12_500_000_000, 12_000_000_000)
    assert list(record.value.ranges_m) == [1.0, 2.0, float("inf")]


def test_our_own_messages_are_written_with_their_schema(tmp_path):
    data = serialize_message(msg.Verdict(state=msg.Verdict.STOPPED, reason="because"))
    messages = InstalledMessages()
    with McapFile(tmp_path / "run.mcap", messages.definition) as file:
        file.write("/supervisor/verdict", "edge_worldmodel/msg/Verdict", data, 5)
    with (tmp_path / "run.mcap").open("rb") as stream:
        ((schema, channel, message),) = make_reader(stream).iter_messages()
    assert (schema.encoding, channel.message_encoding, message.data) == ("ros2msg", "cdr", data)
    assert "uint8 ESTOP" in schema.data.decode(), "constants are part of the schema"
    assert messages.read(schema.name, message.data).reason == "because"


WRITE_AND_DIE = """
import os, sys
from pathlib import Path
from edge_worldmodel.recordings.mcap_file import McapFile
file = McapFile(Path(sys.argv[1]), lambda name: "uint8[] data")
for index in range(100):
    file.write("/noise", "a/msg/Noise", os.urandom(20_000), index)
os.kill(os.getpid(), 9)
"""


def test_a_recording_whose_writer_is_killed_is_readable_up_to_its_last_full_chunk(tmp_path):
    path = tmp_path / "run.mcap"
    assert subprocess.run([sys.executable, "-c", WRITE_AND_DIE, path], check=False).returncode == -9
    stamps = []
    with path.open("rb") as stream, pytest.raises(EndOfFile):
        stamps.extend(record.log_time for record in StreamReader(stream).records if isinstance(record, Message))
    assert stamps == list(range(81)), "27 messages of 20 kB fill a chunk of half a megabyte"


def test_reader_gives_the_fields_that_rclpy_gives():
    markers = MarkerArray(markers=[Marker(ns="people", id=3, type=Marker.CYLINDER)])
    markers.markers[0].pose.position.x = 1.5
    read = InstalledMessages().read("visualization_msgs/msg/MarkerArray", serialize_message(markers))
    assert (read.markers[0].ns, read.markers[0].pose.position.x, read.markers[0].ADD) == ("people", 1.5, 0)


@pytest.mark.parametrize("data", [b"", b"\x00\x01\x00\x00", b"\x00\x01\x00\x00" + b"\xff" * 40])
def test_bytes_that_are_no_message_are_refused(data):
    with pytest.raises(ValueError, match="no sensor_msgs/msg/LaserScan"):
        InstalledMessages().read("sensor_msgs/msg/LaserScan", data)
