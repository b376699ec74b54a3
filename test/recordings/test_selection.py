"""Which topics of a recording are played, from where the ego motion comes, and what is said about the others."""

import pytest

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.recordings import open_recording
from edge_worldmodel.recordings.description import describe
from edge_worldmodel.recordings.options import parse_topics
from edge_worldmodel.recordings.playback import EgoMotion, played_records, prepare

from .bag_files import (
    BEGIN_NS,
    CLOUD,
    LASER,
    ODOMETRY,
    PERIOD_NS,
    ROS1,
    STRING,
    TF,
    cloud,
    odometry,
    scan,
    text,
    transform,
    write_mcap,
    write_ros1,
)


def bag(tmp_path, *streams, count=30):
    """Write an MCAP of streams: (topic, type, message of a time, first number, step)."""
    messages = []
    for topic, kind, make, *when in streams:
        first, step = when or (0, 1)
        for index in range(first, count, step):
            at_ns = BEGIN_NS + index * PERIOD_NS
            messages.append((topic, kind, at_ns, make(at_ns)))
    return open_recording(write_mcap(tmp_path / "a.mcap", sorted(messages, key=lambda entry: entry[2])))


def scans_in(frame="laser", beams=9):
    return lambda at_ns: scan(at_ns, frame, beams=beams)


def clouds_in(frame="lidar"):
    return lambda at_ns: cloud(at_ns, frame)


def mounted(parent, child, x_m=0.0):
    return lambda at_ns: transform(at_ns, parent, child, x_m)


def moved(child="base_link", frame="odom"):
    return lambda at_ns: odometry(at_ns, frame, child)


ONCE = (0, 10_000)


def test_a_filtered_scan_is_not_played_beside_its_own(tmp_path):
    recording = bag(
        tmp_path,
        ("/scan_filtered", LASER, scans_in()),
        ("/scan", LASER, scans_in()),
        ("/rear/scan", LASER, scans_in("rear")),
        ("/scan_throttle", LASER, scans_in(), 0, 5),
        ("/tf_static", TF, mounted("base_link", "laser"), *ONCE),
        ("/tf_static", TF, mounted("base_link", "rear"), *ONCE),
        ("/odom", ODOMETRY, moved()),
    )
    found = describe(recording)
    playback = prepare(found)
    assert dict(playback.outputs) == {"rear/scan": "scan", "scan": "scan_1"}
    assert "same sensor as 'scan' (frame 'laser')" in playback.why_left_out["scan_filtered"]
    assert "scan_throttle" in playback.why_left_out
    chosen = prepare(found, topics=("/scan_filtered",))
    assert dict(chosen.outputs) == {"scan_filtered": "scan"}
    assert dict(prepare(found, ignore=("/scan",)).outputs) == {"rear/scan": "scan", "scan_filtered": "scan_1"}
    assert dict(prepare(found, topics=parse_topics("scan_f*, rear/*")).outputs) == {
        "rear/scan": "scan",
        "scan_filtered": "scan_1",
    }


def test_a_short_name_that_comes_rarely_is_not_preferred(tmp_path):
    recording = bag(tmp_path, ("/s", LASER, scans_in(), 0, 10), ("/scan_raw", LASER, scans_in()))
    assert dict(prepare(describe(recording)).outputs) == {"scan_raw": "scan"}


def test_several_clouds_are_played_as_chosen(tmp_path):
    recording = bag(
        tmp_path,
        ("/a/points", CLOUD, clouds_in("a")),
        ("/b/points", CLOUD, clouds_in("b")),
        ("/b/points_filtered", CLOUD, clouds_in("b")),
        ("/tf_static", TF, mounted("base_link", "b"), *ONCE),
        ("/odom", ODOMETRY, moved()),
    )
    found = describe(recording)
    playback = prepare(found)
    assert dict(playback.outputs) == {"b/points": "points"}, "the pose of its sensor is known"
    assert set(playback.why_left_out) == {"a/points", "b/points_filtered"}
    both = prepare(found, topics=("*/points",))
    assert both.cloud_topics == ["points", "points_1"]
    assert both.guessed_mounts == ("a",)


@pytest.mark.parametrize("options", [{"topics": ("/nowhere",)}, {"ignore": ("nowhere*",)}])
def test_a_name_that_fits_to_no_topic_is_refused(tmp_path, options):
    with pytest.raises(RecordingError, match="no topic of the recording is '/?nowhere"):
        prepare(describe(bag(tmp_path, ("/scan", LASER, scans_in()))), **options)


