"""Selects the topics of a recording that are played, and the source of the ego motion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.core.types import Floats
from edge_worldmodel.recordings.description import Description, Topic
from edge_worldmodel.recordings.records import Pose3D, Transform

_BASE_NAMES = ("base_link", "base_footprint", "base", "base_frame", "robot", "chassis")
_ROBOT_HINTS = ("ego", "robot", "base", "self", "vehicle", "own")
_WORLD_NAMES = ("odom", "odom_combined", "map", "world", "earth")
_MAX_DEPTH = 20
_FEW_RATIO = 0.5


@dataclass(frozen=True)
class EgoSource:
    """Source of the ego motion: ``kind`` is odometry, tf, pose or fixed; ``reason`` explains the choice in words.

    ``child_frame_id`` is the frame of the base, to which the poses of the sensors refer.
    """

    kind: str
    topic: str
    child_frame_id: str
    reason: str


@dataclass(frozen=True)
class Selection:
    """Topics that may be played, before the poses of their sensors are known; why each other one is left out."""

    scans: tuple[Topic, ...]
    clouds: tuple[Topic, ...]
    description: Description
    left_out: Mapping[str, str]


def select(description: Description, topics: Sequence[str] = (), ignore: Sequence[str] = ()) -> Selection:
    """Choose the topics of the sensors, and those from which ego motion and transforms may come.

    Without a choice one robot is played, and of topics with the same frame the one with the shortest name of those
    that are not much rarer, as filters and throttles append to the name.

    Args:
        description: of the recording.
        topics: names or patterns (``scan*``) of the sensor topics to play; empty: all sensible ones.
        ignore: names or patterns of topics not to use at all.

    Raises:
        RecordingError: a name or pattern fits to no topic.
    """
    _check(description, (*topics, *ignore))
    left_out = {name: "it is ignored, as chosen" for name in description.topics if _fits(name, ignore)}
    if not topics:
        left_out |= _of_other_robots(description, left_out)
    known = _without(description, left_out)
    scans, clouds = known.of_kind("Scan"), known.of_kind("Cloud")
    if topics:
        unchosen = {t.name: "it is not among the chosen topics" for t in (*scans, *clouds) if not _fits(t.name, topics)}
    else:
        unchosen = _repeated(scans) | _repeated(clouds)
    left_out |= unchosen
    return Selection(
        scans=tuple(topic for topic in scans if topic.name not in unchosen),
        clouds=tuple(topic for topic in clouds if topic.name not in unchosen),
        description=known,
        left_out=left_out,
    )


def _check(description: Description, patterns: Iterable[str]) -> None:
    for pattern in patterns:
        if not any(_fits(name, [pattern]) for name in (*description.topics, *description.unread)):
            raise RecordingError(
                f"no topic of the recording is '{pattern}': give names or patterns of\n"
                + "\n".join(description.lines())
            )
        for name in filter(lambda name: _fits(name, [pattern]), description.unread):
            if not any(_fits(topic, [pattern]) for topic in description.topics):
                raise RecordingError(f"'{name}' cannot be played: {description.unread[name]}")


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern.strip("/")) for pattern in patterns)


def _without(description: Description, left_out: Mapping[str, str]) -> Description:
    """Return the description without some topics and their transforms."""
    if not left_out:
        return description
    transforms_of = {name: found for name, found in description.transforms_of.items() if name not in left_out}
    transforms = dict(description.transforms) if not description.transforms_of else {}
    for found in transforms_of.values():
        transforms.update(found)
    return Description(
        topics={name: topic for name, topic in description.topics.items() if name not in left_out},
        transforms=transforms,
        moving=description.moving & set(transforms),
        start_ns=description.start_ns,
        sampled_s=description.sampled_s,
        transforms_of=transforms_of,
        unread=description.unread,
        remarks=description.remarks,
    )


def _of_other_robots(description: Description, ignored: Mapping[str, str]) -> dict[str, str]:
    """Return the topics of all robots but one, if there are several, each with a namespace of its own."""
    parts: dict[str, set[str]] = {}
    for topic in description.topics.values():
        namespace, _, rest = topic.name.partition("/")
        if rest and topic.name not in ignored:
            is_tf = rest in ("tf", "tf_static")
            parts.setdefault(namespace, set()).add("tf" if is_tf else topic.kind)
    robots = [name for name, kinds in parts.items() if {"Scan", "Cloud"} & kinds and {"tf", "Odometry"} & kinds]
    if len(robots) < 2:
        return {}
    chosen = min(robots, key=lambda name: ("Odometry" not in parts[name], name))
    reason = f"it is of another robot than '{chosen}'; choose with --ignore '{chosen}/*'"
    others = tuple(f"{name}/" for name in robots if name != chosen)
    return {name: reason for name in description.topics if name.startswith(others) and name not in ignored}


def _repeated(topics: list[Topic]) -> dict[str, str]:
    """Return the topics that repeat another one: of the same sensor frame, filtered or throttled."""
    left_out = {}
    for frame in {topic.frame_id for topic in topics}:
        same = [topic for topic in topics if topic.frame_id == frame]
        most = max(topic.rate_hz for topic in same)
        best = min(same, key=lambda topic: (topic.rate_hz < _FEW_RATIO * most, len(topic.name), topic.name))
        for topic in same:
            if topic is not best:
                reason = f"it is of the same sensor as '{best.name}' (frame '{frame}'); choose with --topics"
                left_out[topic.name] = reason
    return left_out


def find_ego(description: Description, sensor_frames: Sequence[str]) -> EgoSource:
    """Return odometry, else tf of a base frame, else the only pose that can be the robot's, else a fixed base."""
    odometry = description.of_kind("Odometry")
    if odometry:
        best = min(odometry, key=lambda topic: _rank(description, topic, sensor_frames))
        base = _base_of(description, best, sensor_frames)
        return EgoSource("odometry", best.name, base, f"odometry of '{best.name}'")
    bases = [t for t in description.transforms.values() if _base_rank(t.child_frame_id) < len(_BASE_NAMES)]
    bases = [t for t in bases if not t.static and _base_rank(t.frame_id) == len(_BASE_NAMES)]
    if bases:
        on_them = {t.child_frame_id: _below(description, t.child_frame_id, sensor_frames) for t in bases}
        best_tf = min(bases, key=lambda t: (-on_them[t.child_frame_id], _base_rank(t.child_frame_id), t.child_frame_id))
        name = best_tf.child_frame_id
        return EgoSource("tf", "", name, f"tf from '{best_tf.frame_id}' to '{name}', there is no odometry")
    poses = description.of_kind("Pose")
    robot_poses = [topic for topic in poses if any(hint in topic.name.lower() for hint in _ROBOT_HINTS)]
    chosen = robot_poses if robot_poses else poses
    base = _base_with(description, sensor_frames)
    if len(chosen) == 1:
        name = chosen[0].name
        return EgoSource("pose", name, base or name, f"poses of '{name}', there is neither odometry nor tf of a base")
    if chosen:
        names = ", ".join(topic.name for topic in chosen)
        return EgoSource(
            "fixed", "", base, f"a fixed base: it is not clear which of {names} is the robot (--ego pose:TOPIC)"
        )
    return EgoSource("fixed", "", base, "a fixed base: there is no odometry, no tf of a base and no pose")


