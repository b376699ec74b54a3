"""How a recording is played: ego motion, sensor places, clock."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_worldmodel.core.errors import ConfigError, RecordingError
from edge_worldmodel.core.geometry import quaternion_from_yaw
from edge_worldmodel.core.time_units import NS_PER_S
from edge_worldmodel.recordings import open_recording
from edge_worldmodel.recordings.description import Description, Topic, describe
from edge_worldmodel.recordings.options import parse_goal, parse_sensor_poses
from edge_worldmodel.recordings.playback import (
    IDENTITY,
    EgoMotion,
    EgoSource,
    GoalAhead,
    MovingMounts,
    chain,
    prepare,
    scheduled,
)
from edge_worldmodel.recordings.records import Pose3D, Record, RecordedOdometry, RecordedPose, Scan, Transform

BEGIN_NS, SPEED_MPS = 1_700_000_000_000_000_000, 0.5
SCAN = Scan("laser", -1.0, 0.1, 0.1, 10.0, np.ones(3, dtype=np.float32))


class _Recording:
    path, unread, remarks = "made-up", {}, ()

    def __init__(self, records):
        self._records = records

    def records(self, wanted=lambda name: True):
        return (record for record in self._records if wanted(record.topic))


def _topic(name, kind, frame_id="laser", child="", lag_ns=0):
    return Topic(name, kind, frame_id, child, 11, 0, NS_PER_S, lag_ns)


def _found(*topics, transforms=()):
    return Description({t.name: t for t in topics}, {t.child_frame_id: t for t in transforms})


def _transform(parent, child, x_m=0.0, yaw_rad=0.0, static=True):
    return Transform(parent, child, Pose3D((x_m, 0.0, 0.0), quaternion_from_yaw(yaw_rad)), static)


def test_odometry_is_preferred_then_tf_then_the_own_pose_then_none():
    scan, odometry = _topic("scan", "Scan"), _topic("odom", "Odometry", "odom", "base_link")
    pose, other = _topic("ego_pose", "Pose", "map"), _topic("red_pose", "Pose", "map")
    moving = _transform("odom", "base_link", static=False)
    assert prepare(_found(scan, odometry, pose, transforms=[moving])).ego.kind == "odometry"
    assert prepare(_found(scan, pose, transforms=[moving])).ego.kind == "tf"
    assert prepare(_found(scan, pose, other)).ego == prepare(_found(scan, pose), "auto").ego
    assert prepare(_found(scan)).ego.kind == "fixed"


def test_poses_that_could_all_be_the_robot_are_not_guessed_from():
    ego = prepare(_found(_topic("scan", "Scan"), _topic("a", "Pose"), _topic("b", "Pose"))).ego
    assert ego.kind == "fixed"
    assert "a, b" in ego.reason


@pytest.mark.parametrize(
    ("choice", "kind"), [("fixed", "fixed"), ("pose:/red_pose", "pose"), ("odometry:odom", "odometry")]
)
def test_ego_motion_can_be_chosen(choice, kind):
    found = _found(_topic("scan", "Scan"), _topic("odom", "Odometry"), _topic("red_pose", "Pose"))
    assert prepare(found, choice).ego.kind == kind


@pytest.mark.parametrize("choice", ["pose:none", "tf:none", "odometry:red_pose", "nonsense"])
def test_a_choice_that_is_not_there_is_refused(choice):
    with pytest.raises(RecordingError, match=choice):
        prepare(_found(_topic("scan", "Scan"), _topic("red_pose", "Pose")), choice)


def test_mounts_follow_the_transforms_and_can_be_told():
    transforms = [_transform("base_link", "mast", 0.1, np.pi / 2), _transform("mast", "laser", 1.0)]
    found = _found(_topic("scan", "Scan"), _topic("odom", "Odometry", "odom", "base_link"), transforms=transforms)
    np.testing.assert_allclose(prepare(found).mounts["laser"].planar(), [0.1, 1.0, np.pi / 2], atol=1e-9)
    assert prepare(found).guessed_mounts == ()
    told = prepare(found, mounts=parse_sensor_poses("/laser=1, 2, 0.5"))
    np.testing.assert_allclose(told.mounts["laser"].planar(), [1.0, 2.0, 0.5], atol=1e-9)
    assert chain({}, "base_link", "laser") is None


def test_a_mount_keeps_its_whole_orientation():
    told = parse_sensor_poses("laser=0.1,0,0.3,3.141592653589793,0,0")["laser"]
    np.testing.assert_allclose(told.matrix() @ [0.0, 1.0, 0.0, 1.0], [0.1, -1.0, 0.3, 1.0], atol=1e-9)
    np.testing.assert_allclose(Pose3D.from_matrix(told.matrix()).matrix(), told.matrix(), atol=1e-12)


def test_a_pan_head_follows_the_transforms_of_the_recording():
    turned = [_transform("head", "laser", yaw_rad=yaw, static=False) for yaw in (0.0, 1.0)]
    head = [Record("tf", t, t, transform) for t, transform in enumerate(turned)]
    fixed = Record("tf_static", 0, 0, _transform("base_link", "head", 0.2))
    scan = Record("scan", 2, 2, SCAN)
    odometry = Record("odom", 2, 2, RecordedOdometry("odom", "base_link", IDENTITY, (0.0, 0.0, 0.0)))
    found = describe(_Recording([fixed, *head, scan, odometry]))
    playback = prepare(found)
    assert playback.moving_mounts == ("laser",)
    mounts = MovingMounts(found, playback)
    assert mounts.update(SCAN) == {}
    seen = mounts.update(_transform("head", "laser", yaw_rad=0.5, static=False))
    np.testing.assert_allclose(seen["laser"].planar(), [0.2, 0.0, 0.5], atol=1e-9)
    assert prepare(found, mounts=parse_sensor_poses("laser=0,0,0")).moving_mounts == ()
    still = prepare(describe(_Recording([fixed, head[0], head[0], scan, odometry])))
    assert still.moving_mounts == () and MovingMounts(found, still).update(head[1].value) == {}


def test_a_transform_loop_ends():
    assert chain({"a": _transform("b", "a"), "b": _transform("a", "b")}, "base_link", "a") is None


def test_two_scanners_are_played_together_only_where_both_places_are_known():
    scans = (_topic("front", "Scan", "front_laser"), _topic("rear", "Scan", "rear_laser"))
    lone = prepare(_found(*scans))
    assert dict(lone.outputs) == {"front": "scan"}
    assert (lone.guessed_mounts, lone.left_out) == (("front_laser",), ("rear",))
    both = prepare(_found(*scans), mounts=parse_sensor_poses("front_laser=0,0,0;rear_laser=0,0,3.14"))
    assert dict(both.outputs) == {"front": "scan", "rear": "scan_1"}
    assert both.scan_topics == ["scan", "scan_1"]


def test_recording_without_sensors_is_refused():
    with pytest.raises(RecordingError, match="no LaserScan"):
        prepare(_found(_topic("odom", "Odometry")))


@given(lag_s=st.floats(-2.0, 2.0), jitter_s=st.lists(st.floats(0.0, 0.05), min_size=3, max_size=20))
def test_no_stamp_is_ever_ahead_of_the_clock_and_the_clock_never_goes_back(lag_s, jitter_s):
    records = []
    for index, jitter in enumerate(jitter_s):
        stamp_ns = BEGIN_NS + index * NS_PER_S // 10
        records.append(Record("scan", stamp_ns + int((lag_s + jitter) * NS_PER_S), stamp_ns, SCAN))
    shift_ns = max(0, -min(record.log_ns - record.stamp_ns for record in records[:2]))
    times = [(now_ns, record.stamp_ns) for now_ns, record in scheduled(iter(records), shift_ns, 0.0, 0.0)]
    assert len(times) == len(records)
    assert all(stamp_ns <= now_ns for now_ns, stamp_ns in times)
    assert [now_ns for now_ns, _ in times] == sorted(now_ns for now_ns, _ in times)


def test_stamps_ahead_of_the_recorders_clock_shift_the_played_clock(tmp_path, samples):
    recording = open_recording(samples.write_ros1(tmp_path / "ahead.bag", lag_ns=-600_000_000))
    assert prepare(describe(recording)).clock_shift_ns == 600_000_000


def test_a_part_can_be_played(tmp_path, samples):
    recording = open_recording(samples.write_ros1(tmp_path / "all.bag"))
    part = [r for _, r in scheduled(recording.records(), 0, 0.5, 1.0) if isinstance(r.value, Scan)]
    assert (part[0].stamp_ns - BEGIN_NS, part[-1].stamp_ns - BEGIN_NS) == (500_000_000, 1_500_000_000)


def test_poses_give_the_twist_of_the_base():
    motion = EgoMotion(EgoSource("pose", "ego", "ego", ""))
    result = None
    for index in range(50):
        yaw = np.pi / 2
        pose = Pose3D((0.0, SPEED_MPS * index / 120, 0.0), quaternion_from_yaw(yaw))
        result = motion.update("ego", BEGIN_NS + index * NS_PER_S // 120, RecordedPose("map", pose))
    np.testing.assert_allclose(result[0], [0.0, SPEED_MPS * 49 / 120, np.pi / 2], atol=1e-9)
    np.testing.assert_allclose(result[1], [SPEED_MPS, 0.0, 0.0], atol=1e-6)
    assert motion.update("other", BEGIN_NS * 2, RecordedPose("map", IDENTITY)) is None


def test_poses_that_are_no_numbers_or_go_back_in_time_are_dropped():
    motion = EgoMotion(EgoSource("pose", "ego", "ego", ""))
    assert motion.update("ego", 2, RecordedPose("map", IDENTITY)) is not None
    assert motion.update("ego", 1, RecordedPose("map", IDENTITY)) is None
    broken = Pose3D((float("nan"), 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    assert motion.update("ego", 3, RecordedPose("map", broken)) is None


def test_a_jump_of_motion_capture_gives_no_speed():
    motion = EgoMotion(EgoSource("pose", "ego", "ego", ""))
    motion.update("ego", 0, RecordedPose("map", IDENTITY))
    far = Pose3D((50.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    _, twist = motion.update("ego", NS_PER_S // 10, RecordedPose("map", far))
    np.testing.assert_array_equal(twist, np.zeros(3))


@pytest.mark.parametrize("text", ["laser", "laser=1,2", "laser=a,b,c", "laser=1,2,3,4"])
def test_unreadable_sensor_pose_is_quoted(text):
    with pytest.raises(ConfigError, match=text):
        parse_sensor_poses(text)


def test_goal_is_read_or_quoted():
    assert parse_goal("") is None
    assert parse_goal("4 0.5") == parse_goal("4, 0.5") == (4.0, 0.5)
    with pytest.raises(ConfigError, match="north"):
        parse_goal("north")


def test_carmen_log_is_played_with_known_mounts(tmp_path, samples):
    playback = prepare(describe(open_recording(samples.write_carmen(tmp_path / "log.clf"))))
    assert dict(playback.outputs) == {"front": "scan", "rear": "scan_1"}
    assert playback.guessed_mounts == ()
    assert playback.scan_rate_hz == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("name", "ego", "rate_hz"),
    [
        ("lidar_moving/datmo_overtakes.bag", "pose", 12.8),
        ("lidar_people/leg_tracker_crowd_fixed.bag", "fixed", 10.0),
        ("lidar_static/fr079.clf.bz2", "odometry", 4.7),
    ],
)
def test_recorded_data_is_understood(name, shared_data, ego, rate_hz):
    playback = prepare(describe(open_recording(shared_data / name)))
    assert playback.ego.kind == ego
    assert playback.scan_rate_hz == pytest.approx(rate_hz, abs=0.2)


def test_the_goal_moves_on_when_reached_passed_or_left_behind():
    goal = GoalAhead(5.0)
    assert goal.update(np.zeros(3))
    np.testing.assert_allclose(goal.goal, [5.0, 0.0, 0.0])
    assert not goal.update(np.array([3.0, 0.0, 0.0]))
    assert goal.update(np.array([4.5, 1.0, 0.0]))
    np.testing.assert_allclose(goal.goal, [9.5, 1.0, 0.0])
    assert goal.update(np.array([4.5, 1.0, np.pi / 2]))
    assert goal.update(np.array([4.5, -20.0, np.pi / 2]))


def test_a_given_goal_stays():
    goal = GoalAhead(5.0, (1.0, 2.0))
    assert goal.update(np.zeros(3))
    assert not goal.update(np.array([50.0, 0.0, 0.0]))
    np.testing.assert_allclose(goal.goal, [1.0, 2.0, 0.0])
