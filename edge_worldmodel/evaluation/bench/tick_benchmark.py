"""Times the planner's tick alone, cold, warm and as shipped, and pytorch-mppi on the same scenes, all in turn."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from edge_worldmodel.backends.timing import Quantiles
from edge_worldmodel.core.cache.latent_cache import LatentCache
from edge_worldmodel.core.model.world_model import WorldModel
from edge_worldmodel.core.planner.budget import Budget
from edge_worldmodel.core.planner.planner import Planner
from edge_worldmodel.core.planner.planner_config import PlannerConfig
from edge_worldmodel.core.planner.planner_output import PlannerOutput
from edge_worldmodel.core.planner.request import PlanningRequest
from edge_worldmodel.core.types import Floats, LatentFrame, WarmStart
from edge_worldmodel.evaluation.bench.mppi_peer import Peer, PeerMissingError, open_peer
from edge_worldmodel.evaluation.bench.seeded_room import draw_room

_PERIOD_NS = 100_000_000
_WARM_UP = 3
COLD, WARM, SHIPPED = "cold", "warm", "as_shipped"


@dataclass(frozen=True)
class TickSetup:
    """Settings: number of maneuvers, futures per maneuver and rounds; processor time instead of elapsed time."""

    maneuvers: int = 8
    futures: int = 4
    rounds: int = 100
    cpu_time: bool = False


@dataclass
class Ticks:
    """Times of the ticks of one kind, and how much they imagined."""

    seconds: list[float] = dataclasses.field(default_factory=list)
    parts_s: dict[str, list[float]] = dataclasses.field(default_factory=lambda: defaultdict(list))
    steps: list[int] = dataclasses.field(default_factory=list)
    imagined: list[int] = dataclasses.field(default_factory=list)

    def add(self, seconds: float, output: PlannerOutput) -> None:
        """Add one tick."""
        rollouts = output.rollout_set
        self.seconds.append(seconds)
        for part in ("preprocess_s", "compute_s", "postprocess_s"):
            self.parts_s[part].append(getattr(rollouts.latency, part))
        self.steps.append(rollouts.steps)
        known = sum(bool(np.isfinite(rollout.risk)) for rollout in rollouts.rollouts)
        self.imagined.append(known * rollouts.futures_per_maneuver)


def measure_ticks(model: WorldModel, setup: TickSetup, peer_python: str = "") -> dict[str, Any]:
    """Measure, and return the keys tick_s, futures_per_s, trajectories_per_s, steps and peers of the report.

    Args:
        model: with its networks loaded.
        setup: what to measure.
        peer_python: interpreter that has torch and pytorch-mppi; empty: this one.
    """
    one_batch = PlannerConfig(maneuvers=setup.maneuvers, futures=setup.futures, imagined_at_once=setup.maneuvers)
    shipped = dataclasses.replace(one_batch, imagined_at_once=PlannerConfig().imagined_at_once)
    planners = {COLD: one_batch, WARM: one_batch, SHIPPED: shipped}
    ticks = {kind: Ticks() for kind in planners}
    trajectories = setup.maneuvers * one_batch.disturbances
    outcomes = trajectories * setup.futures
    peer_s: dict[int, list[float]] = {outcomes: [], setup.maneuvers * setup.futures: []}
    clock_s = time.process_time if setup.cpu_time else time.perf_counter
    kinds = list(planners)
    with _peer_if_installed(peer_python, tuple(peer_s), setup.cpu_time) as peer:
        for seed in tqdm(range(setup.rounds + _WARM_UP), desc="ticks", unit="scene", leave=False):
            is_counted = seed >= _WARM_UP
            frames, goal = frames_of(model, seed)
            warm = _warm_start(model, one_batch, frames, goal, seed)
            for kind in (kinds := [*kinds[1:], kinds[0]]):  # each begins as often as the others
                planner = Planner(model, config=planners[kind])
                start = None if kind == COLD else warm
                seconds, output = _timed(planner, frames[1], goal, start, seed, clock_s)
                if is_counted:
                    ticks[kind].add(seconds, output)
            if isinstance(peer, Peer):
                for count, took_s in peer.command(seed).items():
                    peer_s[count].extend([took_s] if is_counted else [])
    return _report(ticks, peer_s, peer, trajectories, outcomes)


def frames_of(model: WorldModel, seed: int) -> tuple[tuple[LatentFrame, LatentFrame], Floats]:
    """Return two frames of one seeded room, a control period apart, and the goal (2,)."""
    grid, pose, twist, goal = draw_room(seed)
    context = model.encode(np.tile(grid, (5, 1, 1))[None].astype(np.float32))
    first = LatentFrame(10**9, "odom", "base_link", pose, twist, context, 0.0, 0.0, model.model_id, 1)
    second = dataclasses.replace(first, stamp_ns=first.stamp_ns + _PERIOD_NS, sequence=2)
    return (first, second), goal


def _warm_start(
    model: WorldModel, config: PlannerConfig, frames: tuple[LatentFrame, LatentFrame], goal: Floats, seed: int
) -> WarmStart:
    """Return the latent cache's answer to the second frame after the first was solved."""
    cache = LatentCache()
    cache.warm_start(frames[0])
    planner = Planner(model, config=config)
    request = PlanningRequest(frame=frames[0], goal=goal, rng=np.random.default_rng(seed))
    solved = planner.plan(request, planner.outlook(request))
    cache.remember(dataclasses.replace(frames[0], tensor=solved.solution))
    return cache.warm_start(frames[1])