def named_ego(description: Description, choice: str, sensor_frames: Sequence[str]) -> EgoSource:
    """Return the source that a user has chosen.

    Raises:
        RecordingError: it is not in the recording.
    """
    kind, _, name = choice.partition(":")
    name = name.strip("/")
    reason = f"{choice}, as chosen"
    kinds = {"odometry": "Odometry", "pose": "Pose"}
    if kind == "fixed":
        return EgoSource("fixed", "", _base_with(description, sensor_frames), reason)
    if kind == "tf" and name in description.transforms:
        return EgoSource("tf", "", name, reason)
    topic = description.topics.get(name)
    if kind in kinds and topic is not None and topic.kind == kinds[kind]:
        base = _base_of(description, topic, sensor_frames) if kind == "odometry" else name
        return EgoSource(kind, name, base or name, reason)
    raise RecordingError(
        f"ego '{choice}': give auto, fixed, odometry:TOPIC, tf:CHILD_FRAME or pose:TOPIC of\n"
        + "\n".join(description.lines())
    )


def _base_rank(frame_id: str) -> int:
    """Return the place of a frame in the names of bases, without the prefix of a robot; their number for others."""
    name = frame_id.rpartition("/")[2]
    return _BASE_NAMES.index(name) if name in _BASE_NAMES else len(_BASE_NAMES)


