"""An index or a summary that is damaged costs no message of the file."""

import sqlite3
from contextlib import closing

import pytest
from mcap.data_stream import RecordBuilder
from mcap.reader import make_reader
from mcap.records import Footer
from rosbags.rosbag2 import StoragePlugin

from .bag_files import LASER, ROS1, ROS2, read_all, scan_numbers, scans, write_db3, write_mcap, write_ros1, write_ros2

COUNT = 60


def two_topics(store):
    """Return scans on two topics, by time."""
    return sorted(scans(COUNT, store=store) + scans(COUNT, "/rear", store=store), key=lambda message: message[2])


def assert_both_whole(path):
    """Check that all messages of both topics are read."""
    records, _ = read_all(path)
    assert sorted(scan_numbers(records)) == sorted(scan_numbers(records, "rear")) == list(range(COUNT))


def rewrite_summary(path, change):
    """Change the summary of an MCAP file, as one that is damaged."""
    content = path.read_bytes()
    with path.open("rb") as file:
        summary = make_reader(file).get_summary()
    begin = int.from_bytes(content[-28:-20], "little")
    change(summary)
    builder = RecordBuilder()
    records = [*summary.schemas.values(), *summary.channels.values(), *summary.chunk_indexes]
    for record in [*records, *([summary.statistics] if summary.statistics else []), Footer(begin, 0, 0)]:
        record.write(builder)
    path.write_bytes(content[:begin] + builder.end() + content[-8:])


def without_statistics(change):
    def changed(summary):
        change(summary)
        summary.statistics = None

    return changed


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        lambda summary: summary.chunk_indexes.pop(),
        lambda summary: summary.chunk_indexes.pop(0),
        lambda summary: summary.chunk_indexes.append(summary.chunk_indexes.pop(3)),
        lambda summary: summary.channels.pop(1),
        lambda summary: summary.schemas.clear(),
        lambda summary: summary.chunk_indexes[2].message_index_offsets.pop(1),
        lambda summary: [chunk.message_index_offsets.pop(1, None) for chunk in summary.chunk_indexes],
    ],
)
def test_an_mcap_summary_that_covers_only_a_part_of_the_file_loses_nothing(tmp_path, change, statistics):
    path = write_mcap(tmp_path / "a.mcap", two_topics(ROS2), chunk_bytes=1000)
    rewrite_summary(path, change if statistics else without_statistics(change))
    assert_both_whole(path)


def test_a_channel_whose_record_is_damaged_is_known_from_the_summary(tmp_path):
    path = write_mcap(tmp_path / "a.mcap", two_topics(ROS2), use_chunking=False)
    content = path.read_bytes()
    position = content.index(b"/rear") - 8 - 9
    assert content[position] == 4
    path.write_bytes(content[:position] + b"\x0c" + content[position + 1 :])
    assert_both_whole(path)


def test_messages_that_the_summary_promises_are_not_lost_silently(tmp_path):
    path = write_mcap(tmp_path / "a.mcap", scans(COUNT), use_chunking=False)
    content = path.read_bytes()
    size = len(ROS2.serialize_cdr(scans(1)[0][3], LASER)) + 22
    position = content.index(b"\x05" + size.to_bytes(8, "little"))
    path.write_bytes(content[:position] + b"\x0c" + content[position + 1 :])
    records, damage = read_all(path)
    assert scan_numbers(records) == list(range(1, COUNT))
    assert f"{COUNT - 1} messages could be read, 1 are lost" in damage


def test_messages_whose_topic_is_described_nowhere_are_counted(tmp_path):
    path = write_mcap(tmp_path / "a.mcap", two_topics(ROS2), use_chunking=False)
    content = path.read_bytes()
    position = content.index(b"/rear") - 8 - 9
    end = int.from_bytes(content[-28:-20], "little")
    path.write_bytes(content[:position] + b"\x0c" + content[position + 1 : end])
    records, damage = read_all(path)
    assert scan_numbers(records) == list(range(COUNT))
    assert f"{COUNT} messages could be read, {COUNT} are lost" in damage

    path = write_ros1(tmp_path / "a.bag", two_topics(ROS1))
    path.write_bytes(path.read_bytes().replace(b"topic=/rear", b"topxc=/rear"))
    records, damage = read_all(path)
    assert scan_numbers(records) == list(range(COUNT))
    assert f"{COUNT} messages could be read, {COUNT} are lost" in damage or f"at least {COUNT} are lost" in damage


def test_a_damaged_record_that_looks_like_the_end_is_told(tmp_path):
    path = write_mcap(tmp_path / "a.mcap", scans(COUNT), use_chunking=False)
    content = path.read_bytes()
    position = content.index(b"\x05" + (len(ROS2.serialize_cdr(scans(1)[0][3], LASER)) + 22).to_bytes(8, "little"))
    for opcode in (0x02, 0x0F):
        path.write_bytes(content[:position] + bytes([opcode]) + b"\x7f" * 8 + content[position + 9 : -40])
        assert "lost" in read_all(path)[1]


