"""Plans the playback of a recording on our topics: topic names, sensor poses, ego motion, clock and goal.

The graph gets one tf tree, odom -> base_link -> sensors. It is built from the recording, whose own tf is not published,
so that other frame names and missing transforms do no harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.core.geometry import compose, relative
from edge_worldmodel.core.time_units import NS_PER_S
from edge_worldmodel.core.types import Pose, Twist
from edge_worldmodel.recordings.description import Description, Topic
from edge_worldmodel.recordings.records import Pose3D, Record, RecordedOdometry, RecordedPose, Transform, Value

_BASE_NAMES = ("base_link", "base_footprint", "base", "base_frame", "robot", "chassis")
_ROBOT_HINTS = ("ego", "robot", "base", "self", "vehicle", "own")
_MAX_DEPTH = 20
_TWIST_SPAN_NS = NS_PER_S // 10
_MAX_SPEED_MPS = 20.0
_REACHED_M = 1.0
_FAR_AWAY_RATIO = 2.0
IDENTITY = Pose3D((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


@dataclass(frozen=True)
class EgoSource:
    """Source of the ego motion: ``kind`` is odometry, tf, pose or fixed; ``reason`` explains the choice in words."""

    kind: str
    topic: str
    child_frame_id: str
    reason: str


@dataclass(frozen=True)
class Playback:
    """The decisions taken before the first message.

    Attributes:
        outputs: recorded topic to the topic on which it is played.
        mounts: sensor frame to its pose in the base frame.
        guessed_mounts: sensor frames of unknown pose, assumed to be in the base frame.
        moving_mounts: sensor frames that move on the robot, whose poses follow the transforms of the recording.
        left_out: scan topics that are not played, as the pose of their sensor is unknown.
        ego: source of the ego motion.
        clock_shift_ns: added to the times of recording, so that no stamp is in the future.
        scan_rate_hz: highest rate of a sensor.
    """

    outputs: Mapping[str, str]
    mounts: Mapping[str, Pose3D]
    guessed_mounts: tuple[str, ...]
    moving_mounts: tuple[str, ...]
    left_out: tuple[str, ...]
    ego: EgoSource
    clock_shift_ns: int
    scan_rate_hz: float

    @property
    def scan_topics(self) -> list[str]:
        """Return the topics on which scans are played."""
        return [name for name in self.outputs.values() if name.startswith("scan")]


def prepare(description: Description, ego: str = "auto", mounts: Mapping[str, Pose3D] | None = None) -> Playback:
    """Decide how to play a recording.

    Args:
        description: description of the recording.
        ego: "auto", "fixed", or "odometry:TOPIC", "tf:CHILD_FRAME", "pose:TOPIC".
        mounts: sensor poses in the base frame by sensor frame, which replace those of the recording.

    Raises:
        RecordingError: no sensor data, or ``ego`` names a source that is not in the recording.
    """
    scans, clouds = description.of_kind("Scan"), description.of_kind("Cloud")
    if not scans and not clouds:
        raise RecordingError("the recording has no LaserScan and no PointCloud2:\n" + "\n".join(description.lines()))
    source = _named_ego(description, ego) if ego != "auto" else _find_ego(description)
    known: dict[str, Pose3D] = {}
    for topic in (*scans, *clouds):
        mount = (mounts or {}).get(topic.frame_id) or chain(
            description.transforms, source.child_frame_id, topic.frame_id
        )
        if mount is not None:
            known[topic.frame_id] = mount
    scans, left_out = _placed(scans, known)
    moving = tuple(f for f in known if f not in (mounts or {}) and _moves(description, source.child_frame_id, f))
    outputs = _numbered(scans, "scan") | _numbered(clouds[:1], "points")
    guessed = tuple(t.frame_id for t in (*scans, *clouds[:1]) if t.frame_id not in known)
    known.update(dict.fromkeys(guessed, IDENTITY))
    sensors = [topic for topic in description.topics.values() if topic.name in outputs]
    shift_ns = max(0, -min(topic.min_lag_ns for topic in sensors))
    rate_hz = max(topic.rate_hz for topic in sensors)
    return Playback(
        outputs=outputs,
        mounts=known,
        guessed_mounts=guessed,
        moving_mounts=moving,
        left_out=left_out,
        ego=source,
        clock_shift_ns=shift_ns,
        scan_rate_hz=rate_hz,
    )


def _moves(description: Description, base_frame: str, frame_id: str) -> bool:
    """Return whether a frame below the base frame moved in it."""
    frames = []
    while frame_id != base_frame:
        frames.append(frame_id)
        frame_id = description.transforms[frame_id].frame_id
    return not description.moving.isdisjoint(frames)


class MovingMounts:
    """Poses over time of the sensors that move on the robot.

    Args:
        description: transforms at the beginning.
        playback: base frame and moving sensor frames.
    """

    def __init__(self, description: Description, playback: Playback) -> None:
        self._transforms = dict(description.transforms)
        self._base_frame, self._frames = playback.ego.child_frame_id, playback.moving_mounts

    def update(self, value: Value) -> dict[str, Pose3D]:
        """Return the pose in the base frame of each moving sensor frame, if this is a transform and there are any."""
        if not self._frames or not isinstance(value, Transform):
            return {}
        self._transforms[value.child_frame_id] = value
        poses = {frame: chain(self._transforms, self._base_frame, frame) for frame in self._frames}
        return {frame: pose for frame, pose in poses.items() if pose is not None}


def _placed(scans: list[Topic], known: Mapping[str, Pose3D]) -> tuple[list[Topic], tuple[str, ...]]:
    """Return the scanners that are played together, and the topics that are left out.

    The pose of one scanner may be assumed; scans of several scanners on the same assumed pose would not fit together.
    """
    placed = [topic for topic in scans if topic.frame_id in known] or scans[:1]
    return placed, tuple(topic.name for topic in scans if topic not in placed)


def _numbered(topics: list[Topic], name: str) -> dict[str, str]:
    return {topic.name: name if index == 0 else f"{name}_{index}" for index, topic in enumerate(topics)}


def _find_ego(description: Description) -> EgoSource:
    """Return odometry, else tf of a base frame, else the only pose that can be the robot's, else a fixed base."""
    odometry = sorted(description.of_kind("Odometry"), key=lambda topic: -topic.rate_hz)
    if odometry:
        best = odometry[0]
        return EgoSource("odometry", best.name, best.child_frame_id, f"odometry of '{best.name}'")
    for name in _BASE_NAMES:
        transform = description.transforms.get(name)
        if transform is not None and not transform.static and transform.frame_id not in _BASE_NAMES:
            return EgoSource("tf", "", name, f"tf from '{transform.frame_id}' to '{name}', there is no odometry")
    poses = description.of_kind("Pose")
    robot_poses = [topic for topic in poses if any(hint in topic.name.lower() for hint in _ROBOT_HINTS)]
    chosen = robot_poses if robot_poses else poses
    if len(chosen) == 1:
        name = chosen[0].name
        return EgoSource("pose", name, name, f"poses of '{name}', there is neither odometry nor tf of a base")
    if chosen:
        names = ", ".join(topic.name for topic in chosen)
        return EgoSource(
            "fixed", "", "", f"a fixed base: it is not clear which of {names} is the robot (--ego pose:TOPIC)"
        )
    return EgoSource("fixed", "", "", "a fixed base: there is no odometry, no tf of a base and no pose")