def _below(description: Description, base: str, sensor_frames: Sequence[str]) -> int:
    """Return how many of the sensors are on a base."""
    return sum(chain(description.transforms, base, frame) is not None for frame in sensor_frames)


def _rank(description: Description, topic: Topic, sensor_frames: Sequence[str]) -> tuple[object, ...]:
    """Return the order of odometry: that of a base before that of a camera, however fast, and by what is on it."""
    base = topic.child_frame_id
    is_base = _base_rank(base) < len(_BASE_NAMES)
    on_it = _below(description, base, sensor_frames) if base else 0
    return (not is_base, not (base == "" or on_it), -on_it, -topic.rate_hz, topic.name)


def _base_of(description: Description, topic: Topic, sensor_frames: Sequence[str]) -> str:
    """Return the frame of the base that odometry moves: its child frame, or the base on which the sensors are."""
    child = topic.child_frame_id
    if child and (_below(description, child, sensor_frames) or _base_rank(child) == len(_BASE_NAMES)):
        return child
    return _base_with(description, sensor_frames) or child


def _base_with(description: Description, sensor_frames: Sequence[str]) -> str:
    """Return the frame named like a base on which most sensors are; empty without one."""
    frames = {*description.transforms, *(t.frame_id for t in description.transforms.values())}
    bases = [frame for frame in frames if _base_rank(frame) < len(_BASE_NAMES)]
    on_them = {frame: _below(description, frame, sensor_frames) for frame in bases}
    best = min(bases, key=lambda frame: (-on_them[frame], _base_rank(frame), frame), default="")
    return best if best and on_them[best] else ""


def chain(transforms: Mapping[str, Transform], base_frame: str, frame_id: str) -> Pose3D | None:
    """Return the pose of ``frame_id`` in ``base_frame``, None where the transforms do not connect them."""
    found = links(transforms, base_frame, frame_id)
    if found is None:
        return None
    above, below = (_product(transforms, frames) for frames in found)
    return Pose3D.from_matrix(np.linalg.inv(above) @ below)


def links(transforms: Mapping[str, Transform], base_frame: str, frame_id: str) -> tuple[list[str], list[str]] | None:
    """Return the frames from the base, and from another frame, up to where they meet; None where they do not.

    They do not meet in a fixed frame of the world, in which the base moves.
    """
    of_base, of_frame = _ancestors(transforms, base_frame), _ancestors(transforms, frame_id)
    meeting = next((frame for frame in of_frame if frame in of_base), None)
    if meeting is None or (meeting != base_frame and meeting.rpartition("/")[2] in _WORLD_NAMES):
        return None
    return of_base[: of_base.index(meeting)], of_frame[: of_frame.index(meeting)]


def _ancestors(transforms: Mapping[str, Transform], frame_id: str) -> list[str]:
    """Return a frame and those above it, the next one first."""
    frames = [frame_id]
    while frame_id in transforms and len(frames) < _MAX_DEPTH:
        frame_id = transforms[frame_id].frame_id
        if frame_id in frames:
            break
        frames.append(frame_id)
    return frames


def _product(transforms: Mapping[str, Transform], frames: list[str]) -> Floats:
    matrix = np.eye(4)
    for frame in frames:
        matrix = transforms[frame].pose.matrix() @ matrix
    return matrix
