"""`edge-worldmodel evaluate forecast`: how well the future is foreseen, against what a robot would do without us.

Everything runs through core.world_model and the exported networks: what is measured is what ships.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge_worldmodel.backends import open_backend
from edge_worldmodel.core.tensors import GRID_CHANNELS, HORIZON_STEP_S, HORIZON_STEPS, LATENT, OFF_GRID_M
from edge_worldmodel.core.world_model import WorldModel
from edge_worldmodel.evaluation.forecast_baselines import Baseline, constant_velocity, persistence
from edge_worldmodel.evaluation.forecast_card import write_card
from edge_worldmodel.evaluation.forecast_data import EvaluationData, Example, examples, load_data, pick
from edge_worldmodel.evaluation.forecast_metrics import Scores, summarise
from edge_worldmodel.evaluation.forecast_picture import draw_strips
from edge_worldmodel.evaluation.joint_scores import energy_scores, path_scores, random_paths
from edge_worldmodel.evaluation.junction import covers_both, draw_junction, standing_maneuver
from edge_worldmodel.evaluation.run_report import commit
from edge_worldmodel.store.manifest import MANIFEST_NAME, load_model
from edge_worldmodel.training.splits import Clips

FUTURES = 16
STEPS = (1, 2, 4)
TEACHER_STEPS = 16
JUNCTIONS = 100
OURS, TEACHER, DETERMINISTIC, UNCONDITIONED = "ours", "ours_teacher", "deterministic", "ours_unconditioned"
"""``ours`` takes the steps that the model's manifest asks for; with others it is ours_<n>_step. Unconditioned: the
same model, not told the maneuver."""
_BOOTSTRAP_DRAWS = 500
_WATCHED_CELLS, _ENOUGH_CELLS = 800, 16
"""For pictures: free cells in the oldest frame, and seen cells of movers, beyond which more adds nothing."""

Tensor = NDArray[np.float32]
Method = Callable[[Example], Tensor]
"""From a clip to futures (N, H, 64, 64); N is 1 for who gives the probability of each cell and nothing else."""


class Forecaster:
    """Imagines futures of a clip with an exported model, under the maneuver that was really driven."""

    def __init__(
        self, model: WorldModel, steps: int, futures: int = FUTURES, seed: int = 0, *, withheld: bool = False
    ) -> None:
        """Use a loaded model.

        Args:
            model: to imagine with.
            steps: denoising steps.
            futures: how many; 0: one, imagined without noise.
            seed: fixes the noise of every clip.
            withheld: the model is not told the maneuver.
        """
        self._model, self._steps, self._futures, self._withheld = model, steps, futures, withheld
        self._rng = np.random.default_rng(seed)

    def __call__(self, example: Example) -> Tensor:
        """Return futures (N, H, 64, 64) of a clip."""
        return self.imagine(example.history, example.maneuver)

    def imagine(self, history: Tensor, driven: NDArray[np.float32]) -> Tensor:
        """Return futures (N, H, 64, 64) of a history (10, 64, 64) under a maneuver (H, 3)."""
        context = self._model.encode(history[None])
        noise = self._rng.standard_normal(LATENT.with_batch(self._futures)).astype(np.float32)
        if not self._futures:
            noise = np.zeros(LATENT.with_batch(1), np.float32)
        maneuver = driven[None].astype(np.float64)
        if self._withheld:
            maneuver[:] = OFF_GRID_M, OFF_GRID_M, 0.0
        latents = self._model.imagine(context, maneuver, noise, steps=self._steps).latents
        return self._model.decode(latents, context)


def our_methods(model: WorldModel, manifest: dict[str, Any], seed: int = 0) -> dict[str, Forecaster]:
    """Return ours with the model's own number of steps and with others."""
    own = int(manifest.get("denoise_steps", max(STEPS)))
    others = {f"{OURS}_{steps}_step": Forecaster(model, steps, seed=seed) for steps in STEPS if steps != own}
    blind = Forecaster(model, own, seed=seed, withheld=True)
    return {OURS: Forecaster(model, own, seed=seed), **others, UNCONDITIONED: blind}


