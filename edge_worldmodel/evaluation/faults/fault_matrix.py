"""The fault matrix: every fault, where it is injected, and the reaction that is required."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.safety.config import SupervisorConfig

SCAN, ODOM, CLOCK, IMAGINED = "scan", "odom", "clock", "planner/imagined_occupancy"
PLAN, LATENT, WARM_START = "planner/plan", "perception/latent", "latent_cache/warm_start"
STOP_LIMIT_S = 0.25
MOTION_LIMIT_S = 0.35
"""Motion that contradicts the commands is a fault within 0.3 s; one period of odometry is added."""
CREEP_MPS = 1.1 * SupervisorConfig().unseen_speed_mps
"""The command follows the limit no faster than its jerk allows, so it may be a little over it in a turn."""
LONGEST_GAP_S = 0.06
"""Longest time between two commands while a node is flooded or the imagination is hostile."""
PLAN_VALIDITY_S = 0.6
"""A plan may be followed for this long after its stamp while its planner is alive and repeats it."""


class ExpectedEffect(Enum):
    """The required reaction to a fault."""

    STOP = "stop"
    GO_ON = "go on"
    CREEP = "creep"
    """No point of the robot is commanded to be faster than ``unseen_speed_mps``."""
    LAND = "land"
    """A drone lands."""
    EITHER = "either"
    BASE_STOPS = "base stops"
    """The watchdog itself is gone: no more commands come, and the drive base stops by its own timeout."""


class EffectStart(Enum):
    """The event from which the time to the stop is counted."""

    LAST_GOOD = "last good message"
    FIRST_BAD = "first spoiled message"
    ACTION = "signal"


@dataclass(frozen=True)
class FaultCase:
    """One fault at one place.

    Args:
        fault: its name in the report.
        where: topic or node, and the variant.
        target: topic or node.
        how: a spoiler of the relay (nodes/faults/spoilers.py), or a key of ``fault_trial.ACTIONS``.
        expected: required reaction.
        begin: event from which the stop is timed.
        limit_s: longest allowed time from there to the stop.
        lasts_s: duration of the fault; if a stop is required, it lasts at least until the stop.
        every: injected in every n-th round only.
        longest_gap_s: longest allowed time between two commands while the fault lasts.
        settings: arguments of the spoiler.
    """

    fault: str
    where: str
    target: str
    how: str
    expected: ExpectedEffect = ExpectedEffect.STOP
    begin: EffectStart = EffectStart.LAST_GOOD
    limit_s: float = STOP_LIMIT_S
    lasts_s: float = 0.35
    every: int = 1
    longest_gap_s: float = math.inf
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def allowed_mps(self) -> float:
        """Return the speed up to which a command counts as the required reaction."""
        return CREEP_MPS if self.expected is ExpectedEffect.CREEP else 0.0

    @property
    def name(self) -> str:
        """Name of this case, unique."""
        return f"{self.fault}:{self.where}"


def _spoil(fault: str, topics: Iterable[str], how: str, variant: str = "", **more: Any) -> list[FaultCase]:
    return [FaultCase(fault, f"{topic} {variant}".strip(), topic, how, **more) for topic in topics]


def _signal(fault: str, nodes: Iterable[str], how: str, **more: Any) -> list[FaultCase]:
    return [FaultCase(fault, node, node, how, begin=EffectStart.ACTION, **more) for node in nodes]


def _content() -> list[FaultCase]:
    """Messages that arrive with wrong content."""
    bad, goes_on = EffectStart.FIRST_BAD, ExpectedEffect.GO_ON
    return [
        *_spoil("reorder", (SCAN,), "reorder", begin=bad),
        # Of these only the newest message counts, of odometry in each tick, so the wrong order may stay unnoticed.
        *_spoil("reorder", (CLOCK, ODOM, PLAN, LATENT), "reorder", expected=ExpectedEffect.EITHER),
        *_spoil("reorder", (WARM_START,), "reorder", expected=goes_on),
        *_spoil("corrupt", (SCAN, ODOM, PLAN, LATENT), "corrupt", settings={"seed": 1}),
        *_spoil("corrupt", (WARM_START,), "corrupt", expected=goes_on, settings={"seed": 1}),
        *_spoil("nan", (SCAN, ODOM, PLAN), "nan", begin=bad),
        *_spoil("nan", (LATENT,), "nan"),
        *_spoil("nan", (WARM_START,), "nan", expected=goes_on),
        *_spoil("wrong_frame", (SCAN, ODOM, PLAN), "wrong_frame", begin=bad),
        *_spoil("wrong_frame", (LATENT,), "wrong_frame"),
        *_spoil("wrong_frame", (WARM_START,), "wrong_frame", expected=goes_on),
        *_spoil("frozen_sensor", (SCAN, ODOM), "freeze"),
        *_spoil("frozen_sensor", (SCAN, ODOM), "freeze", "with new stamps", settings={"restamp": True}),
        *_spoil("frozen_planner", (PLAN,), "freeze", limit_s=PLAN_VALIDITY_S + 0.1),
        *_spoil("clock_step", (CLOCK,), "step", "forward", begin=bad, settings={"offset_s": 5.0}),
        *_spoil("clock_step", (CLOCK,), "step", "back", begin=bad, settings={"offset_s": -5.0}),
    ]


def _sight() -> list[FaultCase]:
    """Scans that are right but unusual, and scans that prove nothing."""
    bad, creep, goes_on = EffectStart.FIRST_BAD, ExpectedEffect.CREEP, ExpectedEffect.GO_ON
    return [
        # Another scanner on the same topic, although its scans are right.
        *_spoil("other_scanner", (SCAN,), "upside_down", begin=bad),
        *_spoil("too_close", (SCAN,), "too_close", begin=bad),
        *_spoil("tied_points", (SCAN,), "tied", begin=bad, longest_gap_s=LONGEST_GAP_S),
        # A look counts for 0.3 s, and slowing down from the highest speed takes most of a second.
        *_spoil("all_inf", (SCAN,), "all_inf", begin=bad, expected=creep, limit_s=1.5, lasts_s=1.7),
        *_spoil("blind_stripe", (SCAN,), "blind_stripe", begin=bad, expected=creep, limit_s=1.5, lasts_s=1.7),
        *_spoil("hostile_imagination", (IMAGINED,), "full", expected=goes_on, longest_gap_s=LONGEST_GAP_S),
    ]


def _motion() -> list[FaultCase]:
    """Measured motion that contradicts the commands."""
    more: dict[str, Any] = {"begin": EffectStart.FIRST_BAD, "limit_s": MOTION_LIMIT_S, "lasts_s": MOTION_LIMIT_S}
    return [
        *_spoil("dead_encoder", (ODOM,), "dead_encoder", **more),
        *_spoil("inverse_motion", (ODOM,), "reverse", **more),
        *_spoil("overspeed", (ODOM,), "exaggerate", **more),
        *_spoil("slope", (ODOM,), "pitch", "3 degrees", expected=ExpectedEffect.GO_ON, settings={"degrees": 3.0}),
        # The slope is averaged over 0.3 s.
        *_spoil("slope", (ODOM,), "pitch", "20 degrees", settings={"degrees": 20.0}, **more),
    ]


def _others() -> list[FaultCase]:
    """Faults that other programs and people cause."""
    action, either = EffectStart.ACTION, ExpectedEffect.EITHER
    flood: dict[str, Any] = {"longest_gap_s": LONGEST_GAP_S, "lasts_s": 1.0}
    return [
        FaultCase("second_publisher", "cmd_vel", "cmd_vel", "rival", begin=action, limit_s=0.6, lasts_s=0.6),
        FaultCase(
            "respawn_under_estop", "safety_supervisor", "safety_supervisor", "estop and kill",
            begin=action, lasts_s=5.0, every=3,
        ),
        FaultCase("start_in_the_air", "drone", "drone", "start in the air", ExpectedEffect.LAND, limit_s=8.0, every=3),
        # The repeated message is soon older than the newest one, which is a reason to stop.
        *_spoil("flood", (PLAN, ODOM), "flood", "1 kHz", expected=either, settings={"rate_hz": 1e3}, **flood),
        *_spoil(
            "flood", (SCAN,), "flood", "garbage, 50 Hz", expected=either,
            settings={"rate_hz": 50.0, "garbage_bytes": 1_600_000}, **flood,
        ),
    ]  # fmt: skip


def _timing() -> list[FaultCase]:
    """Good messages that are lost, late or doubled."""
    goes_on = ExpectedEffect.GO_ON
    return [
        *_spoil("drop", (SCAN, ODOM, CLOCK, PLAN, LATENT), "drop"),
        *_spoil("drop", (ODOM, PLAN), "drop", "one in four", expected=goes_on, settings={"every": 4}),
        *_spoil("drop", (WARM_START,), "drop", expected=goes_on),
        *_spoil("delay", (SCAN, ODOM, CLOCK, PLAN, LATENT), "delay", "0.7 s", lasts_s=0.9, settings={"delay_s": 0.7}),
        *_spoil("delay", (SCAN, ODOM, PLAN), "delay", "0.02 s", expected=goes_on, settings={"delay_s": 0.02}),
        *_spoil("delay", (WARM_START,), "delay", "0.7 s", expected=goes_on, settings={"delay_s": 0.7}),
        *_spoil("duplicate", (SCAN, ODOM, CLOCK, PLAN, LATENT, WARM_START), "duplicate", expected=goes_on),
    ]


def _processes() -> list[FaultCase]:
    """Processes that die or hang, and a machine that is overloaded or full."""
    goes_on, base_stops = ExpectedEffect.GO_ON, ExpectedEffect.BASE_STOPS
    return [
        *_signal("sigkill", ("perception", "rollout_planner"), "kill", every=3),
        *_signal("sigkill", ("latent_cache",), "kill", every=3, expected=goes_on),
        *_signal("sigkill", ("safety_supervisor",), "kill", every=3),
        *_signal("sigkill", ("watchdog",), "kill", every=3, expected=base_stops, limit_s=1.5),
        *_signal("sigstop", ("perception", "rollout_planner"), "pause"),
        *_signal("sigstop", ("latent_cache",), "pause", expected=goes_on),
        *_signal("sigstop", ("safety_supervisor",), "pause", every=3),
        *_signal("sigstop", ("watchdog",), "pause", every=3, expected=base_stops, limit_s=1.5),
        *_signal("simulation_pause", ("sim",), "pause"),
        *_signal("cpu_load", ("all cores",), "load", every=3, expected=goes_on, lasts_s=3.0),
        *_signal("disk_full", ("all nodes",), "fill disk", expected=goes_on, lasts_s=1.0),
    ]


MATRIX: tuple[FaultCase, ...] = (*_timing(), *_content(), *_sight(), *_motion(), *_others(), *_processes())
FAULTS: tuple[str, ...] = tuple(dict.fromkeys(case.fault for case in MATRIX))


def select_cases(names: Sequence[str]) -> list[FaultCase]:
    """Return the cases of faults ("drop") or single cases ("drop:scan"); all of them without names.

    Raises:
        ConfigError: a name is neither a fault nor a case.
    """
    for name in names:
        if not any(name in (case.fault, case.name) for case in MATRIX):
            raise ConfigError(f"there is no fault '{name}'; faults: {', '.join(FAULTS)}; a single case: drop:scan")
    return [case for case in MATRIX if not names or case.fault in names or case.name in names]


def shuffled_rounds(cases: Sequence[FaultCase], rng: np.random.Generator) -> Iterator[FaultCase]:
    """Yield all cases round after round without end, each round in a new random order."""
    round_number = 0
    while True:
        this_round = [case for case in cases if round_number % case.every == 0]
        yield from (this_round[i] for i in rng.permutation(len(this_round)))
        round_number += 1