def _named_ego(description: Description, choice: str) -> EgoSource:
    kind, _, name = choice.partition(":")
    name = name.strip("/")
    reason = f"{choice}, as chosen"
    kinds = {"odometry": "Odometry", "pose": "Pose"}
    if kind == "fixed":
        return EgoSource("fixed", "", "", reason)
    if kind == "tf" and name in description.transforms:
        return EgoSource("tf", "", name, reason)
    topic = description.topics.get(name)
    if kind in kinds and topic is not None and topic.kind == kinds[kind]:
        return EgoSource(kind, name, topic.child_frame_id or name, reason)
    raise RecordingError(
        f"ego '{choice}': give auto, fixed, odometry:TOPIC, tf:CHILD_FRAME or pose:TOPIC of\n"
        + "\n".join(description.lines())
    )


def chain(transforms: Mapping[str, Transform], base_frame: str, frame_id: str) -> Pose3D | None:
    """Return the pose of ``frame_id`` in ``base_frame``, None where the transforms do not connect them."""
    matrix = np.eye(4)
    for _ in range(_MAX_DEPTH):
        if frame_id == base_frame:
            return Pose3D.from_matrix(matrix)
        transform = transforms.get(frame_id)
        if transform is None:
            return None
        matrix = transform.pose.matrix() @ matrix
        frame_id = transform.frame_id
    return None


