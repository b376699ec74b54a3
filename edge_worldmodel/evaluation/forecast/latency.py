"""Times the networks of a model on this machine, for its manifest and card."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_worldmodel.backends import open_backend
from edge_worldmodel.backends.timing import TICK, Workload, measure
from edge_worldmodel.core.tensors import NETWORKS
from edge_worldmodel.models.doctor import this_machine
from edge_worldmodel.models.inventory import device_name
from edge_worldmodel.models.manifest import VerifiedModel, load_model

_FUTURES = 32
_THREADS = 2
"""The default of the nodes."""


def model_latency(directory: Path, known: Mapping[str, Any] | None = None, rounds: int = 15) -> dict[str, Any]:
    """Return the median seconds of one call of each network, and of a tick in the model's own number of steps.

    Other work on the machine can only make a measurement slower, so the faster of two is kept. Processor time with one
    thread is measured as well, because it depends little on other work.

    Args:
        directory: of the model.
        known: an earlier result, kept if it was faster on this machine (or names no machine).
        rounds: ticks to measure.
    """
    model = load_model(directory)
    steps = int(model.manifest.get("denoise_steps", 1))
    machine = device_name(this_machine(lambda _: ""))
    found = {
        "futures": _FUTURES,
        "threads": _THREADS,
        "steps": steps,
        "machine": machine,
        "load": round(os.getloadavg()[0], 1),
        **_medians(model, _THREADS, steps, rounds, time.perf_counter),
    }
    if known and known.get("machine", machine) == machine and all(name in known for name in NETWORKS):
        known_tick = known["encoder"] + steps * known["denoiser"] + known["decoder"]
        if known.get("futures") == _FUTURES and known_tick < found[TICK]:
            found = {**known, "steps": steps, TICK: round(known_tick, 5)}
    return found | {"processor_s": _medians(model, 1, steps, rounds, time.process_time)}


def _medians(
    model: VerifiedModel, threads: int, steps: int, rounds: int, clock_s: Callable[[], float]
) -> dict[str, Any]:
    backend = open_backend("onnxruntime", threads)
    backend.load(model.networks)
    times = measure({"model": backend}, Workload(_FUTURES, steps), rounds, clock_s)["model"]
    return {"backend": backend.describe()} | {name: round(float(np.median(t)), 5) for name, t in times.items()}
