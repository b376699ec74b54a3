"""What ONNX Runtime's session settings are worth: `evaluation.bench.session_figures [ROUNDS]`.

CPU time of one tick on one thread, all settings in turn: comparable on a busy machine. Each line changes one setting.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edge_worldmodel.backends.onnxruntime_backend import session_options
from edge_worldmodel.backends.timing import TICK, Workload, measure
from edge_worldmodel.core.tensors import NETWORKS
from edge_worldmodel.models.manifest import load_model
from edge_worldmodel.models.record import DEFAULT_VARIANT
from edge_worldmodel.models.shipped import models_folder

Change = Callable[[Any], None]
_LEVEL = ort.GraphOptimizationLevel
CHANGES: dict[str, Change] = {
    "as shipped": lambda options: None,
    "no graph optimisation": lambda options: setattr(options, "graph_optimization_level", _LEVEL.ORT_DISABLE_ALL),
    "no layout changes": lambda options: setattr(options, "graph_optimization_level", _LEVEL.ORT_ENABLE_EXTENDED),
    "no arena": lambda options: setattr(options, "enable_cpu_mem_arena", False),
    "no memory pattern": lambda options: setattr(options, "enable_mem_pattern", False),
    "not deterministic": lambda options: setattr(options, "use_deterministic_compute", False),
    "denormals as zero": lambda options: options.add_session_config_entry("session.set_denormal_as_zero", "1"),
}


class Sessions:
    """Plain sessions with one setting changed."""

    def __init__(self, change: Change) -> None:
        """Change the options that the backend uses."""
        self._change = change
        self._sessions: dict[str, Any] = {}

    def load(self, networks: Mapping[str, bytes]) -> None:
        """Make the sessions."""
        for name, data in networks.items():
            options = session_options(1)
            self._change(options)
            self._sessions[name] = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def run(self, network: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one network."""
        names = [tensor.name for tensor in NETWORKS[network].outputs]
        return dict(zip(names, self._sessions[network].run(names, dict(inputs)), strict=True))

    def describe(self) -> str:
        """Name the runtime."""
        return f"ONNX Runtime {ort.__version__}"


def main(rounds: int) -> None:
    """Measure and print."""
    model = load_model(models_folder() / DEFAULT_VARIANT)
    contenders = {name: Sessions(change) for name, change in CHANGES.items()}
    for sessions in contenders.values():
        sessions.load(model.networks)
    times = measure(contenders, Workload(), rounds, time.process_time)
    shipped_s = float(np.median(times["as shipped"][TICK]))
    print(f"{model.model_id}, ONNX Runtime {ort.__version__}, 32 futures, 2 steps, one thread, {rounds} rounds")
    for name, of in times.items():
        median_s = float(np.median(of[TICK]))
        print(f"{name:24s} {1e3 * median_s:7.1f} ms of CPU time, {median_s / shipped_s:.3f} times the shipped")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
