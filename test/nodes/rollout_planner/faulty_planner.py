"""The planner node on a backend that fails, in the way that $FAULT says, for as long as the file $FAULT_FILE exists."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from edge_worldmodel.backends import BACKENDS
from edge_worldmodel.backends.deterministic_backend import DeterministicBackend
from edge_worldmodel.core.errors import BackendError
from edge_worldmodel.nodes.rollout_planner.rollout_planner_node import main

SLEEP_S = 0.8
FILE = Path(os.environ["FAULT_FILE"])


class Faulty(DeterministicBackend):
    """Sleeps, hangs, raises or returns NaN."""

    def run(self, network: str, inputs: dict) -> dict:
        outputs = super().run(network, inputs)
        kind = os.environ["FAULT"] if FILE.exists() else ""
        if kind == "sleeps":
            time.sleep(SLEEP_S)
        while kind == "hangs" and FILE.exists():
            time.sleep(0.01)
        if kind == "raises":
            raise BackendError("the accelerator fell off the bus")
        if kind == "returns NaN":
            return {name: np.full_like(value, np.nan) for name, value in outputs.items()}
        return outputs


if __name__ == "__main__":
    BACKENDS["deterministic"] = lambda threads, options, note: Faulty()
    main()
