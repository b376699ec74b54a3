"""How long the networks of a model take on this machine, for its manifest and card."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from edge_worldmodel.backends import open_backend
from edge_worldmodel.backends.timing import TICK, Workload, measure
from edge_worldmodel.placement.doctor import this_machine
from edge_worldmodel.placement.inventory import device_name
from edge_worldmodel.store.manifest import load_model

_FUTURES = 32
_THREADS = 2
"""As the nodes have it."""


def model_latency(directory: Path, rounds: int = 15) -> dict[str, Any]:
    """Return the median seconds of one call of each network, and of a tick in the model's own number of steps.

    Args:
        directory: of the model.
        rounds: ticks to measure.
    """
    model = load_model(directory)
    backend = open_backend("onnxruntime", _THREADS)
    backend.load(model.networks)
    workload = Workload(_FUTURES, int(model.manifest.get("denoise_steps", 1)))
    times = measure({"model": backend}, workload, rounds, time.perf_counter)["model"]
    return {
        "futures": _FUTURES,
        "threads": _THREADS,
        "steps": workload.steps,
        "backend": backend.describe(),
        "machine": device_name(this_machine(lambda _: "")),
        "load": round(os.getloadavg()[0], 1),
        **{name: round(float(np.median(values)), 5) for name, values in times.items() if name != TICK},
        TICK: round(float(np.median(times[TICK])), 5),
    }