def junction_coverage(forecaster: Forecaster, scenes: int = JUNCTIONS, seed: int = 0) -> float:
    """Return the share of T-junctions in whose futures somebody goes left in one and right in another."""
    rng = np.random.default_rng(seed)
    drawn = (draw_junction(rng) for _ in range(scenes))
    covered = [covers_both(forecaster.imagine(each.history, standing_maneuver()), each) for each in drawn]
    return float(np.mean(covered))


def evaluate(data: EvaluationData, methods: dict[str, Method], seed: int = 0) -> dict[str, dict[str, list[float]]]:
    """Return every metric of every method and baseline on one data set, a value per horizon."""
    everyone = methods | {name: _alone(baseline) for name, baseline in _baselines(data.validation).items()}
    scores = {name: Scores() for name in everyone}
    rng = np.random.default_rng(seed)
    for example in tqdm(examples(data.test), total=len(data.test), desc=data.name, unit="clip"):
        paths = random_paths(rng)
        for name, method in everyone.items():
            _score(scores[name], method(example), example, paths)
    return {name: summarise(score, data.test.group, _BOOTSTRAP_DRAWS) for name, score in scores.items()}


def _score(scores: Scores, futures: Tensor, example: Example, paths: NDArray[np.intp]) -> None:
    truth = example.truth
    scores.add(futures.mean(axis=0), truth)
    if len(futures) > 1:
        scores.add_futures(futures, truth)
    present = example.history[-GRID_CHANNELS] > 0
    scores.add_joint(*path_scores(futures, truth, present, paths), energy_scores(futures, truth))


def _alone(baseline: Baseline) -> Method:
    return lambda example: baseline.forecast(example.history)[None]


def _baselines(validation: Clips) -> dict[str, Baseline]:
    raw = {"persistence": persistence, "constant_velocity": constant_velocity}
    methods = {name: Baseline(forecast) for name, forecast in raw.items()}
    for name, forecast in raw.items():
        calibrated = Baseline(forecast)
        calibrated.fit((example.history, example.truth) for example in examples(validation))
        methods[f"{name}_calibrated"] = calibrated
    return methods


