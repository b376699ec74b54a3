"""`edge-worldmodel evaluate forecast`: how well the future is foreseen, against what a robot would do without us.

Everything runs through core.world_model and the exported networks: what is measured is what ships.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge_worldmodel.backends import open_backend
from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.core.tensors import GRID_CHANNELS, HORIZON_STEP_S, HORIZON_STEPS, LATENT
from edge_worldmodel.core.world_model import WorldModel
from edge_worldmodel.evaluation.forecast_baselines import Baseline, constant_velocity, persistence
from edge_worldmodel.evaluation.forecast_card import write_card
from edge_worldmodel.evaluation.forecast_metrics import Scores, Truth, make_truth, summarise
from edge_worldmodel.evaluation.forecast_picture import draw_strips
from edge_worldmodel.evaluation.run_report import commit
from edge_worldmodel.store.manifest import MANIFEST_NAME, load_model
from edge_worldmodel.training.shards import unpack
from edge_worldmodel.training.sources import Recordings
from edge_worldmodel.training.splits import Clips, load_split, make_split

FUTURES = 16
STEPS = (1, 2, 4)
OURS = "ours"
"""The name of ours with the most steps; with fewer it is ours_<n>_step."""
_TEST_SEED = 990_000
_VALIDATION_CLIPS = 300
_BOOTSTRAP_DRAWS = 500
_WATCHED_CELLS, _ENOUGH_CELLS = 800, 16
"""For pictures: free cells in the oldest frame, and seen cells of movers, beyond which more adds nothing."""

Tensor = NDArray[np.float32]


@dataclass(frozen=True)
class EvaluationData:
    """What is forecast, and validation clips from elsewhere on which the baselines are calibrated."""

    name: str
    test: Clips
    validation: Clips


@dataclass(frozen=True)
class Example:
    """One clip unpacked: history (10, 64, 64), maneuver (8, 3) and what happened."""

    history: Tensor
    maneuver: Tensor
    truth: Truth


def examples(clips: Clips) -> Iterator[Example]:
    """Unpack clips one by one."""
    for index in range(len(clips)):
        known, moving = unpack(clips.future_known[index]), unpack(clips.moving[index])
        truth = make_truth(unpack(clips.future[index]), known, moving, unpack(clips.present_moving[index]))
        yield Example(unpack(clips.history[index]).astype(np.float32), clips.maneuver[index], truth)


class Forecaster:
    """Imagines futures of a clip with the exported model."""

    def __init__(self, model: WorldModel, seed: int = 0) -> None:
        """Use a loaded model; ``seed`` fixes the noise of every clip."""
        self._model = model
        self._rng = np.random.default_rng(seed)

    def imagine(self, example: Example, futures: int = FUTURES) -> dict[int, Tensor]:
        """Return futures (N, H, 64, 64) per number of steps, under the maneuver that was really driven."""
        context = self._model.encode(example.history[None])
        noise = self._rng.standard_normal(LATENT.with_batch(futures)).astype(np.float32)
        maneuver = example.maneuver[None].astype(np.float64)
        drawn = {}
        for steps in STEPS:
            latents = self._model.imagine(context, maneuver, noise, steps=steps).latents
            drawn[steps] = self._model.decode(latents, context)
        return drawn


def method_name(steps: int) -> str:
    """Return the name of ours with a number of steps."""
    return OURS if steps == max(STEPS) else f"{OURS}_{steps}_step"


def evaluate(data: EvaluationData, model: WorldModel, seed: int = 0) -> dict[str, dict[str, list[float]]]:
    """Return every metric of every method on one data set, a value per horizon."""
    baselines = _baselines(data.validation)
    forecaster = Forecaster(model, seed)
    scores: dict[str, Scores] = {}
    for example in tqdm(examples(data.test), total=len(data.test), desc=data.name, unit="clip"):
        for steps, futures in forecaster.imagine(example).items():
            method = scores.setdefault(method_name(steps), Scores())
            method.add(futures.mean(axis=0), example.truth)
            method.add_futures(futures, example.truth)
        for name, baseline in baselines.items():
            scores.setdefault(name, Scores()).add(baseline.forecast(example.history), example.truth)
    return {name: summarise(score, data.test.group, _BOOTSTRAP_DRAWS) for name, score in scores.items()}


def _baselines(validation: Clips) -> dict[str, Baseline]:
    raw = {"persistence": persistence, "constant_velocity": constant_velocity}
    methods = {name: Baseline(forecast) for name, forecast in raw.items()}
    for name, forecast in raw.items():
        calibrated = Baseline(forecast)
        calibrated.fit((example.history, example.truth) for example in examples(validation))
        methods[f"{name}_calibrated"] = calibrated
    return methods


def load_data(where: str, clips: int, tracks: Path | None = None) -> EvaluationData:
    """Return the data that ``--data`` names.

    Args:
        where: "sim", a folder of shards, or a folder of (or one file of) tracks in the ETH/UCY format.
        clips: how many test clips to use at most.
        tracks: scenes to calibrate baselines on when ``where`` is tracks; simulated ones serve otherwise.

    Raises:
        RecordingError: there is nothing of the kind.
    """
    if where == "sim":
        return EvaluationData("sim", _made(Recordings(), "test", clips), _made(Recordings(), "val", _VALIDATION_CLIPS))
    path = Path(where)
    if (path / "test").is_dir():
        test, validation = load_split(path, "test"), load_split(path, "val")
        return EvaluationData(path.name, _first(test, clips), _first(validation, _VALIDATION_CLIPS))
    test = make_split(Recordings(tracks=_track_files(path)), "test", clips, _TEST_SEED, only_tracks=True)
    others = Recordings(tracks=_track_files(tracks)) if tracks else Recordings()
    validation = make_split(others, "val", _VALIDATION_CLIPS, _TEST_SEED, only_tracks=tracks is not None)
    return EvaluationData(path.stem, test, validation)


def _track_files(path: Path) -> tuple[Path, ...]:
    files = (path,) if path.is_file() else tuple(sorted(path.glob("*.txt")))
    if not files:
        raise RecordingError(f"{path}: neither 'sim' nor a folder of shards or of tracks (*.txt)")
    return files


def _made(recordings: Recordings, split: str, clips: int) -> Clips:
    return make_split(recordings, split, clips, _TEST_SEED)


def _first(clips: Clips, count: int) -> Clips:
    # Evenly through the split, so that every scene and source is in.
    index = np.unique(np.linspace(0, len(clips) - 1, min(count, len(clips))).astype(int))
    return _at(clips, index)


def open_model(directory: Path, threads: int) -> tuple[WorldModel, dict[str, Any]]:
    """Verify and load a model directory; returns the model and its manifest."""
    verified = load_model(directory)
    backend = open_backend("onnxruntime", threads)
    backend.load(verified.networks)
    return WorldModel(backend, verified.model_id), verified.manifest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `edge-worldmodel evaluate forecast`."""
    what = "'sim', a folder of shards, a folder or file of ETH/UCY tracks; may be repeated"
    parser.add_argument("--data", required=True, action="append", help=what)
    parser.add_argument("--json", type=Path, required=True, help="file for the results")
    parser.add_argument("--model", type=Path, default=Path("models/small"), help="model directory")
    parser.add_argument("--clips", type=int, default=600, help="test clips per data set")
    where = "folder or file of tracks to calibrate baselines on when --data is tracks; simulated clips by default"
    parser.add_argument("--validate-tracks", type=Path, help=where)
    parser.add_argument("--threads", type=int, default=2, help="compute threads")
    parser.add_argument("--seed", type=int, default=0, help="seed of the imagined futures")
    parser.add_argument("--card", action="store_true", help="write the figures into the model's manifest and card")
    parser.add_argument("--picture", type=Path, help="draw strips of past, truth and imagined futures to this file")


