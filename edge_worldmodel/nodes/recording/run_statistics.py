"""The figures of one run, gathered message by message; free of ROS.

There are two clocks. Stamps in ROS time (``stamp_ns``) are times of events in the run. The system time at which a
message was published (``published_ns``, source timestamp of the middleware) shows how fast the graph is: it is the same
for all processes of one machine and does not depend on how fast the simulator or the player lets ROS time pass.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_worldmodel.core.time_units import NS_PER_S

STARTING, ACTIVE, LIMITING, STOPPING, STOPPED, HOLD, LANDING, LATCHED, ESTOP = range(9)
"""Values of Verdict.msg's state."""
_STOP_STATES = {STOPPING, STOPPED, LATCHED, ESTOP}
_DRIVING_STATES = {ACTIVE, LIMITING}
_COUNTERS = ("rejected_", "noted_")
_MAX_CLOCK_RATE = 100.0
_FLOW_GAP_NS = NS_PER_S
_MAX_SCANS = 300
_MAX_COMMANDS = 50
_MAX_LATENCIES = 50_000
_MAX_STOPS = 1000


class ClockPair:
    """Converts recent system time to ROS time, from pairs of both that are read now and then."""

    def __init__(self) -> None:
        self._ros_ns = self._system_ns = 0
        self._rate = 1.0

    def update(self, ros_ns: int, system_ns: int) -> None:
        """Take a new pair; the last two give the rate of ROS time."""
        passed_ns = system_ns - self._system_ns
        if self._ros_ns and passed_ns > 0:
            self._rate = min(max((ros_ns - self._ros_ns) / passed_ns, 0.0), _MAX_CLOCK_RATE)
        self._ros_ns, self._system_ns = ros_ns, system_ns

    def ros_ns(self, system_ns: int) -> int:
        """Return the ROS time at a recent system time; 0 while ROS time is not known."""
        if not self._ros_ns:
            return 0
        ago_ns = min(max(self._system_ns - system_ns, 0), NS_PER_S)
        return max(1, self._ros_ns - round(ago_ns * self._rate))


