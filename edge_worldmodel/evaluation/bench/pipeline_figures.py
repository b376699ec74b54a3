"""Whether overlapping denoising and decoding helps: the same batches in turn, as a pipeline, and shared out.

``in turn``: each batch is denoised and decoded before the next, all threads in one operator (so the planner does).
``pipeline``: one thread denoises, another decodes what is denoised, one batch waiting between them at most.
``shared out``: two threads take whole batches. Each of two threads has a network runtime of half the threads.

    python -m edge_worldmodel.evaluation.bench.pipeline_figures --rounds 40
"""

from __future__ import annotations

import argparse
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edge_worldmodel.backends import open_backend
from edge_worldmodel.core import tensors
from edge_worldmodel.core.model.world_model import WorldModel
from edge_worldmodel.core.planner.planner import PlannerConfig
from edge_worldmodel.core.types import Tensor
from edge_worldmodel.evaluation.bench.bench_tick import frames_of
from edge_worldmodel.models.manifest import VerifiedModel, load_model
from edge_worldmodel.models.record import DEFAULT_VARIANT
from edge_worldmodel.models.shipped import models_folder

Batches = list[tuple[Tensor, Tensor]]
"""Maneuvers (M, H, 3) and noise (F, Cl, 16, 16) of each."""


class Contender:
    """One way to get through the batches of a tick; returns the occupancy of each."""

    def __init__(self, models: Sequence[WorldModel], context: Tensor, steps: int) -> None:
        """Use one model per thread."""
        self._models, self._context, self._steps = models, context, steps

    def _denoised(self, model: WorldModel, batch: tuple[Tensor, Tensor]) -> Tensor:
        return model.imagine(self._context, batch[0].astype(np.float64), batch[1], steps=self._steps).latents

    def in_turn(self, batches: Batches) -> list[Tensor]:
        """Finish each batch before the next."""
        model = self._models[0]
        return [model.decode(self._denoised(model, batch), self._context) for batch in batches]

    def pipeline(self, batches: Batches) -> list[Tensor]:
        """Denoise on this thread, decode on another one."""
        waiting: queue.Queue[Tensor | None] = queue.Queue(maxsize=1)
        done: list[Tensor] = []

        def decode() -> None:
            while (latents := waiting.get()) is not None:
                done.append(self._models[1].decode(latents, self._context))

        other = threading.Thread(target=decode)
        other.start()
        for batch in batches:
            waiting.put(self._denoised(self._models[0], batch))
        waiting.put(None)
        other.join()
        return done

    def shared_out(self, batches: Batches) -> list[Tensor]:
        """Take every other batch on another thread."""
        done: list[Tensor | None] = [None] * len(batches)

        def take(which: int) -> None:
            for number in range(which, len(batches), 2):
                latents = self._denoised(self._models[which], batches[number])
                done[number] = self._models[which].decode(latents, self._context)

        other = threading.Thread(target=take, args=(1,))
        other.start()
        take(0)
        other.join()
        return [futures for futures in done if futures is not None]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the medians, cold and warm, and by how much they differ from working in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2, help="cores to use; %(default)s")
    options = parser.parse_args(arguments)
    config, verified = PlannerConfig(), load_model(models_folder() / DEFAULT_VARIANT)
    whole = _model(verified, options.threads)
    halves = [_model(verified, max(options.threads // 2, 1)) for _ in range(2)]
    (_, frame), _ = frames_of(whole, 0)
    batches = _batches(config)
    size = f"{len(batches)} batches of {len(batches[0][0]) * config.futures} futures"
    print(f"{verified.model_id}, {size}, {options.threads} cores")
    for name, steps in (("cold", config.steps_cold), ("warm", config.steps_warm)):
        one, two = (Contender(models, frame.tensor, steps) for models in ([whole], halves))
        ways = {"in turn": one.in_turn, "pipeline": two.pipeline, "shared out": two.shared_out}
        median_s = _measure(ways, batches, options.rounds)
        told = ", ".join(
            f"{way} {1e3 * seconds:.1f} ms ({seconds / median_s['in turn']:.2f})" for way, seconds in median_s.items()
        )
        print(f"{name}, {steps} steps, medians of {options.rounds} and their share of in turn: {told}")


def _measure(ways: Mapping[str, Callable[[Batches], list[Tensor]]], batches: Batches, rounds: int) -> dict[str, float]:
    """Return the median elapsed seconds of each way, taken in turn; all must come to the same."""
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(-2, rounds):
        results = {}
        for way, run in ways.items():
            begin_s = time.perf_counter()
            results[way] = run(batches)
            taken[way] += [time.perf_counter() - begin_s] if number >= 0 else []
        first = np.concatenate(results["in turn"])
        assert all(np.allclose(first, np.concatenate(result), atol=1e-4) for result in results.values())
    return {way: float(np.median(values)) for way, values in taken.items()}


def _model(verified: VerifiedModel, threads: int) -> WorldModel:
    backend = open_backend("onnxruntime", threads)
    backend.load(verified.networks)
    return WorldModel(backend, verified.model_id)


def _batches(config: PlannerConfig) -> Batches:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(tensors.LATENT.with_batch(config.futures), np.float32)
    size = tensors.MANEUVER.with_batch(config.imagined_at_once)
    return [
        (rng.uniform(-2.0, 2.0, size).astype(np.float32), noise)
        for _ in range(config.maneuvers // config.imagined_at_once)
    ]


if __name__ == "__main__":
    main()
