"""Measures one model in a process of its own: `python -m edge_worldmodel.models.trial JSON` prints the figures.

A new process for each model, because peak memory is counted per process.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from edge_worldmodel.backends import open_backend
from edge_worldmodel.backends.options import BackendOptions
from edge_worldmodel.backends.timing import TICK, Quantiles, Workload, measure
from edge_worldmodel.core.errors import EdgeWorldModelError
from edge_worldmodel.models.golden import check_golden
from edge_worldmodel.models.manifest import load_model
from edge_worldmodel.models.model_choice import ServiceLevel, VariantFigures, quality_of

_TIMEOUT_S = 1800.0
"""Time limit for one model; TensorRT may have to build its engines first."""


@dataclasses.dataclass(frozen=True)
class Runtime:
    """Backend, threads and options to run the networks with."""

    backend: str = "onnxruntime"
    threads: int = 2
    options: BackendOptions = BackendOptions()


def try_model(folder: Path, runtime: Runtime, level: ServiceLevel, rounds: int) -> VariantFigures:
    """Measure a model in a new process; a failure is returned as ``problem``, not raised."""
    options = {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(runtime.options).items()}
    task = {"folder": str(folder), "backend": runtime.backend, "threads": runtime.threads, "options": options}
    task |= {"futures": level.futures, "steps": level.steps, "rounds": rounds}
    command = [sys.executable, "-m", __name__, json.dumps(task)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        return VariantFigures(**json.loads(result.stdout.splitlines()[-1]))
    except subprocess.TimeoutExpired:
        return VariantFigures(folder.name, problem=f"took longer than {_TIMEOUT_S:.0f} s")
    except (ValueError, IndexError):
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        return VariantFigures(folder.name, problem=f"its process ended with {result.returncode}: {last}")


def run_task(task: dict[str, Any]) -> VariantFigures:
    """Load, check and time one model in this process."""
    folder = Path(task["folder"])
    options = BackendOptions(**{**task["options"], "engine_dir": Path(task["options"]["engine_dir"])})
    try:
        model = load_model(folder)
        backend = open_backend(task["backend"], task["threads"], options)
        backend.load(model.networks)
        getattr(backend, "wait", bool)()  # TensorRT may still be building engines
        check_golden(backend, model.model_id, model.manifest)
        workload = Workload(task["futures"], task["steps"])
        times = measure({folder.name: backend}, workload, task["rounds"], time.perf_counter)[folder.name][TICK]
    except EdgeWorldModelError as error:
        return VariantFigures(folder.name, problem=str(error))
    tick = Quantiles.of(times)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    size = sum(len(data) for data in model.networks.values())
    times_s = tick.p50_s, tick.p95_s, tick.p99_s
    return VariantFigures(folder.name, model.model_id, size, *times_s, peak_mb, error=quality_of(model.manifest))


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(run_task(json.loads(sys.argv[1])))))