def open_model(directory: Path, threads: int) -> tuple[WorldModel, dict[str, Any]]:
    """Verify and load a model directory; returns the model and its manifest."""
    verified = load_model(directory)
    backend = open_backend("onnxruntime", threads)
    backend.load(verified.networks)
    return WorldModel(backend, verified.model_id), verified.manifest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `edge-worldmodel evaluate forecast`."""
    what = "'sim', a folder of shards, a folder or file of ETH/UCY tracks, of bags, of CARMEN logs; may be repeated"
    parser.add_argument("--data", required=True, action="append", help=what)
    parser.add_argument("--json", type=Path, required=True, help="file for the results")
    parser.add_argument("--model", type=Path, default=Path("models/small"), help="model directory")
    parser.add_argument("--teacher", type=Path, help="model directory of the teacher, to be scored as ours_teacher")
    parser.add_argument("--deterministic", type=Path, help="model directory of the network trained without noise")
    parser.add_argument("--clips", type=int, default=600, help="test clips per data set")
    where = "folder or file of tracks to calibrate baselines on when --data is tracks; simulated clips by default"
    parser.add_argument("--split", choices=("test", "val"), default="test", help="clips of a folder of shards to score")
    parser.add_argument("--validate-tracks", type=Path, help=where)
    parser.add_argument("--threads", type=int, default=2, help="compute threads")
    parser.add_argument("--seed", type=int, default=0, help="seed of the imagined futures")
    parser.add_argument("--card", action="store_true", help="write the figures into the model's manifest and card")
    parser.add_argument("--picture", type=Path, help="draw strips of past, truth and imagined futures to this file")


def run(args: argparse.Namespace) -> int:
    """Evaluate; returns the exit status."""
    model, manifest = open_model(args.model, args.threads)
    started = time.monotonic()
    data = [load_data(where, args.clips, args.validate_tracks, args.split) for where in args.data]
    methods = our_methods(model, manifest, args.seed)
    if args.teacher:
        methods[TEACHER] = Forecaster(open_model(args.teacher, args.threads)[0], TEACHER_STEPS, seed=args.seed)
    coverage = {name: junction_coverage(method) for name, method in methods.items() if name != UNCONDITIONED}
    for name, share in coverage.items():
        print(f"{name}: both branches in {FUTURES} futures of {share:.0%} of {JUNCTIONS} T-junctions")
    if args.deterministic:
        methods[DETERMINISTIC] = Forecaster(open_model(args.deterministic, args.threads)[0], 1, futures=0)
    results = {each.name: evaluate(each, dict(methods), args.seed) for each in data}
    report = {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "model_id": model.model_id,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "seed": args.seed,
        "futures": FUTURES,
        "clips": {each.name: len(each.test) for each in data},
        "horizons_s": [round(HORIZON_STEP_S * (step + 1), 3) for step in range(HORIZON_STEPS)],
        "elapsed_s": round(time.monotonic() - started, 1),
        "junction_both_branches": coverage,
        "results": results,
    }
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    _print(results)
    if args.picture:
        draw_strips(args.picture, telling(data[0].test), methods[OURS])
    if args.card:
        manifest["quality"] = quality(report)
        (args.model / MANIFEST_NAME).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        write_card(args.model, manifest, report)
    return 0


def quality(report: dict[str, Any]) -> dict[str, Any]:
    """Return what the manifest keeps of a report: the metrics per horizon, without their intervals."""
    kept = ("brier_moving", "brier_reach", "brier_all", "nll_moving", "iou", "ap", "ece", "best_of_n", "each_of_n",
            "path_brier", "energy", "free_called_occupied", "walls_lost")  # fmt: skip
    results = {
        data: {
            method: {name: [round(value, 5) for value in values] for name, values in metrics.items() if name in kept}
            for method, metrics in methods.items()
        }
        for data, methods in report["results"].items()
    }
    return {name: report[name] for name in ("created", "commit", "futures", "clips", "horizons_s")} | {
        "results": results
    }


def telling(clips: Clips, count: int = 2) -> list[Example]:
    """Choose clips of different scenes in which a few movers are seen well and go far."""
    seen = np.unpackbits(clips.present_moving & clips.history[:, -GRID_CHANNELS], axis=-1).sum(axis=-1, dtype=int)
    gone = np.unpackbits(clips.moving[:, -1] & ~clips.present_moving, axis=-1).sum(axis=-1, dtype=int)
    watched = np.unpackbits(clips.history[:, 1], axis=-1).sum(axis=-1, dtype=int) > _WATCHED_CELLS
    amount = np.minimum(seen, _ENOUGH_CELLS) + np.minimum(gone, 2 * _ENOUGH_CELLS) - 1000 * ~watched
    chosen: list[int] = []
    for index in np.argsort(-amount, kind="stable"):
        if all(clips.group[index] != clips.group[other] for other in chosen):
            chosen.append(int(index))
        if len(chosen) == count:
            break
    return list(examples(pick(clips, np.array(chosen))))


def _print(results: dict[str, dict[str, dict[str, list[float]]]]) -> None:
    shown = ("brier_reach", "brier_all", "best_of_n", "path_brier", "energy")
    for data, methods in results.items():
        print(f"{data}: Brier on moving cells at 0.4 to 3.2 s | mean over 0.8 to 3.2 s of {', '.join(shown)}")
        for method, metrics in methods.items():
            values = " ".join(f"{value:.3f}" for value in metrics["brier_moving"])
            means = [f"{np.nanmean(metrics[name][1:]):.4f}" if name in metrics else "" for name in shown]
            print(f"  {method:30s} {values} | " + " | ".join(means))