def test_a_topic_that_cannot_be_played_is_refused_with_the_reason(tmp_path):
    found = describe(bag(tmp_path, ("/scan", LASER, scans_in()), ("/words", STRING, lambda at_ns: text())))
    with pytest.raises(RecordingError, match="'words' cannot be played: std_msgs/msg/String"):
        prepare(found, topics=("/words",))


def test_every_topic_that_is_left_out_has_a_line(tmp_path):
    recording = bag(
        tmp_path,
        ("/scan", LASER, scans_in()),
        ("/words", STRING, lambda at_ns: text()),
        ("/odom", ODOMETRY, moved()),
        ("/camera/odom", ODOMETRY, moved("camera_link")),
        ("/points", CLOUD, clouds_in()),
        ("/points2", CLOUD, clouds_in()),
    )
    playback = prepare(describe(recording))
    assert set(playback.why_left_out) == {"words", "camera/odom", "points2"}
    text_ = "\n".join(playback.lines())
    assert all(f"'{name}' is left out: " in text_ for name in playback.why_left_out)


def test_a_namespaced_bag_is_played(tmp_path):
    recording = bag(
        tmp_path,
        ("/tb3/scan", LASER, scans_in("tb3/base_scan")),
        ("/tb3/odom", ODOMETRY, moved("tb3/base_footprint", "tb3/odom")),
        ("/tb3/tf", TF, mounted("tb3/odom", "tb3/base_footprint")),
        ("/tb3/tf_static", TF, mounted("tb3/base_footprint", "tb3/base_link"), *ONCE),
        ("/tb3/tf_static", TF, mounted("tb3/base_link", "tb3/base_scan", 0.2), *ONCE),
    )
    playback = prepare(describe(recording))
    assert dict(playback.outputs) == {"tb3/scan": "scan"}
    assert (playback.ego.topic, playback.guessed_mounts, dict(playback.why_left_out)) == ("tb3/odom", (), {})
    assert playback.mounts["tb3/base_scan"].planar()[0] == pytest.approx(0.2)


def test_one_of_two_robots_is_played_with_its_own_transforms(tmp_path):
    streams = []
    for robot, x_m in (("r1", 0.1), ("r2", 0.7)):
        streams += [
            (f"/{robot}/scan", LASER, scans_in()), (f"/{robot}/odom", ODOMETRY, moved()),
            (f"/{robot}/tf_static", TF, mounted("base_link", "laser", x_m), *ONCE),
        ]  # fmt: skip
    recording = bag(tmp_path, *streams)
    found = describe(recording)
    playback = prepare(found)
    assert dict(playback.outputs) == {"r1/scan": "scan"}
    assert playback.mounts["laser"].planar()[0] == pytest.approx(0.1)
    assert set(playback.why_left_out) == {"r2/scan", "r2/odom", "r2/tf_static"}
    assert {record.topic for record in played_records(recording, playback)} == {"r1/scan", "r1/odom", "r1/tf_static"}
    other = prepare(found, ignore=("r1/*",))
    assert dict(other.outputs) == {"r2/scan": "scan"}
    assert other.mounts["laser"].planar()[0] == pytest.approx(0.7)


def test_folders_of_sensors_are_no_robots(tmp_path):
    recording = bag(
        tmp_path,
        ("/front/scan", LASER, scans_in("front")),
        ("/rear/scan", LASER, scans_in("rear")),
        ("/camera/points", CLOUD, clouds_in("camera")),
        ("/wheels/odom", ODOMETRY, moved()),
        *((("/tf_static"), TF, mounted("base_link", frame), *ONCE) for frame in ("front", "rear", "camera")),
    )
    assert set(prepare(describe(recording)).outputs) == {"front/scan", "rear/scan", "camera/points"}


