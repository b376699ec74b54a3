"""`edge-worldmodel bench --soak MINUTES`: does memory grow over many ticks of the whole pipeline?

Perception, cache, planner and supervisor run in this process, as fast as they can. The scans and odometry of one arena
episode are played forwards and backwards again and again, so that the pose never jumps; stamps go on at 10 Hz. An hour
of robot time takes about 25 minutes of a free core. The cache fills during the first 600 ticks (one minute), so that
growth is counted from the middle of the run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, cycle

import numpy as np
from tqdm import tqdm

from edge_worldmodel.core.time_units import to_nanoseconds
from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.arena.episode import run_episode
from edge_worldmodel.evaluation.arena.scenario import load_scenario
from edge_worldmodel.evaluation.controllers import CONTROL_PERIOD_S, Command, ControllerInput
from edge_worldmodel.evaluation.controllers.ours.ours import Ours, open_ours
from edge_worldmodel.evaluation.live.process_usage import read_usage
from edge_worldmodel.sim.robots import RobotSpec

_SCENARIO, _TRAINING_SEED = "crowd", 1000
_SPEED_MPS = 0.3
_MARKS = (0.1, 0.5, 1.0)


@dataclass(frozen=True)
class SoakResult:
    """Resident memory after 10, 50 and 100 % of the ticks; elapsed time and processor time of a tick."""

    ticks: int
    resident_mb: dict[str, float]
    tick_s: dict[str, float]
    cpu_s: dict[str, float]

    @property
    def growth(self) -> float:
        """Return the share by which memory grew in the second half."""
        *_, middle, end = self.resident_mb.values()
        return end / middle - 1.0


class _SlowDriver:
    """Drives slowly straight ahead and keeps every input that it is given."""

    name, knows_people = "recorder", False

    def reset(self, robot: RobotSpec, goal: Floats, seed: int, walls: Sequence[Floats] = ()) -> None:
        self.inputs: list[ControllerInput] = []

    def observe(self, look: ControllerInput) -> None:
        pass

    def act(self, look: ControllerInput) -> Command:
        self.inputs.append(look)
        return Command(_SPEED_MPS, 0.0)


def soak(minutes: float, model_dir: str = "") -> SoakResult:
    """Run ``minutes`` of robot time with the model in ``model_dir``; empty: the shipped one."""
    scenario = load_scenario(_SCENARIO, _TRAINING_SEED)
    recorder = _SlowDriver()
    run_episode(scenario, 0, recorder)
    controller: Ours = open_ours(scenario.robot, scenario.max_speed_mps, {"model_dir": model_dir})
    return run_ticks(controller, recorder.inputs, max(round(60.0 * minutes / CONTROL_PERIOD_S), 1))


def run_ticks(controller: Ours, inputs: Sequence[ControllerInput], ticks: int) -> SoakResult:
    """Give inputs to the controller again and again, and watch time and memory.

    Args:
        controller: reset, with its goal.
        inputs: consecutive ones of one drive, at least two.
        ticks: how many inputs to give.
    """
    # Filled now: pages that are touched one by one would look like growth.
    times_s = np.full((2, ticks), np.nan)
    marks = {max(round(share * ticks), 1): f"{share:.0%}" for share in _MARKS}
    memory_mb: dict[str, float] = {}
    for number, given in zip(tqdm(range(ticks), unit="tick", mininterval=1.0), _endless(inputs), strict=False):
        began_s, began_cpu_s = time.perf_counter(), time.thread_time()
        controller.act(given)
        times_s[:, number] = time.perf_counter() - began_s, time.thread_time() - began_cpu_s
        if number + 1 in marks:
            memory_mb[marks[number + 1]] = read_usage(os.getpid()).resident_mb
    tick_s, cpu_s = ({"p50": float(np.median(row)), "p99": float(np.percentile(row, 99))} for row in times_s)
    return SoakResult(ticks, memory_mb, tick_s, cpu_s)


def _endless(inputs: Sequence[ControllerInput]) -> Iterator[ControllerInput]:
    """Yield inputs forwards and backwards without end, with stamps that go on; backwards the twist is reversed."""
    stamp_ns = inputs[0].stamp_ns
    backwards = [replace(given, twist=-given.twist) for given in inputs[-2:0:-1]]
    for given in cycle(chain(inputs, backwards)):
        yield replace(given, stamp_ns=stamp_ns, sweep=replace(given.sweep, stamp_ns=stamp_ns))
        stamp_ns += to_nanoseconds(CONTROL_PERIOD_S)


def summary_line(result: SoakResult) -> str:
    """Return the result as one line for people."""
    memory = ", ".join(f"{mb:.1f} MB after {mark}" for mark, mb in result.resident_mb.items())
    tick, cpu = (f"{1e3 * times['p50']:.1f} / {1e3 * times['p99']:.1f} ms" for times in (result.tick_s, result.cpu_s))
    growth = f"growth in the second half {result.growth:+.2%}"
    return f"{result.ticks} ticks: {memory}, {growth}; tick p50 / p99 {tick}, processor time {cpu}"
