"""Whether memory grows: many ticks of perception, cache, planner and supervisor in one process, as fast as they go.

What the scanner and the odometry say in one arena episode is played forwards and backwards again and again, so that
nothing jumps; stamps go on at 10 Hz. Resident memory is looked at after 10, 50 and 100 % of the ticks. An hour of the
robot's time takes about 25 minutes of a core that is free. The cache fills during the first 600 ticks, so fewer than
6000 show growth that is none:

    scripts/with-ros python -m edge_worldmodel.evaluation.bench.endurance_figures --ticks 36000
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, cycle
from pathlib import Path

import numpy as np
from tqdm import tqdm

from edge_worldmodel.evaluation.arena.episode import run_episode
from edge_worldmodel.evaluation.arena.scenario import Scenario, load_scenario
from edge_worldmodel.evaluation.bench.bench import resident_mb
from edge_worldmodel.evaluation.bench.recorded_ticks import TRAINING_SEED
from edge_worldmodel.evaluation.controllers import CONTROL_PERIOD_S, STOP, Command, ControllerInput
from edge_worldmodel.evaluation.controllers.ours.ours import Ours, open_ours
from edge_worldmodel.sim.robots import RobotSpec

_PERIOD_NS = round(CONTROL_PERIOD_S * 1e9)
_MARKS = (0.1, 0.5, 1.0)
_LOOKS = 150


@dataclass(frozen=True)
class Endurance:
    """Resident memory [MB] after shares of the ticks, and what a tick took, wall and processor time."""

    ticks: int
    rss_mb: dict[str, float]
    tick_s: dict[str, float]
    cpu_s: dict[str, float]

    @property
    def growth(self) -> float:
        """Return by which share memory grew from the first mark to the end."""
        first, *_, last = self.rss_mb.values()
        return last / first - 1.0


class _Listening:
    """Drives to the goal, blind, and keeps what it is shown."""

    name, knows_people = "listening", False

    def __init__(self) -> None:
        self.looks: list[ControllerInput] = []

    def reset(self, robot: RobotSpec, goal: object, seed: int, walls: Sequence[object] = ()) -> None:
        """Begin with nothing kept."""
        self.looks = []

    def act(self, look: ControllerInput) -> Command:
        """Keep the look; go slowly, and stand in the end."""
        self.looks.append(look)
        return Command(0.3, 0.0) if len(self.looks) < _LOOKS else STOP


def looks_of(scenario: Scenario, most: int = _LOOKS) -> list[ControllerInput]:
    """Return what is to be seen in the first episode in which a slow blind drive gets far enough."""
    longest: list[ControllerInput] = []
    for index in range(10):
        listening = _Listening()
        run_episode(scenario, index, listening)
        if len(listening.looks) > len(longest):
            longest = listening.looks
        if len(longest) >= most:
            break
    return longest[:most]


def forever(looks: Sequence[ControllerInput]) -> Iterator[ControllerInput]:
    """Yield looks forwards and backwards again and again, with stamps that go on; backwards the robot reverses."""
    stamp_ns = looks[0].stamp_ns
    backwards = [replace(look, twist=-look.twist) for look in looks[-2:0:-1]]
    for look in cycle(chain(looks, backwards)):
        yield replace(look, stamp_ns=stamp_ns, sweep=replace(look.sweep, stamp_ns=stamp_ns))
        stamp_ns += _PERIOD_NS


def endure(ours: Ours, looks: Sequence[ControllerInput], ticks: int) -> Endurance:
    """Tick and measure."""
    # Filled now: pages that are touched one by one would look like growth.
    times = np.full((2, ticks), np.nan)
    marks = {max(round(share * ticks), 1): f"{share:.0%}" for share in _MARKS}
    rss_mb: dict[str, float] = {}
    for number, look in zip(tqdm(range(ticks), unit="tick", mininterval=1.0), forever(looks), strict=False):
        began = time.perf_counter(), time.thread_time()
        ours.act(look)
        times[:, number] = time.perf_counter() - began[0], time.thread_time() - began[1]
        if number + 1 in marks:
            rss_mb[marks[number + 1]] = resident_mb()
    wall, cpu = ({"p50": float(np.median(row)), "p99": float(np.percentile(row, 99))} for row in times)
    return Endurance(ticks, rss_mb, wall, cpu)


def said(found: Endurance) -> str:
    """Return the figures in words."""
    memory = ", ".join(f"{mb:.1f} MB after {mark}" for mark, mb in found.rss_mb.items())
    return (
        f"{found.ticks} ticks: {memory}, growth {found.growth:+.2%}; tick p50 / p99 "
        f"{1e3 * found.tick_s['p50']:.1f} / {1e3 * found.tick_s['p99']:.1f} ms, processor time "
        f"{1e3 * found.cpu_s['p50']:.1f} / {1e3 * found.cpu_s['p99']:.1f} ms"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what memory did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ticks", type=int, default=36_000, help="36000 are an hour at 10 Hz")
    parser.add_argument("--scenario", default="crowd")
    parser.add_argument("--model-dir", default="", help="default: the shipped model")
    parser.add_argument("--json", type=Path, help="write the figures")
    options = parser.parse_args(arguments)
    scenario = load_scenario(options.scenario, TRAINING_SEED)
    looks = looks_of(scenario)
    ours: Ours = open_ours(scenario.robot, scenario.max_speed_mps, {"model_dir": options.model_dir})
    found = endure(ours, looks, options.ticks)
    print(f"{len(looks)} looks of {scenario.name}, again and again")
    print(said(found))
    if options.json:
        written = {**asdict(found), "growth": found.growth}
        options.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
