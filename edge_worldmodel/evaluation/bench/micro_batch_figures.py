"""What one batch for several robots could save at most: the same futures in one batch, and in one batch per robot.

All of them are given the same context, because the exported networks take one; a batch for several robots would need
one context each, and cannot be cheaper than this. A minute on a quiet core:

    scripts/with-ros python -m edge_worldmodel.evaluation.bench.micro_batch_figures --rounds 60
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from edge_worldmodel.backends import open_backend
from edge_worldmodel.core import tensors
from edge_worldmodel.core.model.world_model import Backend
from edge_worldmodel.core.types import Tensor
from edge_worldmodel.evaluation.controllers.ours.ours import OursConfig
from edge_worldmodel.evaluation.controllers.shipped import MODEL, shipped
from edge_worldmodel.models.manifest import load_model


def inputs_of(network: str, futures: int, rng: np.random.Generator) -> dict[str, Tensor]:
    """Return noise as the inputs of a network; what it is does not change how long the network takes."""
    specs = tensors.NETWORKS[network].inputs
    return {spec.name: rng.uniform(0.0, 1.0, spec.with_batch(futures)).astype(np.float32) for spec in specs}


def compare(backend: Backend, network: str, futures: int, robots: int, rounds: int) -> list[list[float]]:
    """Return seconds for all robots, one after the other and in one batch: elapsed, and of processor time."""
    rng = np.random.default_rng(0)
    apart, together = inputs_of(network, futures, rng), inputs_of(network, futures * robots, rng)
    times = np.empty((rounds, 2, 2))
    for number in range(-3, rounds):
        for which in (number % 2, 1 - number % 2):
            began = time.perf_counter(), time.process_time()
            for _ in range(1 if which else robots):
                backend.run(network, together if which else apart)
            times[max(number, 0), :, which] = time.perf_counter() - began[0], time.process_time() - began[1]
    medians: list[list[float]] = np.median(times, axis=0).tolist()
    return medians


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each network and number of threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--futures", type=int, default=8, help="of one robot: two maneuvers of four futures")
    parser.add_argument("--robots", type=int, default=2)
    parser.add_argument("--model-dir", default=OursConfig().model_dir, help="default: the shipped model")
    options = parser.parse_args(arguments)
    networks = load_model(options.model_dir or shipped(MODEL)).networks
    for threads, network in tqdm([(t, n) for t in (1, 2) for n in ("denoiser", "decoder")]):
        backend = open_backend("onnxruntime", threads)
        backend.load(networks)
        figures = compare(backend, network, options.futures, options.robots, options.rounds)
        (turn_s, batch_s), (turn_cpu_s, batch_cpu_s) = figures
        print(
            f"{network}, {threads} threads: {options.robots} x {options.futures} futures {1e3 * turn_s:.1f} ms, "
            f"1 x {options.robots * options.futures} {1e3 * batch_s:.1f} ms ({batch_s / turn_s:.2f}); processor time "
            f"{1e3 * turn_cpu_s:.1f} and {1e3 * batch_cpu_s:.1f} ms ({batch_cpu_s / turn_cpu_s:.2f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
