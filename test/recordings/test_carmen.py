"""CARMEN logs of all kinds of scanners, with comments in any encoding and damaged lines."""

import gzip
import lzma

import numpy as np
import pytest
import zstandard

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.recordings import open_recording
from edge_worldmodel.recordings.description import describe
from edge_worldmodel.recordings.playback import prepare
from edge_worldmodel.recordings.records import Scan, Transform

from .bag_files import read_all

COUNT = 12


def flaser(index, beams, keyword="FLASER"):
    time = f"{1000.0 + 0.1 * index:.3f} host {0.1 * index:.3f}"
    return f"{keyword} {beams} {' '.join(['2.5'] * beams)} 0.2 0 0 0 0 0 {time}"


def configured(index, beams, start_deg, fov_deg, step_deg, keyword="ROBOTLASER1", remissions=0):
    angles = " ".join(f"{np.radians(value):.9f}" for value in (start_deg, fov_deg, step_deg))
    time = f"{1000.0 + 0.1 * index:.3f} host {0.1 * index:.3f}"
    poses = "" if keyword.startswith("RAW") else "0.2 0 0 0 0 0 0 0 0 0 0 "
    values = " ".join(["2.5"] * beams + [str(remissions)] + ["7"] * remissions)
    return f"{keyword} 0 {angles} 30.0 0.01 0 {beams} {values} {poses}{time}"


