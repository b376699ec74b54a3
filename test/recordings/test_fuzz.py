"""Any file whatever: every reader gives records or an error in words, keeps its memory, and takes nothing silently.

The cases are made from sound recordings: bytes, records and fields spoiled, repeated, cut out or exchanged. The long
form is EDGE_WORLDMODEL_CASES=10000.
"""

import os
import re
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.writer import CompressionType
from rosbags.rosbag1 import Writer as Writer1

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.recordings import open_recording
from edge_worldmodel.recordings.description import describe
from edge_worldmodel.recordings.playback import EgoMotion, MovingMounts, played_records, prepare, scheduled
from edge_worldmodel.recordings.records import Cloud, Record, Scan

from .bag_files import (
    BEGIN_NS,
    CLOUD,
    ODOMETRY,
    PERIOD_NS,
    ROS1,
    ROS2,
    STRING,
    TF,
    cloud,
    odometry,
    read_all,
    scans,
    text,
    transform,
    write_db3,
    write_mcap,
    write_ros1,
)

CASES = int(os.environ.get("EDGE_WORLDMODEL_CASES", "40"))
SCANS = 6
PYTHON_WORDS = re.compile(
    r"Traceback|Error\b|Exception|NoneType|object is|expected tuple|unpack|argument|codec|struct|errno|0x[0-9a-f]{6}|"
    r"subscriptable|invalid literal|index out of|not iterable|KeyError"
)


def everything(store):
    """Return messages of every type that is read, and of one that is not."""
    messages = scans(SCANS, store=store)
    for index in range(SCANS):
        at_ns = BEGIN_NS + index * PERIOD_NS
        messages += [
            ("/odom", ODOMETRY, at_ns, odometry(at_ns, x_m=0.1 * index, store=store)),
            ("/points", CLOUD, at_ns, cloud(at_ns, store=store)),
            ("/tf", TF, at_ns, transform(at_ns, "base_link", "laser", store=store)),
            ("/words", STRING, at_ns, text(store=store)),
        ]
    return sorted(messages, key=lambda entry: entry[2])


def carmen():
    lines = ["# a comment", "PARAM laser_front_laser_fov 180 1.0 host 0.0"]
    for i in range(SCANS):
        time = f"{1000.0 + 0.1 * i:.3f} host {0.1 * i:.3f}"
        lines += [
            f"ODOM {0.05 * i} 0 0 0.5 0 0 {time}",
            f"FLASER 5 1 2 3 4 5 0.2 0 0 {0.05 * i} 0 0 {time}",
            f"ROBOTLASER1 0 -1.57 3.14 0.785 30.0 0.01 0 5 1 2 3 4 5 2 7 7 0.2 0 0 0 0 0 0 0 0 0 0 {time}",
            f"RAWLASER2 0 -1.57 3.14 0.785 30.0 0.01 0 5 1 2 3 4 5 0 {time}",
        ]
    return "\n".join(lines).encode() + b"\n"


def _bytes(write):
    with tempfile.TemporaryDirectory() as folder:
        return write(Path(folder) / "a").read_bytes()


def sound():
    """Return the bytes of sound recordings by the name of their reader."""
    definitions = {kind: (ROS2.generate_msgdef(kind, ros_version=2)[0], "ros2msg") for kind in (TF, ODOMETRY)}
    lz4 = Writer1.CompressionFormat.LZ4
    return {
        "ros1": [
            _bytes(lambda path: write_ros1(path, everything(ROS1), chunk_bytes=700)),
            _bytes(lambda path: write_ros1(path, everything(ROS1), chunk_bytes=2000, compression=lz4)),
        ],
        "mcap": [
            _bytes(lambda path: write_mcap(path, everything(ROS2), chunk_bytes=700)),
            _bytes(lambda path: write_mcap(path, everything(ROS2), compression=CompressionType.ZSTD)),
            _bytes(lambda path: write_mcap(path, everything(ROS2), use_chunking=False)),
        ],
        "sqlite": [_bytes(lambda path: write_db3(path, everything(ROS2), definitions))],
        "carmen": [carmen()],
    }


SOUND = sound()
MARKS = {
    "ros1": re.compile(rb"op=|conn=|time=|size=|count=|type=|topic=|chunk_pos=|compression=|index_pos="),
    "mcap": re.compile(rb"sensor_msgs|ros2msg|cdr|zstd|/scan|/tf|\x05\xa3|laser|[\x02\x04\x06-\x0b\x0f].\0{7}"),
    "sqlite": re.compile(rb"/scan|cdr|LaserScan|\x0d\x00|\x05\x00|\x0a\x00|laser"),
    "carmen": re.compile(rb"LASER|ODOM| 5 | 2 |\n|1000\.\d"),
}
SIZES = st.sampled_from([0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF])
WORDS = st.sampled_from(
    [
        b"nan",
        b"inf",
        b"-1",
        b"1e400",
        b"99999999999999999999",
        b"",
        b"\0",
        b"\xff\xfe",
        b" ",
        b"\n",
        b"abc",
        "ä".encode(),
    ]
)


