"""Measures how long networks take. Backends are timed in turn, so that other programs affect all of them equally."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.errors import BackendError
from edge_worldmodel.core.model.world_model import Backend
from edge_worldmodel.core.tensors import NETWORKS

Times = NDArray[np.float64]
Inputs = dict[str, NDArray[np.float32]]

TICK = "tick"
"""Name of the sum over a tick: one encoding, all denoising steps, one decoding."""


@dataclass(frozen=True)
class Workload:
    """The networks' work in one tick of perception and planner."""

    futures: int = 32
    steps: int = 2

    def calls(self) -> dict[str, int]:
        """Return how often each network runs in one tick."""
        return {name: self.steps if name == "denoiser" else 1 for name in NETWORKS}


@dataclass(frozen=True)
class Quantiles:
    """Quantiles of the time of one call."""

    p50_s: float
    p95_s: float
    p99_s: float
    samples: int

    @staticmethod
    def of(times_s: Times) -> Quantiles:
        """Summarise times in seconds."""
        p50_s, p95_s, p99_s = (float(value) for value in np.quantile(times_s, (0.5, 0.95, 0.99)))
        return Quantiles(p50_s, p95_s, p99_s, len(times_s))


def measure(
    contenders: Mapping[str, Backend], workload: Workload, rounds: int, clock_s: Callable[[], float]
) -> dict[str, dict[str, Times]]:
    """Time every network of every backend.

    In each round every backend runs one tick; each round begins with another backend.

    Args:
        contenders: backends with networks loaded, by name.
        workload: futures and denoising steps.
        rounds: ticks to count per backend, after a few that are not counted.
        clock_s: monotonic clock in seconds.

    Returns:
        By backend and network (or TICK): seconds of one call, one value per round; for the denoiser the mean over the
        steps of the tick.
    """
    if rounds < 1:
        raise BackendError(f"rounds = {rounds!r}, must be at least 1")
    inputs = {name: _inputs(name, workload.futures) for name in NETWORKS}
    calls = workload.calls()
    names = list(contenders)
    times: dict[str, dict[str, list[float]]] = {name: {n: [] for n in (*NETWORKS, TICK)} for name in names}
    warm_up = min(3, rounds)
    for number in range(-warm_up, rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            spent = {n: _time(contenders[name], n, inputs[n], calls[n], clock_s) for n in NETWORKS}
            if number >= 0:
                for network, seconds in spent.items():
                    times[name][network].append(seconds / calls[network])
                times[name][TICK].append(sum(spent.values()))
    return {name: {n: np.array(values) for n, values in of.items()} for name, of in times.items()}


def _time(backend: Backend, network: str, inputs: Inputs, calls: int, clock_s: Callable[[], float]) -> float:
    begin_s = clock_s()
    for _ in range(calls):
        backend.run(network, inputs)
    return clock_s() - begin_s


def _inputs(network: str, futures: int) -> Inputs:
    rng = np.random.default_rng(0)
    return {t.name: rng.random(t.with_batch(futures), np.float32) for t in NETWORKS[network].inputs}
