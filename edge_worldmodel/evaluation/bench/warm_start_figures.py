"""What warm starts cost and save: the same arena episodes cold, warm as shipped, and cold with as few steps, in turn.

Two kinds of regret. In closed loop: how much longer (shorter: negative) the episodes take that both ways ended in
success. By a judge: on every k-th tick of the warm drives the maneuvers that each way chooses, among the same
candidates, are priced by an imagination from pure noise with many steps, futures and disturbances of its own luck;
the regret of a way is how much dearer its choices are on average than those of the cold way, relative to the cost of
those, and relative to what is at stake (the judge's dearest candidate less its cheapest). Costs are in metres of way.

One to two minutes per episode on a quiet core:

    scripts/with-ros python -m edge_worldmodel.evaluation.bench.warm_start_figures --episodes 2 --every 8
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_worldmodel.core.cache.latent_cache import LatentCache
from edge_worldmodel.core.planner.planner import Planner
from edge_worldmodel.core.types import Floats, LatentFrame, WarmStart
from edge_worldmodel.evaluation.arena.outcome import EpisodeOutcome
from edge_worldmodel.evaluation.bench.recorded_ticks import TRAINING_SEED, Recording, Tick, record, scenarios
from edge_worldmodel.sim.robots import RobotSpec

_SCENARIOS = ("crowd", "corridor", "crossing")
_JUDGE_STEPS, _JUDGE_FUTURES, _JUDGE_DISTURBANCES = 16, 16, 32
_OTHER_LUCK = 1000


class Forgetful(LatentCache):
    """Never has anything to start from."""

    def warm_start(self, frame: LatentFrame) -> WarmStart:
        """Refuse every frame."""
        return self._refuse(frame, "cold", "warm starts are off")


class Cold(Recording):
    """Ours without warm starts."""

    def reset(self, robot: RobotSpec, goal: Floats, seed: int, walls: Sequence[Floats] = ()) -> None:
        """Begin as ever, with a cache that never has anything."""
        super().reset(robot, goal, seed, walls)
        self._cache = Forgetful()


@dataclass(frozen=True)
class Drive:
    """What is kept of one episode driven one way."""

    scenario: str
    index: int
    outcome: EpisodeOutcome
    hit_rate: float
    steps: float
    """Denoising steps of a tick that imagined, on average."""


def driven(scenario: str, index: int, outcome: EpisodeOutcome, ours: Recording) -> Drive:
    """Return the figures of an episode."""
    steps = [output.rollout_set.steps for output in ours.outputs]
    return Drive(scenario, index, outcome, ours.hit_rate, float(np.mean(steps)) if steps else float("nan"))


@dataclass(frozen=True)
class Judgement:
    """One tick: the judge's cost [m] of what each way chose, and the spread of all candidates."""

    cost_m: Mapping[str, float]
    at_stake_m: float
    best_m: float
    """The judge's cheapest acceptable candidate, which a planner with perfect luck would have chosen."""


def judge(planner: Planner, tick: Tick) -> Judgement | None:
    """Let each way decide, price the choices; None where there was no warm start, or nothing to choose."""
    if tick.warm_start is None or not tick.warm_start.valid:
        return None
    config = planner.config
    few = replace(config, steps_cold=config.steps_warm)
    ways = {
        "warm": tick.decide(planner, tick.warm_start),
        "cold": tick.decide(planner, None),
        "few": tick.decide(_with(planner, few), None),
    }
    if ways["cold"].rollout_set.reason.startswith(("hold", "arrived")):
        return None
    careful = replace(
        config, steps_cold=_JUDGE_STEPS, futures=_JUDGE_FUTURES, disturbances=_JUDGE_DISTURBANCES, imagined_at_once=64
    )
    rollouts = tick.decide(_with(planner, careful), None, other=_OTHER_LUCK).rollout_set.rollouts
    costs = np.array([rollout.cost for rollout in rollouts])
    acceptable = np.array([rollout.acceptable for rollout in rollouts])
    chosen = {name: float(costs[max(output.rollout_set.selected, 0)]) for name, output in ways.items()}
    best = float(np.where(acceptable, costs, np.inf).min()) if acceptable.any() else float(costs[0])
    return Judgement(chosen, float(np.ptp(costs)), best)


