"""A topic that nothing needs does not cost the bag; sound definitions are preferred to ours."""

import pytest
from rosbags.rosbag2 import StoragePlugin

from edge_worldmodel.recordings import open_recording

from .bag_files import (
    BEGIN_NS,
    LASER,
    PERIOD_NS,
    ROS1,
    ROS2,
    STRING,
    read_all,
    scan,
    scan_numbers,
    scans,
    text,
    write_db3,
    write_mcap,
    write_ros1,
    write_ros2,
)

GARBAGE = "float64[ k\n=== \x00 \u00e4"
UNKNOWN = "nowhere_msgs/Nothing inner\n"
OTHER = "string data\nuint8 more\n"
PROTOBUF = "\x0a\x13foxglove.LaserScan"
FOREIGN = {"garbage": GARBAGE, "unknown nested type": UNKNOWN, "another definition": OTHER, "empty": ""}


def with_foreign(count, store):
    """Scans with one message of an unrelated topic between any two."""
    mixed = []
    for entry in scans(count, store=store):
        mixed += [entry, ("/foreign", "my_msgs/msg/Mine", entry[2] + 1, b"\x00\x01\x00\x00anything")]
    return mixed


@pytest.mark.parametrize("definition", FOREIGN.values(), ids=FOREIGN)
def test_an_unrelated_topic_may_have_any_definition(tmp_path, definition):
    schemas = {"/foreign": ("my_msgs/msg/Mine", "ros2msg", definition, "cdr")}
    bags = (
        write_ros1(tmp_path / "a.bag", with_foreign(5, ROS1), {"/foreign": (definition, "0" * 32)}),
        write_mcap(tmp_path / "a.mcap", with_foreign(5, ROS2), schemas),
        write_db3(tmp_path / "a.db3", with_foreign(5, ROS2), {"my_msgs/msg/Mine": (definition, "ros2msg")}),
    )
    for bag in bags:
        records, damage = read_all(bag)
        assert (scan_numbers(records), damage) == (list(range(5)), ""), bag.name


@pytest.mark.parametrize(
    ("name", "schema", "message"),
    [("foxglove.Grid", "protobuf", "protobuf"), ("foxglove.Log", "jsonschema", "json"), ("", "", "json"),
     ("my_msgs/msg/Mine", "flatbuffer", "cdr"), ("x", "omgidl", "cdr")],
)  # fmt: skip
def test_topics_of_other_systems_are_left_out_by_name(tmp_path, name, schema, message):
    bag = write_mcap(
        tmp_path / "a.mcap", with_foreign(5, ROS2), {"/foreign": (name, schema, PROTOBUF, message)}, profile=""
    )
    recording = open_recording(bag)
    assert scan_numbers(list(recording.records())) == list(range(5))
    assert name in recording.unread["foreign"]


def test_a_serialisation_that_is_not_read_is_left_out(tmp_path):
    bag = write_db3(tmp_path / "a.db3", with_foreign(5, ROS2), fixed={"/foreign": "protobuf"})
    recording = open_recording(bag)
    assert scan_numbers(list(recording.records())) == list(range(5))
    assert "protobuf" in recording.unread["foreign"]


@pytest.mark.parametrize("definition", FOREIGN.values(), ids=FOREIGN)
def test_a_scan_with_a_damaged_definition_is_read_with_ours(tmp_path, definition):
    bags = (
        write_ros1(tmp_path / "a.bag", scans(5, store=ROS1), {"/scan": (definition, "0" * 32)}),
        write_mcap(tmp_path / "a.mcap", scans(5), {"/scan": (LASER, "ros2msg", definition, "cdr")}),
        write_db3(tmp_path / "a.db3", scans(5), {LASER: (definition, "ros2msg")}),
        write_db3(tmp_path / "old.db3", scans(5), version=3),
    )
    for bag in bags:
        records, damage = read_all(bag)
        assert (scan_numbers(records), damage) == (list(range(5)), ""), bag.name


def test_the_definition_of_the_bag_is_preferred_to_ours(tmp_path):
    """A scan with one field more in front, as of another version of the type; its md5 is another one, too."""
    longer = "uint32 version\n" + ROS1.generate_msgdef(LASER)[0]
    data = [b"\x07\0\0\0" + bytes(ROS1.serialize_ros1(message, LASER)) for _, _, _, message in scans(5, store=ROS1)]
    messages = [("/scan", LASER, BEGIN_NS + i * PERIOD_NS, item) for i, item in enumerate(data)]
    records, damage = read_all(write_ros1(tmp_path / "a.bag", messages, {"/scan": (longer, "1" * 32)}))
    assert (scan_numbers(records), damage) == (list(range(5)), "")


def test_a_definition_without_its_nested_types_is_completed_with_ours(tmp_path):
    alone = ROS1.generate_msgdef(LASER)[0].split("=" * 80)[0]
    records, damage = read_all(write_ros1(tmp_path / "a.bag", scans(5, store=ROS1), {"/scan": (alone, "1" * 32)}))
    assert (scan_numbers(records), damage) == (list(range(5)), "")


def test_a_ros1_bag_converted_to_mcap_is_read(tmp_path):
    definition = ROS1.generate_msgdef(LASER)[0]
    messages = [(t, k, at, bytes(ROS1.serialize_ros1(m, k))) for t, k, at, m in scans(5, store=ROS1)]
    schemas = {"/scan": ("sensor_msgs/LaserScan", "ros1msg", definition, "ros1")}
    records, damage = read_all(write_mcap(tmp_path / "a.mcap", messages, schemas, profile="ros1"))
    assert (scan_numbers(records), damage) == (list(range(5)), "")


def test_comments_in_another_encoding_do_not_cost_a_bag(tmp_path):
    marked = ROS1.generate_msgdef(LASER)[0].replace("Header", "# distance of the MARK\nHeader", 1)
    bag = write_ros1(tmp_path / "a.bag", scans(5, store=ROS1), {"/scan": (marked, "1" * 32)})
    bag.write_bytes(bag.read_bytes().replace(b"MARK", b"W\xe4nd"))
    records, _ = read_all(bag)
    assert scan_numbers(records) == list(range(5))


@pytest.mark.parametrize("plugin", StoragePlugin)
def test_one_damaged_message_costs_only_itself(tmp_path, plugin):
    messages = [*scans(6), ("/chatter", STRING, BEGIN_NS, text())]
    folder = write_ros2(tmp_path / "bag", messages, plugin)
    file = next(p for p in folder.iterdir() if p.suffix in (".mcap", ".db3"))
    good = bytes(ROS2.serialize_cdr(scan(BEGIN_NS + 2 * PERIOD_NS, distance_m=3.0), LASER))
    content = file.read_bytes()
    assert content.count(good) == 1
    # the length of the frame's name is now far beyond the message
    file.write_bytes(content.replace(good, good[:12] + b"\xff\xff\xff\x7f" + good[16:]))
    records, damage = read_all(folder)
    assert scan_numbers(records) == [0, 1, 3, 4, 5]
    assert "messages of '/scan' are no sensor_msgs/msg/LaserScan" in damage
    assert "5 messages could be read, 1 are lost" in damage
