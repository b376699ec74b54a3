"""The fault matrix: what is broken, where, and what the robot has to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from edge_worldmodel.core.errors import ConfigError

SCAN, ODOM, CLOCK = "scan", "odom", "clock"
PLAN, LATENT, WARM_START = "planner/plan", "perception/latent", "latent_cache/warm_start"
STOP_LIMIT_S = 0.25
PLAN_VALIDITY_S = 0.6
"""A plan is followed for so long after its stamp, if the planner lives and stands by it."""


class Expected(Enum):
    """What a fault has to lead to."""

    STOP = "stop"
    GO_ON = "go on"
    EITHER = "either"
    BASE_STOPS = "base stops"
    """The supervisor itself is gone: no command any more, and the drive base stops on silence."""


class Begin(Enum):
    """When the effect of a fault begins."""

    LAST_GOOD = "last good message"
    FIRST_BAD = "first spoiled message"
    ACTION = "signal"


@dataclass(frozen=True)
class Case:
    """One way to break the graph.

    Args:
        fault: its name in the report.
        where: topic or node, and which variant.
        target: topic or node.
        how: a spoiler of the relay, or one of "kill", "pause", "load", "fill disk".
        expected: what it has to lead to.
        begin: when its effect begins.
        limit_s: longest time from then to the stop.
        lasts_s: how long it lasts where no stop ends it.
        every: only in every so many-th round.
        settings: for the spoiler.
    """

    fault: str
    where: str
    target: str
    how: str
    expected: Expected = Expected.STOP
    begin: Begin = Begin.LAST_GOOD
    limit_s: float = STOP_LIMIT_S
    lasts_s: float = 0.35
    every: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of this case, unique."""
        return f"{self.fault}:{self.where}"


def _spoil(fault: str, topics: Iterable[str], how: str, variant: str = "", **more: Any) -> list[Case]:
    return [Case(fault, f"{topic} {variant}".strip(), topic, how, **more) for topic in topics]


def _signal(fault: str, nodes: Iterable[str], how: str, **more: Any) -> list[Case]:
    return [Case(fault, node, node, how, begin=Begin.ACTION, **more) for node in nodes]


def _content() -> list[Case]:
    """Messages that come, but are wrong."""
    bad, on = Begin.FIRST_BAD, Expected.GO_ON
    return [
        *_spoil("reorder", (SCAN, ODOM), "reorder", begin=bad),
        # of these only the newest is kept by the listener, so it may never see that the order was wrong
        *_spoil("reorder", (CLOCK, PLAN, LATENT), "reorder", expected=Expected.EITHER),
        *_spoil("reorder", (WARM_START,), "reorder", expected=on),
        *_spoil("corrupt", (SCAN, ODOM, PLAN, LATENT), "corrupt", settings={"seed": 1}),
        *_spoil("corrupt", (WARM_START,), "corrupt", expected=on, settings={"seed": 1}),
        *_spoil("nan", (SCAN, ODOM, PLAN), "nan", begin=bad),
        *_spoil("nan", (LATENT,), "nan"),
        *_spoil("nan", (WARM_START,), "nan", expected=on),
        *_spoil("wrong_frame", (SCAN, ODOM, PLAN), "wrong_frame", begin=bad),
        *_spoil("wrong_frame", (LATENT,), "wrong_frame"),
        *_spoil("wrong_frame", (WARM_START,), "wrong_frame", expected=on),
        *_spoil("frozen_sensor", (SCAN, ODOM), "freeze"),
        *_spoil("frozen_sensor", (SCAN, ODOM), "freeze", "with new stamps", settings={"restamp": True}),
        *_spoil("frozen_planner", (PLAN,), "freeze", limit_s=PLAN_VALIDITY_S + 0.1),
        *_spoil("clock_step", (CLOCK,), "step", "forward", begin=bad, settings={"offset_s": 5.0}),
        *_spoil("clock_step", (CLOCK,), "step", "back", begin=bad, settings={"offset_s": -5.0}),
    ]


def _timing() -> list[Case]:
    """Messages that are good, but lost, late or doubled."""
    on = Expected.GO_ON
    return [
        *_spoil("drop", (SCAN, ODOM, CLOCK, PLAN, LATENT), "drop"),
        *_spoil("drop", (ODOM, PLAN), "drop", "one in four", expected=on, settings={"every": 4}),
        *_spoil("drop", (WARM_START,), "drop", expected=on),
        *_spoil("delay", (SCAN, ODOM, CLOCK, PLAN, LATENT), "delay", "0.7 s", lasts_s=0.9, settings={"delay_s": 0.7}),
        *_spoil("delay", (SCAN, ODOM, PLAN), "delay", "0.02 s", expected=on, settings={"delay_s": 0.02}),
        *_spoil("delay", (WARM_START,), "delay", "0.7 s", expected=on, settings={"delay_s": 0.7}),
        *_spoil("duplicate", (SCAN, ODOM, CLOCK, PLAN, LATENT, WARM_START), "duplicate", expected=on),
    ]


def _processes() -> list[Case]:
    """Processes and the machine under them."""
    on, gone = Expected.GO_ON, Expected.BASE_STOPS
    return [
        *_signal("sigkill", ("perception", "rollout_planner"), "kill", every=3),
        *_signal("sigkill", ("latent_cache",), "kill", every=3, expected=on),
        *_signal("sigkill", ("safety_supervisor",), "kill", every=3, expected=gone, limit_s=1.5),
        *_signal("sigstop", ("perception", "rollout_planner"), "pause"),
        *_signal("sigstop", ("latent_cache",), "pause", expected=on),
        *_signal("sigstop", ("safety_supervisor",), "pause", every=3, expected=gone, limit_s=1.5),
        *_signal("simulation_pause", ("sim",), "pause"),
        *_signal("cpu_load", ("all cores",), "load", every=3, expected=on, lasts_s=3.0),
        *_signal("disk_full", ("all nodes",), "fill disk", expected=on, lasts_s=1.0),
    ]


MATRIX: tuple[Case, ...] = (*_timing(), *_content(), *_processes())
FAULTS: tuple[str, ...] = tuple(dict.fromkeys(case.fault for case in MATRIX))


def chosen(names: Sequence[str]) -> list[Case]:
    """Return the cases of faults ("drop") or single ones ("drop:scan"); all of them for no name.

    Raises:
        ConfigError: there is none of a name.
    """
    for name in names:
        if not any(name in (case.fault, case.name) for case in MATRIX):
            raise ConfigError(f"fault '{name}': there is none; faults: {', '.join(FAULTS)}; one case: drop:scan")
    return [case for case in MATRIX if not names or case.fault in names or case.name in names]


def rounds(cases: Sequence[Case], rng: np.random.Generator) -> Iterator[Case]:
    """Yield the cases round after round without end, each round in another order."""
    number = 0
    while True:
        this_round = [case for case in cases if number % case.every == 0]
        yield from (this_round[i] for i in rng.permutation(len(this_round)))
        number += 1
