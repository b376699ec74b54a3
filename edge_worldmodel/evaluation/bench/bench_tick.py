"""The planner's tick in isolation, cold and warm, and an outside planner on the same scenes, all in turn."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from edge_worldmodel.backends.timing import Quantiles
from edge_worldmodel.core.cache.latent_cache import LatentCache
from edge_worldmodel.core.model.world_model import WorldModel
from edge_worldmodel.core.planner.planner import Planner, PlannerConfig, PlannerOutput
from edge_worldmodel.core.types import Floats, LatentFrame, WarmStart
from edge_worldmodel.evaluation.bench.bench_peers import Peer, PeerMissingError, open_peer
from edge_worldmodel.evaluation.bench.seeded_room import draw_room

_PERIOD_NS = 100_000_000
_WARM_UP = 3
COLD, WARM, SHIPPED = "cold", "warm", "as_shipped"


@dataclass(frozen=True)
class TickWish:
    """How much to measure; ``all_at_once`` maneuvers are imagined in one batch, so that none is left out."""

    maneuvers: int = 8
    futures: int = 4
    rounds: int = 100
    cpu_time: bool = False


@dataclass
class Ticks:
    """What ticks of one kind cost, in seconds, and how much they imagined."""

    seconds: list[float] = dataclasses.field(default_factory=list)
    parts_s: dict[str, list[float]] = dataclasses.field(default_factory=lambda: defaultdict(list))
    steps: list[int] = dataclasses.field(default_factory=list)
    imagined: list[int] = dataclasses.field(default_factory=list)

    def add(self, seconds: float, output: PlannerOutput) -> None:
        """Note one tick."""
        rollouts = output.rollout_set
        self.seconds.append(seconds)
        for part in ("preprocess_s", "compute_s", "postprocess_s"):
            self.parts_s[part].append(getattr(rollouts.latency, part))
        self.steps.append(rollouts.steps)
        known = sum(bool(np.isfinite(rollout.risk)) for rollout in rollouts.rollouts)
        self.imagined.append(known * rollouts.futures_per_maneuver)


def measure_ticks(model: WorldModel, wish: TickWish, peer_python: str = "") -> dict[str, Any]:
    """Return the keys tick_s, futures_per_s, trajectories_per_s, steps and peers of the report.

    Args:
        model: loaded.
        wish: how much to measure.
        peer_python: interpreter that has torch and pytorch-mppi; empty: this one.
    """
    everything = PlannerConfig(maneuvers=wish.maneuvers, futures=wish.futures, imagined_at_once=wish.maneuvers)
    shipped = dataclasses.replace(everything, imagined_at_once=PlannerConfig().imagined_at_once)
    planners = {COLD: everything, WARM: everything, SHIPPED: shipped}
    ticks = {kind: Ticks() for kind in planners}
    trajectories = wish.maneuvers * everything.disturbances
    outcomes = trajectories * wish.futures
    peer_s: dict[int, list[float]] = {outcomes: [], wish.maneuvers * wish.futures: []}
    clock_s = time.process_time if wish.cpu_time else time.perf_counter
    kinds = list(planners)
    with _peer_or_why(peer_python, tuple(peer_s), wish.cpu_time) as peer:
        for seed in tqdm(range(wish.rounds + _WARM_UP), desc="ticks", unit="scene", leave=False):
            counts = seed >= _WARM_UP
            frames, goal = frames_of(model, seed)
            warm = _warm_start(model, everything, frames, goal, seed)
            for kind in (kinds := [*kinds[1:], kinds[0]]):  # another one begins each time
                planner = Planner(model, config=planners[kind])
                start = None if kind == COLD else warm
                seconds, output = _timed(planner, frames[1], goal, start, seed, clock_s)
                if counts:
                    ticks[kind].add(seconds, output)
            if isinstance(peer, Peer):
                for count, took_s in peer.command(seed).items():
                    peer_s[count].extend([took_s] if counts else [])
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
    """Return what the latent cache answers to the second frame after the first was solved."""
    cache = LatentCache()
    cache.warm_start(frames[0])
    solved = Planner(model, config=config).plan(frames[0], goal=goal, rng=np.random.default_rng(seed))
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
    output = planner.plan(frame, goal=goal, rng=rng, warm_start=warm_start, clock_s=clock_s)
    return clock_s() - begin_s, output


@contextlib.contextmanager
def _peer_or_why(python: str, counts: tuple[int, ...], cpu_time: bool) -> Iterator[Peer | PeerMissingError]:
    """Open the peer; where it is missing, give the error that says so."""
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
        "peers": {"pytorch-mppi": _peer_told(peer, peer_s)},
    }


def _peer_rates(peer_s: dict[int, list[float]], ours: dict[str, float]) -> dict[str, Any]:
    rates = {str(count): count / float(np.median(values)) for count, values in peer_s.items() if values}
    if not rates:
        return {}
    same = rates[str(int(ours["outcomes"]))]
    ratios = {kind: ours[kind] / same for kind in ("with_imagination", "without_imagination")}
    return {"pytorch-mppi": rates, "times_pytorch-mppi": ratios}


def _peer_told(peer: Peer | PeerMissingError, peer_s: dict[int, list[float]]) -> dict[str, Any]:
    if isinstance(peer, PeerMissingError):
        return {"missing": str(peer)}
    return {"version": peer.version, "command_s": {str(count): percentiles(of) for count, of in peer_s.items()}}


def percentiles(values_s: Any) -> dict[str, float]:
    """Return p50, p95, p99 and the number of samples."""
    if not len(values_s):
        return {"samples": 0}
    found = Quantiles.of(np.asarray(values_s, np.float64))
    return {"p50": found.p50_s, "p95": found.p95_s, "p99": found.p99_s, "samples": found.samples}
