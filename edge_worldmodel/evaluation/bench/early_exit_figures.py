"""What early exit saves: ticks of arena episodes decided again with and without it, in turn.

Network time is processor time of the thread; one network thread, so that all of it is in this one. Half a minute per
episode on a quiet core (five scenarios: three minutes):

    scripts/with-ros python -m edge_worldmodel.evaluation.bench.early_exit_figures --episodes 1 --every 4 --tracks DIR
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from edge_worldmodel.core.planner.planner import Planner, PlannerConfig, PlannerOutput
from edge_worldmodel.evaluation.bench.recorded_ticks import TRAINING_SEED, Recording, Tick, record, scenarios

_SCENARIOS = ("crowd", "corridor", "crossing")


@dataclass(frozen=True)
class Comparison:
    """One tick decided both ways."""

    imagined: int
    of: int
    networks_s: float
    all_networks_s: float
    same: bool
    forced: bool
    """No goal, or arrived: there is nothing to choose."""


def compare(planner: Planner, ticks: Sequence[Tick], at_once: int) -> list[Comparison]:
    """Decide ticks with early exit, so many candidates at once, and with all of them; who goes first alternates."""
    configs = [replace(planner.config, imagined_at_once=count) for count in (at_once, planner.config.maneuvers)]
    return [_compare(planner, configs, tick, number) for number, tick in enumerate(ticks)]


def _compare(planner: Planner, configs: Sequence[PlannerConfig], tick: Tick, number: int) -> Comparison:
    outputs: dict[int, PlannerOutput] = {}
    for which in (number % 2, 1 - number % 2):
        other = Planner(planner.world_model, planner.limits, configs[which], planner.disturbances)
        outputs[which] = tick.decide(other, tick.warm_start, time.thread_time)
    exit_early, everything = (outputs[which].rollout_set for which in (0, 1))
    return Comparison(
        imagined=int(np.isfinite([rollout.risk for rollout in exit_early.rollouts]).sum()),
        of=len(everything.rollouts),
        networks_s=exit_early.latency.compute_s,
        all_networks_s=everything.latency.compute_s,
        same=exit_early.selected == everything.selected,
        forced=exit_early.reason.startswith(("hold", "arrived")),
    )


def said(name: str, found: Sequence[Comparison]) -> str:
    """Return a line about many ticks."""
    if not found:
        return f"{name}: nothing was imagined"
    spent, wanted = sum(each.networks_s for each in found), sum(each.all_networks_s for each in found)
    imagined, of = np.mean([each.imagined for each in found]), np.mean([each.of for each in found])
    return (
        f"{name}: the same maneuver in {sum(each.same for each in found)} of {len(found)} ticks, "
        f"{imagined:.1f} of {of:.1f} candidates imagined, {1.0 - imagined / of:.0%} fewer, "
        f"networks {1e3 * spent / len(found):.1f} instead of {1e3 * wanted / len(found):.1f} ms, "
        f"{1.0 - spent / wanted:.0%} saved"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line per episode and one for all of them."""
    options = _options(arguments)
    found: dict[int, list[Comparison]] = {at_once: [] for at_once in options.at_once}
    names = [*options.scenario, *(["tracks"] if options.tracks else [])]
    chosen = scenarios(names, options.seed, options.tracks)
    for name, index, outcome, ours in record(chosen, options.episodes, {"model_dir": options.model_dir}):
        ticks = ours.ticks[:: options.every][: options.ticks or None]
        for at_once in options.at_once:
            here = compare(_untapped(ours), ticks, at_once)
            ended = f"{outcome.ending} in {outcome.time_s:.1f} s"
            print(said(f"{name} {index} ({ended}), {at_once} at once", here), flush=True)
            found[at_once] += here
    for at_once, together in found.items():
        print(said(f"all ticks, {at_once} at once", together))
        chosen_from = [each for each in together if not each.forced]
        print(said(f"where there was something to choose, {at_once} at once", chosen_from))
    if options.json:
        written = {str(at_once): [asdict(each) for each in together] for at_once, together in found.items()}
        options.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def _untapped(ours: Recording) -> Planner:
    planner = ours.planner
    return Planner(planner.world_model, planner.limits, planner.config, planner.disturbances)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", nargs="+", default=_SCENARIOS)
    parser.add_argument("--tracks", type=Path, help="folder of recorded tracks: the scenario 'tracks' as well")
    parser.add_argument("--episodes", type=int, default=1, help="of each scenario")
    parser.add_argument("--every", type=int, default=4, help="decide every so many-th tick again")
    parser.add_argument("--ticks", type=int, default=0, help="of an episode at most; 0: all")
    parser.add_argument(
        "--at-once", type=int, nargs="+", default=[PlannerConfig().imagined_at_once], help="candidates in a batch"
    )
    parser.add_argument("--seed", type=int, default=TRAINING_SEED)
    parser.add_argument("--model-dir", default="", help="default: the shipped model")
    parser.add_argument("--json", type=Path, help="write every tick's figures")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