def _timed(
    planner: Planner,
    frame: LatentFrame,
    goal: Floats,
    warm_start: WarmStart | None,
    seed: int,
    clock_s: Callable[[], float],
) -> tuple[float, PlannerOutput]:
    rng = np.random.default_rng(seed)
    begin_s = clock_s()
    budget = Budget(clock_s=clock_s)
    request = PlanningRequest(frame=frame, goal=goal, rng=rng, warm_start=warm_start, budget=budget)
    output = planner.plan(request, planner.outlook(request))
    return clock_s() - begin_s, output


@contextlib.contextmanager
def _peer_if_installed(python: str, counts: tuple[int, ...], cpu_time: bool) -> Iterator[Peer | PeerMissingError]:
    """Open the peer; if it is not installed, yield the error."""
    try:
        peer = open_peer(python, counts, cpu_time)
    except PeerMissingError as error:
        yield error
        return
    try:
        yield peer
    finally:
        peer.close()


def _report(
    ticks: dict[str, Ticks],
    peer_s: dict[int, list[float]],
    peer: Peer | PeerMissingError,
    trajectories: int,
    outcomes: int,
) -> dict[str, Any]:
    quantiles = {kind: percentiles(of.seconds) for kind, of in ticks.items()}
    warm = ticks[WARM]
    rate = {kind: float(np.mean(of.imagined)) / quantiles[kind]["p50"] for kind, of in ticks.items()}
    planning_s = np.add(warm.parts_s["preprocess_s"], warm.parts_s["postprocess_s"])
    ours = {
        "with_imagination": outcomes / quantiles[WARM]["p50"],
        "without_imagination": outcomes / float(np.median(planning_s)),
        "trajectories": trajectories,
        "outcomes": outcomes,
    }
    return {
        "tick_s": {**quantiles[WARM], **quantiles},
        "tick_breakdown_s": {
            kind: {part: percentiles(values) for part, values in of.parts_s.items()} for kind, of in ticks.items()
        },
        "futures_per_s": rate[WARM],
        "futures_per_s_by_kind": rate,
        "futures_imagined": {kind: float(np.mean(of.imagined)) for kind, of in ticks.items()},
        "trajectories_per_s": {"ours": ours, **_peer_rates(peer_s, ours)},
        "steps": {kind: float(np.mean(ticks[kind].steps)) for kind in (COLD, WARM)},
        "peers": {"pytorch-mppi": _peer_report(peer, peer_s)},
    }


def _peer_rates(peer_s: dict[int, list[float]], ours: dict[str, float]) -> dict[str, Any]:
    rates = {str(count): count / float(np.median(values)) for count, values in peer_s.items() if values}
    if not rates:
        return {}
    same = rates[str(int(ours["outcomes"]))]
    ratios = {kind: ours[kind] / same for kind in ("with_imagination", "without_imagination")}
    return {"pytorch-mppi": rates, "times_pytorch-mppi": ratios}


def _peer_report(peer: Peer | PeerMissingError, peer_s: dict[int, list[float]]) -> dict[str, Any]:
    if isinstance(peer, PeerMissingError):
        return {"missing": str(peer)}
    return {"version": peer.version, "command_s": {str(count): percentiles(of) for count, of in peer_s.items()}}


def percentiles(values_s: Any) -> dict[str, float]:
    """Return p50, p95, p99 and the number of samples; without values the number only."""
    if not len(values_s):
        return {"samples": 0}
    found = Quantiles.of(np.asarray(values_s, np.float64))
    return {"p50": found.p50_s, "p95": found.p95_s, "p99": found.p99_s, "samples": found.samples}


def row(name: str, of: Mapping[str, float], width: int = 12) -> str:
    """Return percentiles as a line for people, in milliseconds."""
    if "p50" not in of:
        return f"  {name:{width}s} no samples"
    return f"  {name:{width}s} p50 {1e3 * of['p50']:7.2f}  p95 {1e3 * of['p95']:7.2f}  p99 {1e3 * of['p99']:7.2f} ms"