def log(path, lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def first_scan(path):
    return next(record for record in open_recording(path).records() if isinstance(record.value, Scan))


def degrees(scan):
    last_rad = scan.angle_min_rad + scan.angle_increment_rad * (len(scan.ranges_m) - 1)
    return np.degrees([scan.angle_min_rad, last_rad])


@pytest.mark.parametrize(
    ("beams", "first_deg", "last_deg"),
    [(101, -50.0, 50.0), (201, -50.0, 50.0), (401, -50.0, 50.0), (400, -50.0, 49.75), (541, -135.0, 135.0),
     (1081, -135.0, 135.0), (1080, -135.0, 134.75), (271, -135.0, 135.0), (683, -119.9, 119.9), (181, -90.0, 90.0)],
)  # fmt: skip
@pytest.mark.parametrize("keyword", ["FLASER", "RLASER"])
def test_the_number_of_beams_tells_the_field_of_view(tmp_path, beams, first_deg, last_deg, keyword):
    scan = first_scan(log(tmp_path / "log", [flaser(i, beams, keyword) for i in range(COUNT)])).value
    np.testing.assert_allclose(degrees(scan), [first_deg, last_deg], atol=0.1)


@pytest.mark.parametrize("name", ["laser_front_laser_fov", "robot_front_laser_fov"])
def test_a_declared_field_of_view_is_used(tmp_path, name):
    lines = [f"PARAM {name} 270.0 1.0 host 0.0", *(flaser(i, 361) for i in range(COUNT))]
    np.testing.assert_allclose(degrees(first_scan(log(tmp_path / "log", lines)).value), [-135.0, 135.0], atol=0.1)


def test_an_unusual_number_of_beams_is_said(tmp_path):
    recording = open_recording(log(tmp_path / "log", [flaser(i, 333) for i in range(COUNT)]))
    assert len(list(recording.records())) == 2 * COUNT + 1
    (remark,) = recording.remarks
    assert "333 beams" in remark and "180 degrees is assumed" in remark


@pytest.mark.parametrize(
    ("beams", "start_deg", "fov_deg", "step_deg"),
    [(101, -50, 100, 1.0), (401, -50, 100, 0.25), (541, -135, 270, 0.5), (1081, -135, 270, 0.25), (181, -90, 180, 0.0)],
)
@pytest.mark.parametrize("keyword", ["ROBOTLASER1", "ROBOTLASER2", "RAWLASER1", "RAWLASER2"])
@pytest.mark.parametrize("remissions", [0, 5])
def test_configured_scanners_keep_their_angles(tmp_path, beams, start_deg, fov_deg, step_deg, keyword, remissions):
    line = configured(0, beams, start_deg, fov_deg, step_deg, keyword, remissions)
    record = first_scan(log(tmp_path / "log", [line]))
    np.testing.assert_allclose(degrees(record.value), [start_deg, start_deg + fov_deg], atol=0.01)
    assert record.value.range_max_m == 30.0
    assert record.stamp_ns == 1_000_000_000_000
    assert record.topic.removesuffix("_raw") == ("front" if keyword.endswith("1") else "rear")


@pytest.mark.parametrize("step_deg", [0.0, 0.25, 1.0])
def test_a_step_that_contradicts_the_field_of_view_is_not_used(tmp_path, step_deg):
    scan = first_scan(log(tmp_path / "log", [configured(0, 541, -135, 270, step_deg)])).value
    np.testing.assert_allclose(degrees(scan), [-135.0, 135.0], atol=0.1)


def test_raw_scans_are_played_with_the_odometry_beside_them(tmp_path):
    lines = []
    for i in range(COUNT):
        lines += [
            f"ODOM {0.05 * i} 0 0 0.5 0 0 {1000.0 + 0.1 * i:.3f} host 0",
            configured(i, 541, -135, 270, 0.5, "RAWLASER1"),
        ]
    playback = prepare(describe(open_recording(log(tmp_path / "log", lines))))
    assert dict(playback.outputs) == {"front_raw": "scan"}
    assert playback.ego.kind == "odometry"
    assert playback.guessed_mounts == ("front_laser",), "raw lines have no pose of the scanner"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le", "cp1251"])
def test_comments_may_have_any_characters(tmp_path, encoding):
    comment = "# Aufnahme: Büro, Gang und Küche".replace("ü", "\u0434" if encoding == "cp1251" else "ü")
    body = "\n".join(flaser(i, 181) for i in range(COUNT)) + "\n"
    data = (comment + "\n").encode("utf-8" if encoding == "utf-16-le" else encoding) + body.encode()
    path = tmp_path / "log.clf"
    path.write_bytes(b"\xef\xbb\xbf" + data if encoding == "utf-8" else data)
    records, damage = read_all(path)
    assert (sum(isinstance(r.value, Scan) for r in records), damage) == (COUNT, "")


def test_many_comments_tabs_and_windows_line_ends_do_no_harm(tmp_path):
    lines = ["# a comment"] * 1000 + [flaser(i, 181).replace(" ", "\t") for i in range(COUNT)]
    path = tmp_path / "log"
    path.write_bytes("\r\n".join(lines).encode())
    records, damage = read_all(path)
    assert (sum(isinstance(r.value, Scan) for r in records), damage) == (COUNT, "")


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, zstandard.compress])
def test_compressed_logs_are_read_whatever_their_name(tmp_path, pack):
    path = tmp_path / "log"
    path.write_bytes(pack("\n".join(flaser(i, 181) for i in range(COUNT)).encode()))
    records, damage = read_all(path)
    assert (sum(isinstance(r.value, Scan) for r in records), damage) == (COUNT, "")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda line: line.replace("2.5", "2.x", 1), "'2.x' is no number"),
        (lambda line: line.replace("FLASER 181", "FLASER 1e9", 1), "'1e9' is no number of beams"),
        (lambda line: line.replace("FLASER 181", "FLASER -1", 1), "'-1' is no number of beams"),
        (lambda line: line.replace("FLASER 181", "FLASER 999", 1), "'host' is no number"),
        (lambda line: line[: len(line) // 2], "line of 181 beams has only"),
        (lambda line: line.replace("0.2 0 0 0 0 0", "nan 0 0 0 0 0", 1), "is no place"),
        (lambda line: line.replace("1000.500", "-1", 1), "'-1' is no time"),
        (lambda line: line.replace("1000.500", "1e300", 1), "is no time"),
        (lambda line: "FLASER", "only 1 words"),
        (lambda line: "ROBOTLASER1", "only 1 words"),
        (lambda line: "RAWLASER1 0 1 2 3", "only 5 words"),
    ],
)  # fmt: skip
def test_a_damaged_line_costs_only_itself_and_is_told(tmp_path, damage, words):
    lines = [flaser(i, 181) for i in range(COUNT)]
    lines[5] = damage(lines[5])
    records, text = read_all(log(tmp_path / "log", lines))
    assert sum(isinstance(record.value, Scan) for record in records) == COUNT - 1
    assert words in text
    assert f"damaged after line 5, {COUNT - 1} scans could be read, 1 lines are lost" in text


def test_a_cut_compressed_log_gives_what_is_there(tmp_path):
    path = tmp_path / "log.gz"
    rng = np.random.default_rng(0)
    lines = [
        flaser(i, 181).replace("2.5 " * 60, " ".join(map(str, rng.uniform(0, 9, 60).round(3))) + " ", 1)
        for i in range(400)
    ]
    packed = gzip.compress("\n".join(lines).encode())
    path.write_bytes(packed[: len(packed) // 2])
    records, text = read_all(path)
    assert 100 < sum(isinstance(record.value, Scan) for record in records) < 400
    assert "the file is cut or damaged" in text


def test_the_pose_of_a_scanner_that_starts_late_is_found_without_reading_all_scans(tmp_path):
    lines = [flaser(i, 181) for i in range(300)] + [flaser(300 + i, 181, "RLASER") for i in range(COUNT)]
    recording = open_recording(log(tmp_path / "log", lines))
    mounts = list(recording.records(lambda name: name == "tf_static"))
    assert {record.value.child_frame_id for record in mounts} == {"front_laser", "rear_laser"}
    assert all(isinstance(record.value, Transform) for record in mounts)


def test_text_that_only_looks_similar_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="nor a CARMEN log"):
        open_recording(log(tmp_path / "log", ["FLASERS are fine", "the ODOM of a car"]))
