"""A bag that a power loss has cut, or that is damaged inside, plays its whole messages and says what is lost."""

import re
import shutil

import lz4.frame
import pytest
import zstandard
from mcap.writer import CompressionType, IndexType
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.recordings import open_recording
from edge_worldmodel.recordings.description import describe

from .bag_files import (
    LASER,
    ROS1,
    ROS2,
    read_all,
    scan_numbers,
    scans,
    write_db3,
    write_mcap,
    write_ros1,
    write_ros2,
)

COUNT = 60
FRACTIONS = (0.3, 0.55, 0.8, 0.999)


def cut(path, fraction):
    """Keep the first part of a file, as a disk does whose power is lost."""
    content = path.read_bytes()
    path.write_bytes(content[: int(fraction * len(content))])
    return path


def whole_scans(path, store, beams=50):
    """Return the numbers of the scans whose bytes are all in a file that is not compressed."""
    content, found = path.read_bytes(), []
    for number, (_, _, _, message) in enumerate(scans(COUNT, store=store, beams=beams)):
        data = ROS1.serialize_ros1(message, LASER) if store is ROS1 else ROS2.serialize_cdr(message, LASER)[4:]
        if bytes(data) in content:
            found.append(number)
    return found


@pytest.mark.parametrize("fraction", FRACTIONS)
@pytest.mark.parametrize("chunk_bytes", [1000, 10**6])
def test_a_cut_mcap_gives_every_whole_message(tmp_path, fraction, chunk_bytes):
    messages = scans(COUNT, beams=50)
    path = cut(write_mcap(tmp_path / "a.mcap", messages, chunk_bytes=chunk_bytes), fraction)
    records, damage = read_all(path)
    assert scan_numbers(records) == whole_scans(path, ROS2)
    if len(records) < COUNT:
        assert f"{len(records)} messages could be read" in damage
        assert "lost" in damage


def test_an_mcap_without_chunks_gives_every_whole_message(tmp_path):
    path = cut(write_mcap(tmp_path / "a.mcap", scans(COUNT, beams=50), use_chunking=False), 0.6)
    records, damage = read_all(path)
    assert scan_numbers(records) == whole_scans(path, ROS2)
    assert "lost" in damage


@pytest.mark.parametrize("compression", [CompressionType.LZ4, CompressionType.ZSTD])
def test_a_cut_compressed_mcap_gives_nearly_all_before_the_cut(tmp_path, compression):
    messages = scans(400, beams=50)
    read = []
    for fraction in (0.2, 0.4, 0.6):
        path = write_mcap(tmp_path / f"{fraction}.mcap", messages, compression=compression, chunk_bytes=20_000)
        records, damage = read_all(cut(path, fraction))
        assert scan_numbers(records) == list(range(len(records)))
        assert "at least 1 are lost" in damage
        read.append(len(records))
    assert read == sorted(read) and read[0] > 50 and 200 < read[2] < 400


@pytest.mark.parametrize("index", [IndexType.NONE, IndexType.ALL])
def test_an_mcap_whose_end_only_is_missing_is_whole(tmp_path, index):
    path = write_mcap(tmp_path / "a.mcap", scans(COUNT), index_types=index)
    path.write_bytes(path.read_bytes()[:-20])
    records, damage = read_all(path)
    assert (scan_numbers(records), damage) == (list(range(COUNT)), "")


@pytest.mark.parametrize("damaged", [b"\0" * 60, b"\xff" * 60])
def test_a_damaged_chunk_costs_only_its_messages(tmp_path, damaged):
    path = write_mcap(tmp_path / "a.mcap", scans(COUNT, beams=50), compression=CompressionType.ZSTD, chunk_bytes=3000)
    content = path.read_bytes()
    position = len(content) // 2
    path.write_bytes(content[:position] + damaged + content[position + len(damaged) :])
    numbers = scan_numbers((found := read_all(path))[0])
    assert COUNT - 30 < len(numbers) < COUNT
    assert numbers == sorted(set(numbers)) and numbers[-1] == COUNT - 1
    assert re.search(r"chunk at byte \d+ is damaged|messages of the index are not in their chunk", found[1])


@pytest.mark.parametrize("fraction", FRACTIONS)
def test_a_cut_sqlite_bag_gives_every_whole_message(tmp_path, fraction):
    path = cut(write_db3(tmp_path / "a.db3", scans(COUNT, beams=300)), fraction)
    records, damage = read_all(path)
    assert scan_numbers(records) == list(range(len(records)))
    # a page that is not whole is not used: of 4096 bytes with up to 2 messages
    assert len(records) >= len(whole_scans(path, ROS2, beams=300)) - 2
    if len(records) < COUNT:
        assert re.search(r"\d+ of \d+ pages are there", damage)
        assert f"{len(records)} messages could be read" in damage and "lost" in damage


