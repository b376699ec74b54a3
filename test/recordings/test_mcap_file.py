"""Recorded messages come back as they went in, from any reader of MCAP files."""

import pytest
from mcap.reader import make_reader
from rclpy.serialization import serialize_message
from sensor_msgs.msg import LaserScan
from visualization_msgs.msg import Marker, MarkerArray

from edge_worldmodel import msg
from edge_worldmodel.recordings import open_recording
from edge_worldmodel.recordings.mcap_file import McapFile, message_schema
from edge_worldmodel.recordings.message_reader import MessageReader

DEFINITIONS = {
    ("a", "Top"): "b/Inner[] inner  # comment\nOther[<=3] others\nint32 LIMIT=3\nstring<=5 name\n\nfloat64[9] k\n",
    ("b", "Inner"): "std_msgs/Header header\nuint8 A=1\n",
    ("a", "Other"): "b/Inner again\nbool flag false\n",
    ("std_msgs", "Header"): "builtin_interfaces/Time stamp\nstring frame_id\n",
    ("builtin_interfaces", "Time"): "int32 sec\nuint32 nanosec\n",
}


def test_schema_holds_every_contained_definition_once():
    text = message_schema("a/msg/Top", lambda package, name: DEFINITIONS[package, name])
    assert text.startswith("b/Inner[] inner")
    names = [line.removeprefix("MSG: ") for line in text.splitlines() if line.startswith("MSG: ")]
    assert sorted(names) == ["a/Other", "b/Inner", "builtin_interfaces/Time", "std_msgs/Header"]


def test_schema_of_a_message_that_is_not_installed_names_it():
    with pytest.raises(LookupError, match="nowhere"):
        message_schema("nowhere/msg/Nothing")


def scan_message():
    message = LaserScan(
        angle_min=-1.0, angle_increment=0.5, range_min=0.1, range_max=9.0, ranges=[1.0, 2.0, float("inf")]
    )
    message.header.stamp.sec, message.header.frame_id = 12, "laser"
    return message


def test_a_recorded_scan_is_read_back_by_our_own_reader(tmp_path):
    file = McapFile(tmp_path / "run.mcap")
    file.write("/scan", "sensor_msgs/msg/LaserScan", serialize_message(scan_message()), 12_500_000_000)
    file.close()
    (record,) = open_recording(tmp_path / "run.mcap").records()
    assert (record.topic, record.log_ns, record.stamp_ns) == ("scan", 12_500_000_000, 12_000_000_000)
    assert list(record.value.ranges_m) == [1.0, 2.0, float("inf")]


def test_our_own_messages_are_written_with_their_schema(tmp_path):
    data = serialize_message(msg.Verdict(state=msg.Verdict.STOPPED, reason="because"))
    file = McapFile(tmp_path / "run.mcap")
    file.write("/supervisor/verdict", "edge_worldmodel/msg/Verdict", data, 5)
    file.close()
    with (tmp_path / "run.mcap").open("rb") as stream:
        ((schema, channel, message),) = make_reader(stream).iter_messages()
    assert (schema.encoding, channel.message_encoding, message.data) == ("ros2msg", "cdr", data)
    assert MessageReader().read(schema.name, message.data).reason == "because"


def test_reader_gives_the_fields_that_rclpy_gives():
    markers = MarkerArray(markers=[Marker(ns="people", id=3, type=Marker.CYLINDER)])
    markers.markers[0].pose.position.x = 1.5
    read = MessageReader().read("visualization_msgs/msg/MarkerArray", serialize_message(markers))
    assert (read.markers[0].ns, read.markers[0].pose.position.x, read.markers[0].ADD) == ("people", 1.5, 0)


@pytest.mark.parametrize("data", [b"", b"\x00\x01\x00\x00", b"\x00\x01\x00\x00" + b"\xff" * 40])
def test_bytes_that_are_no_message_are_refused(data):
    with pytest.raises(ValueError, match="no sensor_msgs/msg/LaserScan"):
        MessageReader().read("sensor_msgs/msg/LaserScan", data)
