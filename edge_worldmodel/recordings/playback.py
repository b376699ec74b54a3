"""Plans the playback of a recording on our topics: topic names, sensor poses, ego motion, clock and goal.

The graph gets one tf tree, odom -> base_link -> sensors. It is built from the recording, whose own tf is not published,
so that other frame names and missing transforms do no harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.core.geometry import compose, relative
from edge_worldmodel.core.time_units import NS_PER_S
from edge_worldmodel.core.types import Pose, Twist
from edge_worldmodel.recordings.clocks import Clocks, Retimer, find_clocks
from edge_worldmodel.recordings.description import Description, Topic
from edge_worldmodel.recordings.records import (
    Pose3D,
    Record,
    RecordedOdometry,
    RecordedPose,
    Recording,
    Transform,
    Value,
)
from edge_worldmodel.recordings.selection import EgoSource, chain, find_ego, links, named_ego, select

_TWIST_SPAN_NS = NS_PER_S // 10
_MAX_SPEED_MPS = 20.0
_REACHED_M = 1.0
_FAR_AWAY_RATIO = 2.0
IDENTITY = Pose3D((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


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
        clock_shift_ns: added to the times of recording, so that they fit to the stamps.
        scan_rate_hz: highest rate of a sensor.
        clocks: corrections of the times of the records.
        wanted: recorded topics that are needed; empty: all.
        why_left_out: by topic that is not played, the reason.
        remarks: for people, on clocks and on how the recording is read.
    """

    outputs: Mapping[str, str]
    mounts: Mapping[str, Pose3D]
    guessed_mounts: tuple[str, ...]
    moving_mounts: tuple[str, ...]
    left_out: tuple[str, ...]
    ego: EgoSource
    clock_shift_ns: int
    scan_rate_hz: float
    clocks: Clocks = Clocks()
    wanted: frozenset[str] = frozenset()
    why_left_out: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def scan_topics(self) -> list[str]:
        """Return the topics on which scans are played."""
        return [name for name in self.outputs.values() if name.startswith("scan")]

    @property
    def cloud_topics(self) -> list[str]:
        """Return the topics on which clouds are played."""
        return [name for name in self.outputs.values() if name.startswith("points")]

    def lines(self) -> list[str]:
        """Return what people should know: remarks, guesses, and a line for each topic that is left out."""
        return [
            *self.remarks,
            *(
                f"pose of sensor '{frame}' is unknown, the origin of the base is used (set it with --sensor-poses)"
                for frame in self.guessed_mounts
            ),
            *(f"'{name}' is left out: {reason}" for name, reason in sorted(self.why_left_out.items())),
        ]


def prepare(
    description: Description,
    ego: str = "auto",
    mounts: Mapping[str, Pose3D] | None = None,
    topics: Sequence[str] = (),
    ignore: Sequence[str] = (),
) -> Playback:
    """Decide how to play a recording.

    Args:
        description: description of the recording.
        ego: "auto", "fixed", or "odometry:TOPIC", "tf:CHILD_FRAME", "pose:TOPIC".
        mounts: sensor poses in the base frame by sensor frame, which replace those of the recording.
        topics: names or patterns of the sensor topics to play; empty: all sensible ones.
        ignore: names or patterns of topics not to use at all.

    Raises:
        RecordingError: no sensor data, or an argument names what is not in the recording.
    """
    chosen = select(description, topics, ignore)
    known_topics = chosen.description
    if not chosen.scans and not chosen.clouds:
        raise RecordingError(_no_sensors(description, chosen.left_out))
    frames = [topic.frame_id for topic in (*chosen.scans, *chosen.clouds)]
    source = named_ego(known_topics, ego, frames) if ego != "auto" else find_ego(known_topics, frames)
    known = _mounts(known_topics, source.child_frame_id, frames, mounts or {})
    why = dict(chosen.left_out)
    scans = _placed(chosen.scans, known, why)
    clouds = list(chosen.clouds) if topics else _one_cloud(chosen.clouds, known, why)
    left_out = tuple(topic.name for topic in chosen.scans if topic not in scans)
    moving = tuple(f for f in known if f not in (mounts or {}) and _moves(known_topics, source.child_frame_id, f))
    guessed = tuple(dict.fromkeys(t.frame_id for t in (*scans, *clouds) if t.frame_id not in known))
    known.update(dict.fromkeys(guessed, IDENTITY))
    sensors = [*scans, *clouds]
    clocks = find_clocks(sensors, _motion_topics(known_topics, source))
    outputs = _numbered(scans, "scan") | _numbered(clouds, "points")
    wanted = frozenset((*outputs, source.topic, *known_topics.transforms_of)) - {""}
    why |= _unused(known_topics, outputs, source, why)
    return Playback(
        outputs=outputs,
        mounts=known,
        guessed_mounts=guessed,
        moving_mounts=moving,
        left_out=left_out,
        ego=source,
        clock_shift_ns=clocks.clock_shift_ns,
        scan_rate_hz=max(topic.rate_hz for topic in sensors),
        clocks=clocks,
        wanted=wanted,
        why_left_out=why | description.unread,
        remarks=(*description.remarks, *clocks.remarks),
    )