def test_a_cut_sqlite_bag_of_large_messages_never_gives_half_a_message(tmp_path):
    path = cut(write_db3(tmp_path / "a.db3", scans(COUNT, beams=5000)), 0.5)
    records, damage = read_all(path)
    assert 25 <= len(records) <= 30
    assert all(len(record.value.ranges_m) == 5000 for record in records)
    assert (lost := re.search(r"at least (\d+) are lost", damage)) is not None
    assert COUNT - len(records) - 2 <= int(lost[1]) <= COUNT - len(records)


def test_rows_below_a_tree_page_that_is_lost_are_found(tmp_path):
    """With this many rows the tree has a level whose page lies behind the cut."""
    path = cut(write_db3(tmp_path / "a.db3", scans(3000, beams=700)), 0.3)
    records, _ = read_all(path)
    assert len(records) > 800
    assert scan_numbers(records) == list(range(len(records)))


def test_a_damaged_page_of_a_sqlite_bag_costs_only_its_messages(tmp_path):
    path = write_db3(tmp_path / "a.db3", scans(COUNT, beams=50))
    content = path.read_bytes()
    page = len(content) // 2 // 4096 * 4096
    path.write_bytes(content[:page] + b"\0" * 4096 + content[page + 4096 :])
    records, damage = read_all(path)
    numbers = scan_numbers(records)
    assert COUNT - 15 < len(numbers) < COUNT
    assert numbers == sorted(set(numbers)) and numbers[-1] == COUNT - 1
    assert f"{len(numbers)} messages could be read, {COUNT - len(numbers)} are lost" in damage


def test_messages_in_the_journal_beside_a_sqlite_bag_are_played(tmp_path):
    import sqlite3

    path = write_db3(tmp_path / "recorded.db3", scans(5))
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA wal_autocheckpoint = 0")
    for _, _, at_ns, message in scans(10)[5:]:
        row = (1, at_ns, bytes(ROS2.serialize_cdr(message, LASER)))
        database.execute("INSERT INTO messages VALUES(NULL, ?, ?, ?)", row)
    database.commit()
    folder = tmp_path / "after power loss"
    folder.mkdir()
    for end in ("", "-wal"):
        shutil.copyfile(f"{path}{end}", folder / f"bag.db3{end}")
    database.close()
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert [scan_numbers(read_all(p)[0]) for p in (folder / "bag.db3", folder)] == [list(range(10))] * 2
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before, "recordings are never changed"


@pytest.mark.parametrize("fraction", FRACTIONS)
@pytest.mark.parametrize("chunk_bytes", [1000, 10**6])
def test_a_cut_ros1_bag_gives_every_whole_message(tmp_path, fraction, chunk_bytes):
    path = cut(write_ros1(tmp_path / "a.bag", scans(COUNT, store=ROS1, beams=50), chunk_bytes=chunk_bytes), fraction)
    records, damage = read_all(path)
    assert scan_numbers(records) == whole_scans(path, ROS1)
    assert f"{len(records)} messages could be read" in damage


@pytest.mark.parametrize("place", (0, 80))
@pytest.mark.parametrize("compression", [None, *Writer1.CompressionFormat])
def test_a_damaged_chunk_of_a_ros1_bag_costs_only_its_messages(tmp_path, compression, place):
    path = write_ros1(tmp_path / "a.bag", scans(COUNT, store=ROS1, beams=50), compression=compression, chunk_bytes=3000)
    content = path.read_bytes()
    position = content.index(b"chunk_pos") // 2 + place
    path.write_bytes(content[:position] + b"\xff" * 30 + content[position + 30 :])
    records, damage = read_all(path)
    numbers = scan_numbers(records)
    assert COUNT - 25 < len(numbers) <= COUNT
    if not damage and len(numbers) == COUNT:
        return  # bytes of an index were hit
    assert numbers == sorted(set(numbers)) and numbers[-1] == COUNT - 1
    assert f"{len(numbers)} messages could be read" in damage


def test_a_ros1_bag_that_its_recorder_did_not_finish_is_played(tmp_path):
    """``rosbag record`` leaves a .bag.active whose header says that there is no index."""
    path = write_ros1(tmp_path / "a.bag.active", scans(COUNT, store=ROS1))
    content = path.read_bytes()
    begin = content.index(b"index_pos=") + len(b"index_pos=")
    position = int.from_bytes(content[begin : begin + 8], "little")
    path.write_bytes((content[:begin] + b"\0" * 8 + content[begin + 8 :])[:position])
    records, damage = read_all(path)
    assert scan_numbers(records) == list(range(COUNT))
    assert "was not ended properly" in damage