class RunStatistics:
    """Counts and times of one run; memory is bounded."""

    def __init__(self) -> None:
        self.scans = 0
        self.plans = 0
        self.contacts = 0
        self.goal_reached: bool | None = None
        self.stops: list[dict[str, Any]] = []
        self.model_id = ""
        self.start_ns: int | None = None
        self.last_scan_ns = 0
        self._scan_published: OrderedDict[int, int] = OrderedDict()
        self._last_scan_published_ns: int | None = None
        self._flow_ns = 0
        self._recorded_flow_ns = 0
        self._last_plan: tuple[int, int] | None = None
        self._waiting: deque[tuple[int, int]] = deque(maxlen=_MAX_COMMANDS)
        self._commands: deque[int] = deque(maxlen=_MAX_COMMANDS)
        self._latencies_s: deque[float] = deque(maxlen=_MAX_LATENCIES)
        self._rollouts = self._warm = self._steps = 0
        self._state = STARTING
        self._was_active = False
        self._in_contact = False
        self._values: dict[str, dict[str, str]] = {}
        self._counted_before: Counter[tuple[str, str]] = Counter()
        self._reasons: dict[tuple[str, str], str] = {}
        self._unreadable: Counter[str] = Counter()

    def on_scan(self, stamp_ns: int, published_ns: int) -> None:
        """Add a scan; gaps of more than a second between scans do not count as time in which scans flowed."""
        self.scans += 1
        if self.start_ns is None:
            self.start_ns = stamp_ns
        if self._last_scan_published_ns is not None:
            gap_ns = published_ns - self._last_scan_published_ns
            if 0 < gap_ns <= _FLOW_GAP_NS:
                self._flow_ns += gap_ns
                self._recorded_flow_ns += max(0, stamp_ns - self.last_scan_ns)
        self._last_scan_published_ns = published_ns
        self.last_scan_ns = max(self.last_scan_ns, stamp_ns)
        self._scan_published[stamp_ns] = published_ns
        if len(self._scan_published) > _MAX_SCANS:
            self._scan_published.popitem(last=False)

    def on_plan(self, stamp_ns: int, sequence: int, model_id: str, published_ns: int) -> None:
        """Add a plan; the planner repeats a valid plan as a heartbeat, and repetitions do not count."""
        if (stamp_ns, sequence) == self._last_plan:
            return
        self._last_plan = (stamp_ns, sequence)
        self.plans += 1
        self.model_id = model_id or self.model_id
        scan_ns = self._scan_published.get(stamp_ns)
        if scan_ns is None:
            return
        # topics reach the recorder in any order, so the command may have come before its plan
        later = [command_ns for command_ns in self._commands if command_ns >= published_ns]
        if later:
            self._latencies_s.append((min(later) - scan_ns) / NS_PER_S)
        else:
            self._waiting.append((published_ns, scan_ns))

    def on_command(self, published_ns: int) -> None:
        """Add a command; it answers every scan whose plan was published before it and that has no command yet."""
        self._commands.append(published_ns)
        while self._waiting and self._waiting[0][0] <= published_ns:
            self._latencies_s.append((published_ns - self._waiting.popleft()[1]) / NS_PER_S)

    def on_rollouts(self, steps: int, warm_started: bool) -> None:
        """Add the costs of one imagination."""
        self._rollouts += 1
        self._steps += steps
        self._warm += warm_started

    def on_verdict(self, state: int, reason: str, stamp_ns: int) -> bool:
        """Add a verdict; return whether it stops the robot after it has driven."""
        stopped = self._was_active and state in _STOP_STATES and self._state not in _STOP_STATES
        if stopped and len(self.stops) < _MAX_STOPS:
            since_start_s = (stamp_ns - (self.start_ns or stamp_ns)) / NS_PER_S
            self.stops.append({"t_s": round(since_start_s, 3), "reason": reason})
        self._was_active = self._was_active or state in _DRIVING_STATES
        self._state = state
        return stopped

    def on_contact(self, touching: bool) -> None:
        """Count the beginnings of contacts."""
        self.contacts += touching and not self._in_contact
        self._in_contact = touching

    def on_goal_reached(self, reached: bool) -> None:
        """Note whether the goal is reached; once reached it stays reached."""
        self.goal_reached = bool(self.goal_reached) or reached

    def on_diagnostics(self, name: str, values: Mapping[str, str]) -> None:
        """Keep one status of /diagnostics; a counter that falls means that its node was restarted."""
        before = self._values.get(name, {})
        for key in before:
            if key.startswith(_COUNTERS) and _count(values, key) < _count(before, key):
                self._counted_before[name, key] += _count(before, key)
        self._values[name] = dict(values)
        self._reasons.update({(name, key): text for key, text in values.items() if key.startswith("why_")})

    def on_unreadable(self, topic: str) -> str:
        """Count a message that the recorder could not read; return what to say of it."""
        self._unreadable[topic] += 1
        return unreadable_text(topic, self._unreadable[topic])

    @property
    def rejected_inputs(self) -> int:
        """Number of inputs that were rejected by any node."""
        return sum(self._total(name, "rejected_inputs") for name in self._values)

    def not_used(self) -> list[dict[str, Any]]:
        """Return what each node has rejected or left out: its kind, how often, and why, in the words of the node."""
        present = {(name, key) for name, values in self._values.items() for key in values}
        found = [
            {
                "node": name.partition(":")[0],
                "kind": key,
                "count": self._total(name, key),
                "why": self._reasons.get((name, f"why_{key.partition('_')[2]}"), ""),
            }
            for name, key in sorted(present | self._counted_before.keys())
            if key.startswith(_COUNTERS) and key != "rejected_inputs" and self._total(name, key)
        ]
        found += [
            {"node": "recorder", "kind": "rejected_unreadable", "count": count, "why": unreadable_text(topic, count)}
            for topic, count in self._unreadable.items()
        ]
        return sorted(found, key=lambda entry: -entry["count"])

    def _total(self, name: str, key: str) -> int:
        return _count(self._values[name], key) + self._counted_before[name, key]

    def summary(self) -> dict[str, Any]:
        """Return the figures under the names of summary.json."""
        scans_end_s = (self.last_scan_ns - (self.start_ns or 0)) / NS_PER_S
        flow_s, recorded_s = self._flow_ns / NS_PER_S, self._recorded_flow_ns / NS_PER_S
        return {
            "scans": self.scans,
            "plans": self.plans,
            "plan_rate_hz": _ratio(self.plans, flow_s),
            "sensor_to_command_s": _percentiles(self._latencies_s),
            "goal_reached": self.goal_reached,
            "contacts": self.contacts,
            # the supervisor stops the robot when a recording ends; that is no stop of this run
            "stops": [stop for stop in self.stops if stop["t_s"] <= scans_end_s],
            "warm_start_rate": _ratio(self._warm, self._rollouts),
            "denoise_steps_mean": _ratio(self._steps, self._rollouts),
            "rejected_inputs": self.rejected_inputs,
            "inputs_not_used": self.not_used(),
            "backend": self._value("backend"),
            "model_id": self._value("model_id") or self.model_id,
            "scan_rate_hz": _ratio(self.scans, flow_s),
            "scans_flowed_s": round(flow_s, 3),
            "recorded_s": round(recorded_s, 3),
        }

    def _value(self, key: str) -> str:
        """Return the value of a key in /diagnostics, from the planner if it has it, else from any node."""
        ordered = sorted(self._values, key=lambda name: "planner" not in name)
        return next((self._values[name][key] for name in ordered if key in self._values[name]), "")


def unreadable_text(topic: str, count: int) -> str:
    """Return what the recorder says of messages that it cannot read."""
    messages = "1 message" if count == 1 else f"{count} messages"
    return (
        f"topic '{topic}': {messages} could not be read (the publisher's message type differs, or the data was cut);"
        " check the publisher"
    )


def _count(values: Mapping[str, str], key: str) -> int:
    text = values.get(key, "0")
    return int(text) if text.isdigit() else 0


def _ratio(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole > 0 else None


def _percentiles(values: deque[float]) -> dict[str, float | None]:
    names = ("p50", "p95", "p99")
    if not values:
        return dict.fromkeys(names)
    found = np.percentile(np.array(values), (50, 95, 99))
    return {name: round(float(value), 5) for name, value in zip(names, found, strict=True)}
