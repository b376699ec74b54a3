"""Every format gives the same records; damage gives one named error, never a trace."""

import os

import numpy as np
import pytest

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.recordings import open_recording
from edge_worldmodel.recordings.records import RecordedOdometry, Scan, Transform


def _of(path, kind):
    return [record for record in open_recording(path).records() if isinstance(record.value, kind)]


def test_every_bag_format_gives_the_same_scans(bag, samples):
    scans = _of(bag, Scan)
    assert [record.stamp_ns for record in scans] == [
        samples.BEGIN_NS + i * samples.PERIOD_NS for i in range(samples.SCANS)
    ]
    assert {record.topic for record in scans} == {"scan"}
    for index, record in enumerate(scans):
        np.testing.assert_array_equal(record.value.ranges_m, samples.scan_ranges(index))
        assert record.value.frame_id == "laser"
        assert (record.value.angle_min_rad, record.value.angle_increment_rad) == (-1.0, 0.25)
        assert record.value.range_max_m == 10.0


def test_every_bag_format_gives_the_same_odometry(bag, samples):
    odometry = _of(bag, RecordedOdometry)
    assert len(odometry) == samples.SCANS
    assert odometry[-1].topic == "wheels/odom"
    np.testing.assert_allclose(
        odometry[-1].value.pose.planar(), [samples.SPEED_MPS * 0.1 * (samples.SCANS - 1), 0.0, 0.0]
    )
    assert odometry[-1].value.twist == (samples.SPEED_MPS, 0.0, 0.0)


@pytest.mark.parametrize("name", ["log.clf", "log.clf.bz2", "named_otherwise"])
def test_carmen_gives_scans_of_both_lasers_and_their_mounts(tmp_path, name, samples):
    path = samples.write_carmen(tmp_path / name)
    scans = _of(path, Scan)
    assert [record.topic for record in scans[:2]] == ["front", "rear"]
    assert len(scans) == 2 * samples.SCANS
    assert scans[-1].stamp_ns == 1_001_900_000_000
    assert scans[0].value.range_max_m == 30.0
    mounts = {record.value.child_frame_id: record.value.pose.planar() for record in _of(path, Transform)}
    np.testing.assert_allclose(mounts["front_laser"], [0.2, 0.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(np.abs(mounts["rear_laser"]), [0.2, 0.0, np.pi], atol=1e-9)


@pytest.mark.parametrize(("beams", "last_deg"), [(180, 89.0), (181, 90.0), (360, 89.5), (361, 90.0)])
def test_carmen_beams_cover_the_half_circle(tmp_path, beams, last_deg, samples):
    scan = _of(samples.write_carmen(tmp_path / "log.clf", beams), Scan)[0].value
    assert scan.angle_min_rad == pytest.approx(-np.pi / 2)
    last_rad = scan.angle_min_rad + scan.angle_increment_rad * (len(scan.ranges_m) - 1)
    assert np.degrees(last_rad) == pytest.approx(last_deg)


def test_carmen_odometry_comes_once_for_each_time(tmp_path, samples):
    stamps = [record.stamp_ns for record in _of(samples.write_carmen(tmp_path / "log.clf"), RecordedOdometry)]
    assert len(stamps) == samples.SCANS
    assert stamps == sorted(set(stamps))


def test_damaged_bag_is_a_named_error_that_counts_what_was_read(bag):
    path = bag if bag.is_file() else next(p for p in bag.iterdir() if p.suffix in (".mcap", ".db3"))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(RecordingError, match=r"\d+ messages could be read"):
        list(open_recording(bag).records())


def test_damaged_carmen_log_counts_what_was_read(tmp_path, samples):
    path = samples.write_carmen(tmp_path / "log.clf")
    content = path.read_text()
    path.write_text(content[: int(len(content) * 0.6)].rsplit(" ", 40)[0])
    with pytest.raises(RecordingError, match=r"after line \d+, (2[0-9]|1[0-9]) scans could be read"):
        list(open_recording(path).records())


@pytest.mark.parametrize("content", [b"", b"hello\n", b"\x00" * 100, b"BZh9 not really", b"\x1f\x8b broken"])
def test_other_files_are_refused_by_name(tmp_path, content):
    path = tmp_path / "something.bag"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="something.bag"):
        open_recording(path)


def test_missing_file_and_foreign_folder_are_refused(tmp_path):
    with pytest.raises(RecordingError, match="cannot be opened"):
        open_recording(tmp_path / "none.bag")
    with pytest.raises(RecordingError, match="metadata.yaml"):
        open_recording(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_unreadable_file_is_refused(tmp_path, samples):
    path = samples.write_ros1(tmp_path / "secret.bag")
    path.chmod(0)
    with pytest.raises(RecordingError, match="cannot be opened"):
        open_recording(path)


RECORDED = {
    "lidar_moving/datmo_overtakes.bag": ({"scan"}, 339, {360}),
    "lidar_people/leg_tracker_crowd_fixed.bag": ({"scan"}, 1265, {512}),
    "lidar_people/obstacle_detector_two_scanners.bag": ({"front_scan", "rear_scan"}, 661, {726}),
    "lidar_static/fr079.clf.bz2": ({"front"}, 4934, {360}),
    "lidar_static/mit-csail.clf.bz2": ({"front"}, 1988, {361}),
    # some of its scans have one beam less
    "lidar_static/fr-clinic_robotlaser.clf.bz2": ({"front"}, 6917, {180, 181}),
}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_data_is_read_completely(name, shared_data):
    topics, count, beams = RECORDED[name]
    scans = _of(shared_data / name, Scan)
    assert {record.topic for record in scans} == topics
    assert len(scans) == count
    assert {len(record.value.ranges_m) for record in scans} == beams
