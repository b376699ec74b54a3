"""Clocks of a recording: that of the recorder, which gives the times of recording, and those that stamp the messages.

Simulators stamp from 0 and at their own pace; computers without a common clock differ; some drivers do not stamp.
The stamps of the sensors are kept, and the played clock is moved to them; stamps of yet another clock are moved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from edge_worldmodel.core.time_units import NS_PER_S
from edge_worldmodel.recordings.description import Topic
from edge_worldmodel.recordings.records import Record, Transform

_OTHER_CLOCK_NS = 10 * NS_PER_S
"""Stamps this far from the time of recording are of another clock; less may be a slow network."""
_BACK_NS = NS_PER_S // 2
_JUMP_NS = 3600 * NS_PER_S
_LEAST_SPAN_NS = NS_PER_S
_PACE_TOLERANCE = 0.05
_LEAST_DRIFT_NS = 3 * NS_PER_S // 10
_LEAST_STAMPS = 3


@dataclass(frozen=True)
class Clocks:
    """How times are corrected.

    Attributes:
        clock_shift_ns: added to the times of recording, so that they fit to the stamps of the sensors.
        stamp_shifts_ns: by topic, added to the stamps of topics that another clock stamps than that of the sensors.
        unstamped: topics whose stamps stand still; the time of recording is used.
        by_stamps: the stamps of the sensors have another pace than the recorder's clock and give the time.
        begin_ns: the first stamp of the sensors.
        remarks: the same for people.
    """

    clock_shift_ns: int = 0
    stamp_shifts_ns: Mapping[str, int] = field(default_factory=dict)
    unstamped: frozenset[str] = frozenset()
    by_stamps: bool = False
    begin_ns: int = 0
    remarks: tuple[str, ...] = ()


def find_clocks(sensors: Collection[Topic], others: Collection[Topic]) -> Clocks:
    """Return the clocks of a recording.

    Args:
        sensors: topics of scans and clouds.
        others: topics of ego motion, without static transforms.
    """
    topics = (*sensors, *others)
    unstamped = frozenset(t.name for t in topics if t.count >= _LEAST_STAMPS and t.first_ns == t.last_ns)
    stamped = [topic for topic in topics if topic.name not in unstamped]
    remarks = [f"'{name}' has no stamps that advance: the times of recording are used" for name in sorted(unstamped)]
    if not stamped:
        return Clocks(unstamped=unstamped, remarks=tuple(remarks))
    groups = _by_clock(stamped)
    main = max(groups, key=lambda group: (sum(topic in sensors for topic in group), len(group)))
    lag_ns = min(topic.min_lag_ns for topic in [t for t in main if t in sensors] or main)
    shift_ns = -lag_ns if lag_ns < 0 or lag_ns > _OTHER_CLOCK_NS else 0
    if abs(shift_ns) > _OTHER_CLOCK_NS:
        remarks.append(f"the stamps are {_apart(lag_ns)} the clock of the recorder: time is that of the stamps")
    shifts_ns = {}
    for group in groups:
        # moved so that they are as old as those of the sensors when they are played
        shift_ns_of_group = min(topic.min_lag_ns for topic in group) - lag_ns
        for topic in group if group is not main else ():
            shifts_ns[topic.name] = shift_ns_of_group
            where = _apart(shift_ns_of_group)
            remarks.append(
                f"'{topic.name}' is stamped by another clock, {where} that of the sensors: its stamps are moved"
            )
    by_stamps = any(_has_other_pace(topic) for topic in main if topic in sensors)
    if by_stamps:
        remarks.append("the clock of the stamps has another pace than that of the recorder: time is that of the stamps")
    begin_ns = min(topic.first_ns for topic in main)
    return Clocks(shift_ns, shifts_ns, unstamped, by_stamps, begin_ns, tuple(remarks))


def _by_clock(topics: list[Topic]) -> list[list[Topic]]:
    """Return the topics in groups whose stamps are about equally far from the times of recording."""
    groups: list[list[Topic]] = []
    for topic in sorted(topics, key=lambda topic: topic.min_lag_ns):
        if groups and topic.min_lag_ns - groups[-1][-1].min_lag_ns <= _OTHER_CLOCK_NS:
            groups[-1].append(topic)
        else:
            groups.append([topic])
    return groups


def _apart(lag_ns: int) -> str:
    seconds = abs(lag_ns) / NS_PER_S
    return f"{seconds:.1f} s {'behind' if lag_ns > 0 else 'ahead of'}"


def _has_other_pace(topic: Topic) -> bool:
    stamps_ns, log_ns = topic.last_ns - topic.first_ns, topic.last_log_ns - topic.first_log_ns
    if min(stamps_ns, log_ns) < _LEAST_SPAN_NS:
        return False
    return abs(stamps_ns - log_ns) > max(_PACE_TOLERANCE * log_ns, _LEAST_DRIFT_NS)


class Retimer:
    """Corrects the times of records.

    Attributes:
        jumps: by topic, how often its stamps jumped; they go on from the time of recording then.
    """

    def __init__(self, clocks: Clocks) -> None:
        self._clocks = clocks
        self._now_ns = clocks.begin_ns - clocks.clock_shift_ns if clocks.by_stamps else None
        self._shifts_ns: dict[str, int] = {}
        self._lags_ns: dict[str, int] = {}
        self._stamps_ns: dict[str, int] = {}
        self.jumps: Counter[str] = Counter()

    def records(self, records: Iterator[Record]) -> Iterator[Record]:
        """Yield the records with corrected times."""
        for record in records:
            if isinstance(record.value, Transform) and record.value.static:
                yield record if self._now_ns is None else replace(record, log_ns=self._now_ns)
            else:
                yield self._corrected(record)

    def _corrected(self, record: Record) -> Record:
        clocks, log_ns = self._clocks, record.log_ns
        if record.topic in clocks.unstamped:
            if self._now_ns is not None:
                log_ns = self._now_ns
            return replace(record, log_ns=log_ns, stamp_ns=log_ns + clocks.clock_shift_ns)
        # a topic of transforms has many senders, each with its own clock
        child = record.value.child_frame_id if isinstance(record.value, Transform) else ""
        stamp_ns = self._continued(record, f"{record.topic} {child}")
        if clocks.by_stamps:
            at_ns = stamp_ns - clocks.clock_shift_ns
            if record.topic not in clocks.stamp_shifts_ns:
                self._now_ns = at_ns if self._now_ns is None else max(self._now_ns, at_ns)
            log_ns = log_ns if self._now_ns is None else self._now_ns
        if stamp_ns == record.stamp_ns and log_ns == record.log_ns:
            return record
        return replace(record, log_ns=log_ns, stamp_ns=stamp_ns)

    def _continued(self, record: Record, source: str) -> int:
        """Return the stamp moved to the clock of the sensors, and on from the time of recording after a jump."""
        shift_ns = self._shifts_ns.setdefault(source, self._clocks.stamp_shifts_ns.get(record.topic, 0))
        stamp_ns = record.stamp_ns + shift_ns
        lag_ns = record.log_ns - stamp_ns
        usual_ns = self._lags_ns.setdefault(source, lag_ns)
        last_ns = self._stamps_ns.get(source, stamp_ns)
        is_far = abs(lag_ns - usual_ns) > _OTHER_CLOCK_NS and not self._clocks.by_stamps
        if is_far or stamp_ns < last_ns - _BACK_NS or stamp_ns > last_ns + _JUMP_NS:
            move_ns = (last_ns - stamp_ns + 1) if self._clocks.by_stamps else lag_ns - usual_ns
            if move_ns:
                self.jumps[record.topic] += 1
                self._shifts_ns[source] = shift_ns + move_ns
                stamp_ns += move_ns
        self._stamps_ns[source] = stamp_ns
        return stamp_ns
