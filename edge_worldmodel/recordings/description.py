"""Describes a recording from the first seconds of each topic: rates, frames and clock offsets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.core.time_units import NS_PER_S
from edge_worldmodel.recordings.records import Record, RecordedOdometry, RecordedPose, Recording, Transform

_SAMPLE_S = 10.0
_MAX_RECORDS = 20_000
_MAX_BEGINNINGS = 30
"""Topics that begin later are found by reading the recording again without the known ones."""


@dataclass
class Topic:
    """One topic: its kind of record, rate, frame, and the delay between stamp and recording.

    ``min_lag_ns`` is negative when the stamps are ahead of the clock of the recorder. For transforms ``frame_id`` and
    ``child_frame_id`` are those of the first one. ``first_log_ns`` and ``last_log_ns`` are times of recording.
    """

    name: str
    kind: str
    frame_id: str
    child_frame_id: str
    count: int
    first_ns: int
    last_ns: int
    min_lag_ns: int
    first_log_ns: int = 0
    last_log_ns: int = 0

    @property
    def rate_hz(self) -> float:
        """Messages per second by the stamps, or by the times of recording if those stand still; 0 for one message."""
        span_ns = self.last_ns - self.first_ns or self.last_log_ns - self.first_log_ns
        return (self.count - 1) * NS_PER_S / span_ns if span_ns > 0 else 0.0


@dataclass
class Description:
    """Content of a recording.

    Attributes:
        topics: by name.
        transforms: the newest transform of each child frame.
        moving: child frames that moved in their parents.
        transforms_of: the transforms of each topic of transforms.
        unread: topics that are not read, with the reason.
        remarks: for people, on how the recording is read.
    """

    topics: dict[str, Topic] = field(default_factory=dict)
    transforms: dict[str, Transform] = field(default_factory=dict)
    moving: set[str] = field(default_factory=set)
    start_ns: int = 0
    sampled_s: float = 0.0
    transforms_of: dict[str, dict[str, Transform]] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def of_kind(self, kind: str) -> list[Topic]:
        """Return the topics of a kind (Scan, Cloud, Odometry, Pose or Transform), sorted by name."""
        return sorted((t for t in self.topics.values() if t.kind == kind), key=lambda topic: topic.name)

    def lines(self) -> list[str]:
        """Return one line of text per topic."""
        return [
            f"  {t.name}: {t.kind}, {t.rate_hz:.1f} Hz, frame '{t.frame_id}'"
            + (f" to '{t.child_frame_id}'" if t.child_frame_id else "")
            for t in sorted(self.topics.values(), key=lambda topic: topic.name)
        ]


def describe(recording: Recording, sample_s: float = _SAMPLE_S) -> Description:
    """Read the beginning of a recording, that of each topic that begins later, and all static transforms.

    Args:
        recording: to be described.
        sample_s: length of a beginning.

    Raises:
        RecordingError: the recording is damaged at its beginning, or has no usable topic.
    """
    description = Description()
    trouble = _sample(description, recording.records(), sample_s)
    for _ in range(_MAX_BEGINNINGS):
        known = set(description.topics)
        _sample(description, recording.records(lambda name, known=known: name not in known), sample_s)  # type: ignore[misc]
        if len(description.topics) == len(known):
            break
    if any(map(_is_static, description.topics)):
        for topic in filter(_is_static, list(description.topics)):
            del description.topics[topic]
        _sample(description, recording.records(_is_static), float("inf"))
    description.unread, description.remarks = dict(recording.unread), list(recording.remarks)
    if not description.topics:
        if trouble is not None:
            raise trouble
        unread = "".join(f"\n  {name}: {reason}" for name, reason in sorted(description.unread.items()))
        raise RecordingError(f"'{recording.path}' has no scans, clouds, odometry, poses or transforms{unread}")
    return description


def _is_static(topic: str) -> bool:
    return topic.endswith("tf_static")


def _sample(description: Description, records: Iterator[Record], sample_s: float) -> RecordingError | None:
    """Note the records of some seconds; return the damage of the recording if it comes before their end."""
    begin_ns: int | None = None
    try:
        for index, record in enumerate(records):
            begin_ns = record.log_ns if begin_ns is None else begin_ns
            sampled_s = (record.log_ns - begin_ns) / NS_PER_S
            if not description.start_ns:
                description.start_ns = record.log_ns
            if sampled_s > sample_s or index >= _MAX_RECORDS:
                break
            description.sampled_s = max(description.sampled_s, sampled_s)
            _note(description, record.topic, record.value, record.log_ns, record.stamp_ns)
    except RecordingError as error:
        return error
    return None


def _note(description: Description, name: str, value: object, log_ns: int, stamp_ns: int) -> None:
    if isinstance(value, Transform):
        before = description.transforms.get(value.child_frame_id, value)
        if before.pose != value.pose:
            description.moving.add(value.child_frame_id)
        description.transforms[value.child_frame_id] = value
        description.transforms_of.setdefault(name, {})[value.child_frame_id] = value
    topic = description.topics.get(name)
    if topic is None:
        child = value.child_frame_id if isinstance(value, (RecordedOdometry, Transform)) else ""
        frame_id = str(getattr(value, "frame_id", ""))
        kind = type(value).__name__.removeprefix("Recorded")
        lag_ns = log_ns - stamp_ns
        description.topics[name] = Topic(name, kind, frame_id, child, 1, stamp_ns, stamp_ns, lag_ns, log_ns, log_ns)
        return
    topic.count += 1
    topic.last_ns = max(topic.last_ns, stamp_ns)
    topic.last_log_ns = max(topic.last_log_ns, log_ns)
    if not isinstance(value, (Transform, RecordedPose)):
        topic.min_lag_ns = min(topic.min_lag_ns, log_ns - stamp_ns)