def _with(planner: Planner, config: Any) -> Planner:
    return Planner(planner.world_model, planner.limits, config, planner.disturbances)


def regrets(judged: Sequence[Judgement], way: str) -> tuple[float, float]:
    """Return by how much a way chooses dearer than the cold one: relative to their cost, and to what is at stake."""
    dearer = float(np.mean([each.cost_m[way] - each.cost_m["cold"] for each in judged]))
    usual = float(np.mean([abs(each.cost_m["cold"]) for each in judged]))
    return dearer / usual, dearer / float(np.mean([each.at_stake_m for each in judged]))


def longer(these: Sequence[Drive], cold: Sequence[Drive]) -> tuple[float, int]:
    """Return by which share the episodes took longer that both ways ended in success, and how many those are."""
    times = [
        (a.outcome.time_s, b.outcome.time_s)
        for a, b in zip(these, cold, strict=True)
        if a.outcome.ending == b.outcome.ending == "success"
    ]
    if not times:
        return float("nan"), 0
    mine, theirs = np.sum(times, axis=0)
    return float(mine / theirs - 1.0), len(times)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line per way of starting, and one per regret."""
    options = _options(arguments)
    chosen = scenarios(options.scenario, options.seed)
    model = {"model_dir": options.model_dir}
    judged: list[Judgement] = []
    drives: dict[str, list[Drive]] = {}
    steps = options.steps_warm
    ways: dict[str, tuple[dict[str, Any], type[Recording]]] = {
        "warm": ({"steps_warm": steps}, Recording), "cold": ({}, Cold), "few": ({"steps_cold": steps}, Cold)
    }  # fmt: skip
    for way, (settings, kind) in ways.items():
        drives[way] = []
        for scenario, index, outcome, ours in record(chosen, options.episodes, {**model, **settings}, kind):
            drives[way].append(driven(scenario, index, outcome, ours))
            if way == "warm":
                ticks = ours.ticks[:: options.every]
                planner = _with(ours.planner, ours.planner.config)
                judged += [found for tick in ticks if (found := judge(planner, tick)) is not None]
        print(said(way, drives[way]), flush=True)
    for way in ("warm", "few"):
        print(said_regret(way, drives, judged))
    if options.json:
        rows = [{"way": way, **vars(d), "outcome": d.outcome.to_json()} for way, each in drives.items() for d in each]
        written = {"drives": rows, "judged": [vars(each) for each in judged]}
        options.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def said(way: str, drives: Sequence[Drive]) -> str:
    """Return a line about all drives of one way."""
    endings = [drive.outcome.ending for drive in drives]
    times = [drive.outcome.time_s for drive in drives if drive.outcome.ending == "success"]
    counts = " / ".join(str(endings.count(ending)) for ending in ("success", "contact", "timeout"))
    return (
        f"{way}: {np.mean([drive.steps for drive in drives]):.2f} steps a tick, "
        f"hit rate {np.mean([drive.hit_rate for drive in drives]):.0%}, success / contact / timeout {counts} of "
        f"{len(drives)}, {np.mean(times) if times else float('nan'):.1f} s to the goal"
    )


def said_regret(way: str, drives: Mapping[str, Sequence[Drive]], judged: Sequence[Judgement]) -> str:
    """Return a line about the regret of a way against the cold one."""
    share, count = longer(drives[way], drives["cold"])
    line = f"{way} against cold: {share:+.1%} time to the goal in {count} episodes"
    if judged:
        of_cost, of_stake = regrets(judged, way)
        same = np.mean([each.cost_m[way] == each.cost_m["cold"] for each in judged])
        line += (
            f"; judged on {len(judged)} ticks: choices {of_cost:+.2%} dearer, {of_stake:+.2%} of what is at stake, "
            f"the same maneuver in {same:.0%}"
        )
    return line


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", nargs="+", default=_SCENARIOS)
    parser.add_argument("--episodes", type=int, default=1, help="of each scenario, driven three ways")
    parser.add_argument("--every", type=int, default=8, help="judge every so many-th tick")
    parser.add_argument("--steps-warm", type=int, default=2, help="denoising steps of a warm start, and of 'few'")
    parser.add_argument("--seed", type=int, default=TRAINING_SEED)
    parser.add_argument("--model-dir", default="", help="default: the shipped model")
    parser.add_argument("--json", type=Path, help="write every drive and judgement")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