@st.composite
def spoiled(draw, kind):
    """Draw a recording of a kind with up to four changes, near its structures or anywhere."""
    data = bytearray(draw(st.sampled_from(SOUND[kind])))
    for _ in range(draw(st.integers(1, 4))):
        places = [match.start() for match in MARKS[kind].finditer(data)]
        if places and draw(st.booleans()):
            at = draw(st.sampled_from(places)) + draw(st.integers(-10, 12))
        else:
            at = draw(st.integers(0, len(data)))
        at = min(max(at, 0), len(data))
        length = draw(st.integers(0, 40))
        how = draw(st.sampled_from(["bytes", "size", "cut", "remove", "repeat", "zeros", "exchange", "word"]))
        if how == "bytes":
            data[at : at + length] = draw(st.binary(max_size=length))
        elif how == "size":
            width = draw(st.sampled_from([1, 2, 4, 8]))
            data[at : at + width] = (draw(SIZES) % (1 << 8 * width)).to_bytes(
                width, draw(st.sampled_from(["little", "big"]))
            )
        elif how == "cut":
            del data[at:]
        elif how == "remove":
            del data[at : at + length * 20]
        elif how == "repeat":
            data[at:at] = data[at : at + length * 20]
        elif how == "zeros":
            data[at : at + length * 50] = bytes(min(length * 50, len(data) - at))
        elif how == "exchange":
            other = draw(st.integers(0, len(data)))
            first, second = data[at : at + length], data[other : other + length]
            data[at : at + length], data[other : other + len(second)] = second, first
        else:
            data[at : at + length % 6] = draw(WORDS)
    return bytes(data)


def play(path):
    """Do what replay does with a recording; return its records and the errors in words."""
    words = []
    try:
        records, damage = read_all(path)
        words += [damage] if damage else []
    except RecordingError as error:
        records = []
        words.append(str(error))
    try:
        recording = open_recording(path)
        found = describe(recording)
        playback = prepare(found)
        motion, mounts = EgoMotion(playback.ego), MovingMounts(found, playback)
        now_ns = 0
        for time_ns, record in scheduled(played_records(recording, playback), playback.clock_shift_ns, 0.0, 0.0):
            assert time_ns >= now_ns
            now_ns = time_ns
            motion.update(record.topic, record.stamp_ns, record.value)
            mounts.update(record.value)
        words += playback.lines()
    except RecordingError as error:
        words.append(str(error))
    return records, words


@cache
def usual(kind):
    """Return what is said about the sound recordings of a kind."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording"
        lines = set()
        for data in SOUND[kind]:
            path.write_bytes(data)
            lines |= set(play(path)[1])
        return lines


def check(kind, data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording"
        path.write_bytes(data)
        records, words = play(path)
    for line in words:
        found = PYTHON_WORDS.search(line.replace(str(path), ""))
        assert found is None, line
    for record in records:
        assert isinstance(record, Record) and isinstance(record.log_ns, int) and isinstance(record.stamp_ns, int)
        assert record.stamp_ns < 2**63 and abs(record.log_ns) < 2**65
        if isinstance(record.value, Scan):
            assert record.value.ranges_m.dtype == np.float32 and record.value.ranges_m.ndim == 1
        if isinstance(record.value, Cloud):
            assert len(record.value.data) <= len(data)
    readable = {"ros1": 4 * SCANS, "mcap": 4 * SCANS, "sqlite": 4 * SCANS, "carmen": 0}[kind]
    assert len(records) >= readable or set(words) - usual(kind), "nothing is taken silently"


fuzzed = settings(
    max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.mark.parametrize("kind", SOUND)
def test_sound_recordings_are_played_without_a_word_of_damage(tmp_path, kind):
    for data in SOUND[kind]:
        (tmp_path / "a").write_bytes(data)
        records, words = play(tmp_path / "a")
        assert len(records) > 3 * SCANS
        assert not any("damaged" in line for line in words)


@fuzzed
@given(data=spoiled("ros1"))
def test_any_ros1_bag(data):
    check("ros1", data)


@fuzzed
@given(data=spoiled("mcap"))
def test_any_mcap(data):
    check("mcap", data)


@fuzzed
@given(data=spoiled("sqlite"))
def test_any_sqlite_bag(data):
    check("sqlite", data)


@fuzzed
@given(data=spoiled("carmen"))
def test_any_carmen_log(data):
    check("carmen", data)