class EgoMotion:
    """Planar pose in the odom frame and base twist over time, from the chosen source.

    Poses and transforms have no twist; it is the difference over about a tenth of a second, because at 120 Hz the
    difference of neighbours is mostly noise.
    """

    def __init__(self, source: EgoSource) -> None:
        self._source = source
        self._past: list[tuple[int, Pose]] = []

    def update(self, topic: str, stamp_ns: int, value: Value) -> tuple[Pose, Twist] | None:
        """Return (pose, twist) if this record is one of the source, else None."""
        source = self._source
        if isinstance(value, RecordedOdometry) and source.kind == "odometry" and topic == source.topic:
            return _finite(value.pose.planar(), np.array(value.twist))
        is_pose = isinstance(value, RecordedPose) and source.kind == "pose" and topic == source.topic
        is_tf = isinstance(value, Transform) and source.kind == "tf" and value.child_frame_id == source.child_frame_id
        if not (is_pose or is_tf):
            return None
        pose = value.pose.planar()  # type: ignore[union-attr]
        if not np.isfinite(pose).all() or (self._past and stamp_ns <= self._past[-1][0]):
            return None
        twist = self._difference(stamp_ns, pose)
        if np.linalg.norm(twist[:2]) > _MAX_SPEED_MPS:
            # motion capture may lose the body and find another one
            self._past.clear()
            twist = np.zeros(3)
        self._past.append((stamp_ns, pose))
        return pose, twist

    def _difference(self, stamp_ns: int, pose: Pose) -> Twist:
        while len(self._past) > 1 and stamp_ns - self._past[1][0] >= _TWIST_SPAN_NS:
            self._past.pop(0)
        if not self._past or stamp_ns - self._past[0][0] > NS_PER_S:
            self._past.clear()
            return np.zeros(3)
        then_ns, before = self._past[0]
        return relative(before, pose) * (NS_PER_S / (stamp_ns - then_ns))


def _finite(pose: Pose, twist: Twist) -> tuple[Pose, Twist] | None:
    return (pose, twist) if np.isfinite(pose).all() and np.isfinite(twist).all() else None


class GoalAhead:
    """A fixed goal, or one straight ahead of the robot that is renewed when it is reached, passed or far away.

    Args:
        ahead_m: distance of the goal ahead.
        fixed: (x_m, y_m) in the odom frame, None for a goal ahead.
    """

    def __init__(self, ahead_m: float, fixed: tuple[float, float] | None = None) -> None:
        self._ahead_m = ahead_m
        self._fixed = fixed
        self.goal: Pose = np.zeros(3)
        self._has_goal = False

    def update(self, pose: Pose) -> bool:
        """Renew ``goal`` if needed for a base pose; return whether it is a new one."""
        if self._has_goal and (self._fixed is not None or not self._is_done(pose, self.goal)):
            return False
        self._has_goal = True
        fixed = self._fixed
        self.goal = compose(pose, [self._ahead_m, 0.0, 0.0]) if fixed is None else np.array([*fixed, 0.0])
        return True

    def _is_done(self, pose: Pose, goal: Pose) -> bool:
        ahead_m = float(relative(pose, goal)[0])
        distance_m = float(np.hypot(*(goal - pose)[:2]))
        return ahead_m < _REACHED_M or distance_m > _FAR_AWAY_RATIO * self._ahead_m


def scheduled(
    records: Iterator[Record], shift_ns: int, start_s: float, duration_s: float
) -> Iterator[tuple[int, Record]]:
    """Yield (time_ns, record): the time on /clock at which each record is published.

    The time never goes back and is not before the stamp of the record.

    Args:
        records: the records in the order of recording.
        shift_ns: added to the times of recording.
        start_s: records before this time since the first one are skipped.
        duration_s: records later than this after ``start_s`` are skipped; 0: none.
    """
    begin_ns: int | None = None
    now_ns = 0
    for record in records:
        begin_ns = record.log_ns if begin_ns is None else begin_ns
        at_s = (record.log_ns - begin_ns) / NS_PER_S - start_s
        if duration_s and at_s > duration_s:
            return
        if at_s >= 0.0:
            # a stamp far in the future is an error of the recording and must not delay the playback
            ahead_ns = record.stamp_ns - (record.log_ns + shift_ns)
            now_ns = max(now_ns, record.log_ns + shift_ns + (ahead_ns if 0 < ahead_ns < NS_PER_S // 10 else 0))
            yield now_ns, record