def set_number(path, field, change, last=False, width=4):
    """Change a number in the first or last header of a ROS 1 bag that has a field."""
    content = path.read_bytes()
    begin = (content.rindex if last else content.index)(field) + len(field)
    number = change(int.from_bytes(content[begin : begin + width], "little"))
    path.write_bytes(content[:begin] + number.to_bytes(width, "little") + content[begin + width :])


@pytest.mark.parametrize(
    "damage",
    [
        (b"chunk_count=", lambda n: 0),
        (b"chunk_count=", lambda n: 1),
        (b"chunk_count=", lambda n: n - 1),
        (b"chunk_count=", lambda n: n + 1),
        (b"conn_count=", lambda n: 0),
        (b"conn_count=", lambda n: n - 1),
        (b"conn_count=", lambda n: n + 1),
        (b"index_pos=", lambda n: n - 1),
        # the topics of the last chunk, and the number of the last topic
        (b"count=", lambda n: 1, True),
        (b"count=", lambda n: 0, True),
        (b"conn=", lambda n: 99, True),
        (b"conn=", lambda n: n - 1, True),
    ],
)
def test_a_ros1_index_that_covers_only_a_part_of_the_bag_loses_nothing(tmp_path, damage):
    path = write_ros1(tmp_path / "a.bag", two_topics(ROS1), chunk_bytes=1000)
    set_number(path, *damage)
    assert_both_whole(path)


def test_a_ros1_index_that_skips_a_topic_loses_nothing(tmp_path):
    path = write_ros1(tmp_path / "a.bag", two_topics(ROS1), chunk_bytes=1000)
    content = path.read_bytes()
    begin = content.index(b"index_pos=") + len(b"index_pos=")
    index = int.from_bytes(content[begin : begin + 8], "little")
    first, second = (content.index(b"topic=", at) for at in [index, content.index(b"message_definition", index)])
    # the record of a topic as long as that of the other, but for its name
    set_number(path, b"conn_count=", lambda n: n - 1)
    set_number(path, b"index_pos=", lambda n: n + second - first, width=8)
    assert_both_whole(path)


def test_messages_that_a_damaged_index_lacks_are_not_lost_silently(tmp_path):
    path = write_ros1(tmp_path / "a.bag", scans(COUNT, store=ROS1), chunk_bytes=1000)
    content = path.read_bytes()
    # the connection of the index of the first chunk
    position = content.index(b"conn=", content.index(b"op=\x04")) + len(b"conn=")
    path.write_bytes(content[:position] + b"\x63" + content[position + 1 :])
    records, damage = read_all(path)
    numbers = scan_numbers(records)
    assert numbers == list(range(COUNT)) or (f"{len(numbers)} messages could be read" in damage and "lost" in damage)


def execute(path, *statements):
    with closing(sqlite3.connect(path)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def test_rows_that_the_index_of_a_database_lacks_are_read(tmp_path):
    path = write_db3(tmp_path / "a.db3", two_topics(ROS2))
    with closing(sqlite3.connect(path)) as database:
        (root,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'timestamp_idx'").fetchone()
    content = bytearray(path.read_bytes())
    # the cells of the first page of the index
    at = (root - 1) * 4096 + 3
    assert int.from_bytes(content[at : at + 2], "big") == 2 * COUNT
    content[at : at + 2] = (COUNT).to_bytes(2, "big")
    path.write_bytes(content)
    assert_both_whole(path)


@pytest.mark.parametrize("topics", ["'/rear'", "'/rear', '/scan'"])
def test_messages_of_a_topic_that_the_list_of_a_database_lacks_are_counted(tmp_path, topics):
    path = write_db3(tmp_path / "a.db3", two_topics(ROS2))
    execute(path, f"DELETE FROM topics WHERE name IN ({topics})")
    records, damage = read_all(path)
    assert len(records) in (0, COUNT)
    assert f"{len(records)} messages could be read, {2 * COUNT - len(records)} are lost" in damage


@pytest.mark.parametrize("plugin", StoragePlugin)
def test_messages_that_only_the_description_promises_are_counted(tmp_path, plugin):
    """As of a database that was copied without its journal."""
    folder = write_ros2(tmp_path / "bag", two_topics(ROS2), plugin)
    file = next(path for path in folder.iterdir() if path.suffix in (".mcap", ".db3"))
    shorter = write_ros2(tmp_path / "shorter", two_topics(ROS2)[:-9], plugin)
    file.write_bytes((shorter / f"shorter{file.suffix}").read_bytes())
    records, damage = read_all(folder)
    assert f"{len(records)} messages could be read, 9 are lost" in damage


def test_a_part_that_the_description_does_not_name_is_played(tmp_path):
    folder = write_ros2(tmp_path / "bag", scans(5), StoragePlugin.MCAP)
    write_mcap(folder / "bag_1.mcap", scans(10)[5:])
    write_mcap(folder / "another.mcap", scans(10)[5:])
    assert scan_numbers(read_all(folder)[0]) == list(range(10))