def test_the_description_of_the_folder_tells_how_many_are_lost(tmp_path):
    folder = write_ros2(tmp_path / "bag", scans(COUNT, beams=50), StoragePlugin.MCAP)
    cut(next(folder.glob("*.mcap")), 0.5)
    records, damage = read_all(folder)
    assert 20 < len(records) < 40
    assert f"{len(records)} messages could be read, {COUNT - len(records)} are lost" in damage


@pytest.mark.parametrize("plugin", StoragePlugin)
@pytest.mark.parametrize("fraction", [0.5, 0.8])
def test_a_bag_whose_end_is_zeros_tells_how_many_are_lost(tmp_path, plugin, fraction):
    folder = write_ros2(tmp_path / "bag", scans(COUNT, beams=300), plugin)
    file = next(p for p in folder.iterdir() if p.suffix in (".mcap", ".db3"))
    content = file.read_bytes()
    kept = int(fraction * len(content))
    file.write_bytes(content[:kept] + bytes(len(content) - kept))
    records, damage = read_all(folder)
    # pages of SQLite are not in the order of their rows
    numbers = scan_numbers(records)
    assert numbers == sorted(set(numbers)) and set(numbers) <= set(whole_scans(file, ROS2, beams=300))
    assert 0 < len(records) < COUNT
    assert f"{len(records)} messages could be read, {COUNT - len(records)} are lost" in damage


@pytest.mark.parametrize("plugin", StoragePlugin)
@pytest.mark.parametrize("content", [None, b"", b"{", b"rosbag2_bagfile_information: 3\n"])
def test_a_folder_without_a_description_is_played(tmp_path, plugin, content):
    folder = write_ros2(tmp_path / "bag", scans(5), plugin)
    (folder / "metadata.yaml").unlink()
    if content is not None:
        (folder / "metadata.yaml").write_bytes(content)
    records, damage = read_all(folder)
    assert (scan_numbers(records), damage) == (list(range(5)), "")


def test_the_parts_of_a_bag_are_played_in_their_order(tmp_path):
    everything = scans(12)
    for part in range(12):
        write_mcap(tmp_path / f"bag_{part}.mcap", everything[part : part + 1])
    assert scan_numbers(read_all(tmp_path)[0]) == list(range(12))
    (tmp_path / "bag_3.mcap").write_bytes(b"")
    records, damage = read_all(tmp_path)
    assert scan_numbers(records) == [n for n in range(12) if n != 3]
    assert "bag_3.mcap" in damage


def test_a_missing_part_is_named(tmp_path):
    folder = write_ros2(tmp_path / "bag", scans(5), StoragePlugin.MCAP)
    description = (folder / "metadata.yaml").read_text()
    name = next(folder.glob("*.mcap")).name
    (folder / "metadata.yaml").write_text(description.replace(f"- {name}", f"- {name}\n    - lost_1.mcap", 1))
    records, damage = read_all(folder)
    assert scan_numbers(records) == list(range(5))
    assert "lost_1.mcap" in damage


@pytest.mark.parametrize("ending", [".zstd", ".lz4"])
def test_a_cut_compressed_file_gives_what_is_there(tmp_path, ending):
    content = write_mcap(tmp_path / "a.mcap", scans(1000, beams=100)).read_bytes()
    packed = zstandard.compress(content) if ending == ".zstd" else lz4.frame.compress(content)
    path = tmp_path / f"a.mcap{ending}"
    path.write_bytes(packed[: len(packed) * 7 // 10])
    records, damage = read_all(path)
    assert 400 < len(records) < 1000
    assert f"{len(records)} messages could be read" in damage
    path.write_bytes(packed[:30])
    with pytest.raises(RecordingError, match="copy it again"):
        open_recording(path)


def test_a_cut_bag_can_still_be_described(tmp_path):
    path = cut(write_mcap(tmp_path / "a.mcap", scans(COUNT, beams=50)), 0.5)
    assert describe(open_recording(path)).topics["scan"].rate_hz == pytest.approx(10.0)


def test_a_file_without_any_whole_message_is_refused_in_words(tmp_path):
    path = write_mcap(tmp_path / "a.mcap", scans(COUNT))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(RecordingError, match="0 messages could be read"):
        describe(open_recording(path))