@pytest.mark.parametrize("child", ["base_link", "base_footprint", "robot1/base_link", ""])
def test_the_odometry_of_the_base_is_preferred_to_that_of_a_faster_camera(tmp_path, child):
    recording = bag(
        tmp_path,
        ("/scan", LASER, scans_in()),
        ("/a_camera/odom", ODOMETRY, moved("camera_pose_frame", "camera_odom")),
        ("/odom", ODOMETRY, moved(child), 0, 3),
        ("/tf_static", TF, mounted(child or "base_link", "laser", 0.3), *ONCE),
    )
    playback = prepare(describe(recording))
    assert (playback.ego.topic, playback.guessed_mounts) == ("odom", ())
    assert playback.mounts["laser"].planar()[0] == pytest.approx(0.3)
    motion = EgoMotion(playback.ego)
    moves = [motion.update(r.topic, r.stamp_ns, r.value) for r in played_records(recording, playback)]
    assert sum(move is not None for move in moves) == 10


@pytest.mark.parametrize(
    "links",
    [
        [("base_link", "laser", 0.3)],
        [("laser", "base_link", -0.3)],
        [("base_footprint", "base_link", -0.1), ("base_footprint", "laser", 0.2)],
        [("odom", "base_link", 5.0), ("base_link", "mast", 0.1), ("mast", "laser", 0.2)],
    ],
)
def test_mounts_follow_links_to_parents_and_to_children(tmp_path, links):
    statics = [("/tf_static", TF, mounted(*link), *ONCE) for link in links]
    playback = prepare(describe(bag(tmp_path, ("/scan", LASER, scans_in()), ("/odom", ODOMETRY, moved()), *statics)))
    assert playback.mounts["laser"].planar()[0] == pytest.approx(0.3)
    assert playback.guessed_mounts == ()


def test_a_scanner_in_the_room_is_not_mounted_on_the_robot(tmp_path):
    statics = [("/tf_static", TF, mounted("odom", child, 1.0), *ONCE) for child in ("base_link", "laser")]
    playback = prepare(describe(bag(tmp_path, ("/scan", LASER, scans_in()), ("/odom", ODOMETRY, moved()), *statics)))
    assert playback.guessed_mounts == ("laser",)


def test_a_transform_that_is_no_pose_is_left_out_and_said(tmp_path):
    recording = bag(
        tmp_path,
        ("/scan", LASER, scans_in()),
        ("/odom", ODOMETRY, moved()),
        ("/tf_static", TF, mounted("base_link", "laser", float("nan")), *ONCE),
    )
    playback = prepare(describe(recording))
    assert playback.guessed_mounts == ("laser",)
    assert any("transform from 'base_link' to 'laser' of '/tf_static' is no pose" in line for line in playback.lines())


@pytest.mark.parametrize("begin", [120, 200])
@pytest.mark.parametrize("ros1", [False, True])
def test_topics_that_begin_late_are_found(tmp_path, begin, ros1):
    def late(kind, make):
        return [(kind, BEGIN_NS + i * PERIOD_NS, make(BEGIN_NS + i * PERIOD_NS)) for i in range(begin, 330)]

    if ros1:

        def laser(at_ns):
            return scan(at_ns, store=ROS1)

        early = [("/odom", ODOMETRY, BEGIN_NS + i * PERIOD_NS, odometry(BEGIN_NS, store=ROS1)) for i in range(330)]
        entries = [("/scan", *entry) for entry in late(LASER, laser)]
        path = write_ros1(tmp_path / "a.bag", sorted([*early, *entries], key=lambda entry: entry[2]))
    else:
        early = [("/odom", ODOMETRY, BEGIN_NS + i * PERIOD_NS, odometry(BEGIN_NS)) for i in range(330)]
        entries = [("/scan", *entry) for entry in late(LASER, scans_in())]
        path = write_mcap(tmp_path / "a.mcap", sorted([*early, *entries], key=lambda entry: entry[2]))
    found = describe(open_recording(path))
    assert dict(prepare(found).outputs) == {"scan": "scan"}
    assert found.topics["scan"].rate_hz == pytest.approx(10.0)


def test_static_transforms_that_come_late_or_one_by_one_are_found(tmp_path):
    recording = bag(
        tmp_path,
        ("/scan", LASER, scans_in()),
        ("/odom", ODOMETRY, moved()),
        ("/tf_static", TF, mounted("mast", "other"), *ONCE),
        ("/tf_static", TF, mounted("base_link", "mast", 0.1), 150, 10_000),
        ("/tf_static", TF, mounted("mast", "laser", 0.2), 200, 10_000),
        count=210,
    )
    playback = prepare(describe(recording))
    assert playback.guessed_mounts == ()
    assert playback.mounts["laser"].planar()[0] == pytest.approx(0.3)
