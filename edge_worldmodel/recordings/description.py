"""Describes a recording from its first seconds: topics, rates, frames and clock offsets."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.core.time_units import NS_PER_S
from edge_worldmodel.recordings.records import RecordedOdometry, RecordedPose, Recording, Transform

_SAMPLE_S = 10.0
_MAX_RECORDS = 20_000


@dataclass
class Topic:
    """One topic: its kind of record, rate, frame, and the delay between stamp and recording.

    ``min_lag_ns`` is negative when the stamps are ahead of the clock of the recorder. For transforms ``frame_id`` and
    ``child_frame_id`` are those of the first one.
    """

    name: str
    kind: str
    frame_id: str
    child_frame_id: str
    count: int
    first_ns: int
    last_ns: int
    min_lag_ns: int

    @property
    def rate_hz(self) -> float:
        """Messages per second of stamp time; 0 for a single message."""
        span_ns = self.last_ns - self.first_ns
        return (self.count - 1) * NS_PER_S / span_ns if span_ns > 0 else 0.0


@dataclass
class Description:
    """Topics by name, the newest transform of each child frame, and the child frames that moved in their parents."""

    topics: dict[str, Topic] = field(default_factory=dict)
    transforms: dict[str, Transform] = field(default_factory=dict)
    moving: set[str] = field(default_factory=set)
    start_ns: int = 0
    sampled_s: float = 0.0

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
    """Read the first ``sample_s`` seconds of a recording.

    Raises:
        RecordingError: the recording is damaged at its beginning, or has no usable topic.
    """
    description = Description()
    try:
        for index, record in enumerate(recording.records()):
            description.start_ns = description.start_ns or record.log_ns
            description.sampled_s = (record.log_ns - description.start_ns) / NS_PER_S
            if description.sampled_s > sample_s or index >= _MAX_RECORDS:
                break
            _note(description, record.topic, record.value, record.log_ns, record.stamp_ns)
    except RecordingError:
        if not description.topics:
            raise
    if not description.topics:
        raise RecordingError(f"'{recording.path}' has no scans, clouds, odometry, poses or transforms")
    return description


def _note(description: Description, name: str, value: object, log_ns: int, stamp_ns: int) -> None:
    if isinstance(value, Transform):
        before = description.transforms.get(value.child_frame_id, value)
        if before.pose != value.pose:
            description.moving.add(value.child_frame_id)
        description.transforms[value.child_frame_id] = value
    topic = description.topics.get(name)
    if topic is None:
        child = value.child_frame_id if isinstance(value, (RecordedOdometry, Transform)) else ""
        frame_id = str(getattr(value, "frame_id", ""))
        kind = type(value).__name__.removeprefix("Recorded")
        description.topics[name] = Topic(name, kind, frame_id, child, 1, stamp_ns, stamp_ns, log_ns - stamp_ns)
        return
    topic.count += 1
    topic.last_ns = max(topic.last_ns, stamp_ns)
    if not isinstance(value, (Transform, RecordedPose)):
        topic.min_lag_ns = min(topic.min_lag_ns, log_ns - stamp_ns)
