"""The kind of a file is told by its content; a file that is not read is refused with what it is and what to do."""

import bz2
import gzip
import lzma

import lz4.frame
import pytest
import zstandard
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.recordings import open_recording

from .bag_files import ROS1, read_all, scan_numbers, scans, write_db3, write_mcap, write_ros1, write_ros2

WRITERS = {
    "ros1": lambda path: write_ros1(path, scans(5, store=ROS1)),
    "mcap": lambda path: write_mcap(path, scans(5)),
    "db3": lambda path: write_db3(path, scans(5)),
}
PACKERS = {
    "zstd": zstandard.compress,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lz4": lz4.frame.compress,
}


@pytest.mark.parametrize("name", ["a.bag", "a.MCAP", "a.DB3", "a.db3.zstd", "a", "a.b.c", "\u00e4 %20#?.txt"])
@pytest.mark.parametrize("kind", WRITERS)
def test_a_bag_may_have_any_name(tmp_path, kind, name):
    path = WRITERS[kind](tmp_path / "written")
    path = path.rename(tmp_path / name)
    records, damage = read_all(path)
    assert (scan_numbers(records), damage) == (list(range(5)), "")


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("kind", WRITERS)
def test_a_compressed_bag_is_read_by_itself(tmp_path, kind, packer):
    path = tmp_path / "a.bag"
    path.write_bytes(PACKERS[packer](WRITERS[kind](tmp_path / "plain").read_bytes()))
    recording = open_recording(path)
    for _ in range(2):
        assert scan_numbers(list(recording.records())) == list(range(5))


@pytest.mark.parametrize("mode", [CompressionMode.FILE, CompressionMode.MESSAGE])
@pytest.mark.parametrize("alone", [False, True])
def test_compressed_bags_of_ros2_are_read_as_a_folder_and_alone(tmp_path, mode, alone):
    folder = write_ros2(tmp_path / "bag", scans(5), StoragePlugin.SQLITE3, (mode, CompressionFormat.ZSTD))
    path = next(p for p in folder.iterdir() if p.suffix != ".yaml") if alone else folder
    records, damage = read_all(path)
    assert (scan_numbers(records), damage) == (list(range(5)), "")


def test_messages_compressed_in_an_mcap_of_ros2_are_read(tmp_path):
    packing = (CompressionMode.MESSAGE, CompressionFormat.ZSTD)
    folder = write_ros2(tmp_path / "bag", scans(5), StoragePlugin.MCAP, packing)
    records, damage = read_all(folder)
    assert (scan_numbers(records), damage) == (list(range(5)), "")


@pytest.mark.parametrize("compression", [None, *Writer1.CompressionFormat])
def test_chunks_of_a_ros1_bag_may_be_compressed(tmp_path, compression):
    records, damage = read_all(write_ros1(tmp_path / "a.bag", scans(5, store=ROS1), compression=compression))
    assert (scan_numbers(records), damage) == (list(range(5)), "")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"#ROSBAG V1.2\n", "version 1: convert it with 'rosbag fix'"),
        (b"#ROSRECORD V1.1\n", "version 1: convert it with 'rosbag fix'"),
        (b"PK\x03\x04 and more", "zip archive: unpack it"),
        (b"a.bag".ljust(257, b"\0") + b"ustar\x0000", "tar archive: unpack it"),
        (gzip.compress(b"a.bag".ljust(257, b"\0") + b"ustar\x0000", mtime=0), "tar archive: unpack it"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "'git lfs pull'"),
        (b"<!doctype html><html>", "web page"),
        (b"\xd4\xc3\xb2\xa1\x02\0\x04\0", "network capture"),
        (b"\0" * 4096, "begins with zeros"),
    ],
)
def test_other_files_are_named_with_their_remedy(tmp_path, content, words):
    path = tmp_path / "a.bag"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=words):
        open_recording(path)


def test_a_database_that_is_no_bag_is_refused(tmp_path):
    import sqlite3

    with sqlite3.connect(tmp_path / "a.db3") as database:
        database.execute("CREATE TABLE people(name TEXT)")
    with pytest.raises(RecordingError, match="without the tables of a ROS 2 bag"):
        list(open_recording(tmp_path / "a.db3").records())