def _no_sensors(description: Description, left_out: Mapping[str, str]) -> str:
    unread = {**description.unread, **left_out}
    lines = [*description.lines(), *(f"  {name}: {reason}" for name, reason in sorted(unread.items()))]
    return "the recording has no LaserScan and no PointCloud2 to play:\n" + "\n".join(lines)


def _mounts(
    description: Description, base_frame: str, frames: Sequence[str], given: Mapping[str, Pose3D]
) -> dict[str, Pose3D]:
    """Return the poses of the sensor frames that are known."""
    found = {frame: given.get(frame) or chain(description.transforms, base_frame, frame) for frame in frames}
    return {frame: mount for frame, mount in found.items() if mount is not None}


def _motion_topics(description: Description, source: EgoSource) -> list[Topic]:
    """Return the topics whose stamps must fit to those of the sensors."""
    moving_tf = (topic for topic in description.of_kind("Transform") if not topic.name.endswith("tf_static"))
    own = description.topics.get(source.topic)
    return [*([own] if own else []), *(moving_tf if source.kind == "tf" else ())]


def _unused(
    description: Description, outputs: Mapping[str, str], source: EgoSource, why: Mapping[str, str]
) -> dict[str, str]:
    """Return why the odometry and the poses that give no ego motion are left out."""
    return {
        topic.name: f"the ego motion comes from {source.reason}"
        for topic in (*description.of_kind("Odometry"), *description.of_kind("Pose"))
        if topic.name not in (source.topic, *outputs, *why)
    }


def _moves(description: Description, base_frame: str, frame_id: str) -> bool:
    """Return whether a frame moved in the base frame."""
    found = links(description.transforms, base_frame, frame_id)
    return found is not None and not description.moving.isdisjoint((*found[0], *found[1]))


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


def _placed(scans: Sequence[Topic], known: Mapping[str, Pose3D], why: dict[str, str]) -> list[Topic]:
    """Return the scanners that are played together, and note why others are not.

    The pose of one scanner may be assumed; scans of several scanners on the same assumed pose would not fit together.
    """
    placed = [topic for topic in scans if topic.frame_id in known] or list(scans[:1])
    for topic in scans:
        if topic not in placed:
            why[topic.name] = f"the pose of its sensor '{topic.frame_id}' is unknown (set it with --sensor-poses)"
    return placed


def _one_cloud(clouds: Sequence[Topic], known: Mapping[str, Pose3D], why: dict[str, str]) -> list[Topic]:
    """Return the cloud that is played without a choice, and note why others are not."""
    ordered = sorted(clouds, key=lambda topic: (topic.frame_id not in known, topic.name))
    for topic in ordered[1:]:
        why[topic.name] = f"one cloud is played, '{ordered[0].name}'; choose with --topics"
    return ordered[:1]


def _numbered(topics: list[Topic], name: str) -> dict[str, str]:
    return {topic.name: name if index == 0 else f"{name}_{index}" for index, topic in enumerate(topics)}


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


def played_records(recording: Recording, playback: Playback, retimer: Retimer | None = None) -> Iterator[Record]:
    """Yield the records of the topics that a playback needs, with corrected times.

    Raises:
        RecordingError: the recording is damaged, see ``Recording``.
    """
    wanted = playback.wanted
    records = recording.records(lambda name: not wanted or name in wanted)
    return (retimer or Retimer(playback.clocks)).records(records)


def begin_ns(description: Description, playback: Playback) -> int:
    """Return the time on the played clock of the first record."""
    if playback.clocks.by_stamps:
        return playback.clocks.begin_ns
    return description.start_ns + playback.clock_shift_ns


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