def run(args: argparse.Namespace) -> int:
    """Evaluate; returns the exit status."""
    model, manifest = open_model(args.model, args.threads)
    started = time.monotonic()
    data = [load_data(where, args.clips, args.validate_tracks) for where in args.data]
    results = {each.name: evaluate(each, model, args.seed) for each in data}
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
        "results": results,
    }
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    _print(results)
    if args.picture:
        draw_strips(args.picture, _pick(data[0].test), Forecaster(model, args.seed))
    if args.card:
        manifest["quality"] = quality(report)
        (args.model / MANIFEST_NAME).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        write_card(args.model, manifest, report)
    return 0


def quality(report: dict[str, Any]) -> dict[str, Any]:
    """Return what the manifest keeps of a report: the metrics per horizon, without their intervals."""
    kept = ("brier_moving", "brier_reach", "brier_all", "nll_moving", "iou", "ap", "ece", "best_of_n", "each_of_n")
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


def _pick(clips: Clips, count: int = 2) -> list[Example]:
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
    return list(examples(_at(clips, np.array(chosen))))


def _at(clips: Clips, index: NDArray[np.intp]) -> Clips:
    return Clips(**{name: getattr(clips, name)[index] for name in Clips.__dataclass_fields__})


def _print(results: dict[str, dict[str, dict[str, list[float]]]]) -> None:
    for data, methods in results.items():
        print(f"{data}: Brier on moving cells at 0.4 to 3.2 s | reach | all | best of n, mean over 0.8 to 3.2 s")
        for method, metrics in methods.items():
            values = " ".join(f"{value:.3f}" for value in metrics["brier_moving"])
            means = [
                np.mean(metrics[name][1:]) for name in ("brier_reach", "brier_all", "best_of_n") if name in metrics
            ]
            print(f"  {method:30s} {values} | " + " | ".join(f"{mean:.4f}" for mean in means))
