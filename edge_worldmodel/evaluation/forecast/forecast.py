"""`edge-worldmodel evaluate forecast`: open-loop quality of the forecasts, against simple baselines.

All forecasts run through core.model.world_model and the exported networks, as in the nodes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge_worldmodel.backends import open_backend
from edge_worldmodel.backends.timing import TICK, Workload, measure
from edge_worldmodel.core.tensors import GRID_CHANNELS, HORIZON_STEP_S, HORIZON_STEPS, NETWORKS
from edge_worldmodel.evaluation.forecast.baselines import Baseline, constant_velocity, persistence
from edge_worldmodel.evaluation.forecast.card import write_card
from edge_worldmodel.evaluation.forecast.joint_scores import energy_scores, path_forecast, random_paths
from edge_worldmodel.evaluation.forecast.junction import choice_errors, covers_both, draw_junction, waiting_maneuver
from edge_worldmodel.evaluation.forecast.picture import draw_strips
from edge_worldmodel.evaluation.forecast.reliability import draw_reliability
from edge_worldmodel.models.doctor import this_machine
from edge_worldmodel.models.inventory import commit, device_name
from edge_worldmodel.models.manifest import MANIFEST_NAME, VerifiedModel, load_model, totals
from edge_worldmodel.training.data.splits import ClipSet
from edge_worldmodel.training.validation.examples import EvaluationData, Example, examples, load_data, pick
from edge_worldmodel.training.validation.methods import (
    DETERMINISTIC,
    FUTURES,
    OURS,
    TEACHER,
    UNCONDITIONED,
    Forecaster,
    Method,
    Tensor,
    open_model,
    our_methods,
    reference_methods,
)
from edge_worldmodel.training.validation.metrics import Scores, reliability, summarise

JUNCTIONS = 100
_TIMED_FUTURES = 32
_TIMED_THREADS = 2
"""The default of the nodes."""
Results = dict[str, dict[str, list[float]]]
"""Values per horizon, by method and metric."""
_BOOTSTRAP_DRAWS = 500
_FREE_CELLS, _MOVER_CELLS = 800, 16
"""For pictures: needed free cells in the oldest frame, and observed cells of movers that are enough."""


def junction_scores(forecaster: Forecaster, scenes: int = JUNCTIONS) -> dict[str, float]:
    """Return the share of T-junctions with both turns among their futures, and the errors of ``choice_errors``.

    Args:
        forecaster: draws futures.
        scenes: number of junctions.
    """
    rng = np.random.default_rng(0)
    found = []
    for _ in range(scenes):
        junction = draw_junction(rng)
        futures = forecaster.imagine(junction.history, waiting_maneuver())
        found.append((covers_both(futures, junction), *choice_errors(futures, junction)))
    both, best, mean = np.mean(found, axis=0)
    return {"both_branches": float(both), "best_of_n": float(best), "mean": float(mean)}


def score(data: EvaluationData, methods: Mapping[str, Method], seed: int = 0) -> dict[str, Scores]:
    """Score every method and baseline on the same clips and random paths of one data set."""
    everything = {**methods, **{name: _as_method(baseline) for name, baseline in _baselines(data.validation).items()}}
    scores = {name: Scores() for name in everything}
    rng = np.random.default_rng(seed)
    for example in tqdm(examples(data.test), total=len(data.test), desc=data.name, unit="clip"):
        paths = random_paths(rng)
        for name, method in everything.items():
            _score(scores[name], method(example), example, paths)
    return scores


def summaries(data: EvaluationData, scores: dict[str, Scores]) -> Results:
    """Return every metric of every method and baseline on one data set, a value per horizon."""
    return {name: summarise(each, data.test.group, _BOOTSTRAP_DRAWS) for name, each in scores.items()}


def _score(scores: Scores, futures: Tensor, example: Example, paths: NDArray[np.intp]) -> None:
    truth = example.truth
    scores.add(futures.mean(axis=0), truth)
    if len(futures) > 1:
        scores.add_futures(futures, truth)
    present = example.history[-GRID_CHANNELS] > 0
    scores.add_joint(path_forecast(futures, truth, present, paths), energy_scores(futures, truth))


def _as_method(baseline: Baseline) -> Method:
    return lambda example: baseline.forecast(example.history)[None]


def _baselines(validation: ClipSet) -> dict[str, Baseline]:
    raw = {"persistence": persistence, "constant_velocity": constant_velocity}
    methods = {name: Baseline(forecast) for name, forecast in raw.items()}
    for name, forecast in raw.items():
        calibrated = Baseline(forecast)
        calibrated.fit((example.history, example.truth) for example in examples(validation))
        methods[f"{name}_calibrated"] = calibrated
    return methods


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `edge-worldmodel evaluate forecast`."""
    accepted = "'sim', a folder of shards, a folder or file of ETH/UCY tracks, of bags, of CARMEN logs; may be repeated"
    parser.add_argument("--data", required=True, action="append", help=accepted)
    parser.add_argument("--json", type=Path, required=True, help="file for the results")
    parser.add_argument("--model", type=Path, default=Path("models/small"), help="model directory")
    reference = "default: the one in models/reference, if there is one"
    parser.add_argument("--teacher", type=Path, help=f"model directory, scored as {TEACHER}; {reference}")
    parser.add_argument("--deterministic", type=Path, help=f"model directory, scored as {DETERMINISTIC}; {reference}")
    parser.add_argument(
        "--no-reference", action="store_true", help="leave teacher and regression out, which is much faster"
    )
    parser.add_argument("--clips", type=int, default=600, help="test clips per data set")
    tracks = (
        "folder or file of tracks on which baselines are calibrated when --data is tracks; default: simulated clips"
    )
    parser.add_argument("--split", choices=("test", "val"), default="test", help="clips of a folder of shards to score")
    parser.add_argument("--validate-tracks", type=Path, help=tracks)
    parser.add_argument("--threads", type=int, default=2, help="compute threads")
    parser.add_argument("--seed", type=int, default=0, help="seed of the imagined futures")
    parser.add_argument("--card", action="store_true", help="write the results into the model's manifest and card")
    parser.add_argument("--picture", type=Path, help="draw strips of past, truth and imagined futures to this file")
    parser.add_argument("--reliability", type=Path, help="draw probabilities against frequencies to this file (PNG)")


def run(args: argparse.Namespace) -> int:
    """Evaluate; returns the exit status."""
    model, manifest = open_model(args.model, args.threads)
    started = time.monotonic()
    data = [load_data(where, args.clips, args.validate_tracks, args.split) for where in args.data]
    methods = our_methods(model, manifest, args.seed) | _references(args)
    junctions = _junctions(methods)
    scores = {each.name: score(each, methods, args.seed) for each in data}
    results = {each.name: summaries(each, scores[each.name]) for each in data}
    report = {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "model_id": model.model_id,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "seed": args.seed,
        "futures": FUTURES,
        "clips": {each.name: len(each.test) for each in data},
        "damaged_recordings": {each.name: each.damage for each in data if each.damage},
        "horizons_s": [round(HORIZON_STEP_S * (step + 1), 3) for step in range(HORIZON_STEPS)],
        "elapsed_s": round(time.monotonic() - started, 1),
        "junction_both_branches": {name: scores["both_branches"] for name, scores in junctions.items()},
        "junctions": junctions,
        "results": results,
        "reliability": {
            name: {method: reliability(each) for method, each in found.items()} for name, found in scores.items()
        },
    }
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    _print(results)
    _print_damage(data)
    if args.picture:
        draw_strips(args.picture, clips_to_show(data[0].test), methods[OURS])
    if args.reliability:
        draw_reliability(args.reliability, report)
    if args.card:
        manifest["quality"] = quality(report)
        manifest["totals"] = totals(manifest)
        manifest["latency_s"] = model_latency(args.model, manifest.get("latency_s"))
        (args.model / MANIFEST_NAME).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        write_card(args.model, manifest, report)
    return 0


def _references(args: argparse.Namespace) -> dict[str, Forecaster]:
    if args.no_reference:
        return {}
    given = {TEACHER: args.teacher, DETERMINISTIC: args.deterministic}
    found, missing = reference_methods(given, args.threads, args.seed)
    print("\n".join(missing), end="\n" if missing else "")
    return found


def _junctions(methods: Mapping[str, Forecaster]) -> dict[str, dict[str, float]]:
    """Return and print the T-junction scores of the methods that draw several futures."""
    found = {}
    for name, method in methods.items():
        if name not in (UNCONDITIONED, DETERMINISTIC):
            scores = found[name] = junction_scores(method)
            print(
                f"{name}: both turns among {FUTURES} futures in {scores['both_branches']:.0%} of {JUNCTIONS} junctions"
                f"; squared error of the best future {scores['best_of_n']:.3f}, of their mean {scores['mean']:.3f}"
            )
    return found


def quality(report: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a report for the manifest: the metrics per horizon, without their intervals."""
    kept = ("brier_moving", "brier_reach", "brier_all", "nll_moving", "iou", "ap", "ece", "best_of_n", "each_of_n",
            "path_brier", "path_ece", "energy", "free_called_occupied", "always_free_called_occupied",
            "walls_lost")  # fmt: skip
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


def clips_to_show(clips: ClipSet) -> list[Example]:
    """Choose two clips for pictures, of different scenes, in which movers are observed well and go far."""
    seen = np.unpackbits(clips.present_moving & clips.history[:, -GRID_CHANNELS], axis=-1).sum(axis=-1, dtype=int)
    gone = np.unpackbits(clips.moving[:, -1] & ~clips.present_moving, axis=-1).sum(axis=-1, dtype=int)
    watched = np.unpackbits(clips.history[:, 1], axis=-1).sum(axis=-1, dtype=int) > _FREE_CELLS
    amount = np.minimum(seen, _MOVER_CELLS) + np.minimum(gone, 2 * _MOVER_CELLS) - 1000 * ~watched
    chosen: list[int] = []
    for index in np.argsort(-amount, kind="stable"):
        if all(clips.group[index] != clips.group[other] for other in chosen):
            chosen.append(int(index))
        if len(chosen) == 2:
            break
    return list(examples(pick(clips, np.array(chosen))))


def _print_damage(data: list[EvaluationData]) -> None:
    for each in data:
        if each.damage:
            print(f"{each.name}: {len(each.damage)} damaged recording(s)", *each.damage, sep="\n  ")


def _print(results: dict[str, dict[str, dict[str, list[float]]]]) -> None:
    shown = ("brier_reach", "brier_all", "best_of_n", "path_brier", "energy", "ece", "path_ece")
    for data, methods in results.items():
        print(f"{data}: Brier on moving cells at 0.4 to 3.2 s | mean over 0.8 to 3.2 s of {', '.join(shown)}")
        for method, metrics in methods.items():
            values = " ".join(f"{value:.3f}" for value in metrics["brier_moving"])
            means = [f"{np.nanmean(metrics[name][1:]):.4f}" if name in metrics else "" for name in shown]
            print(f"  {method:30s} {values} | " + " | ".join(means))


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
        "futures": _TIMED_FUTURES,
        "threads": _TIMED_THREADS,
        "steps": steps,
        "machine": machine,
        "load": round(os.getloadavg()[0], 1),
        **_medians(model, _TIMED_THREADS, steps, rounds, time.perf_counter),
    }
    if known and known.get("machine", machine) == machine and all(name in known for name in NETWORKS):
        known_tick = known["encoder"] + steps * known["denoiser"] + known["decoder"]
        if known.get("futures") == _TIMED_FUTURES and known_tick < found[TICK]:
            found = {**known, "steps": steps, TICK: round(known_tick, 5)}
    return found | {"processor_s": _medians(model, 1, steps, rounds, time.process_time)}


def _medians(
    model: VerifiedModel, threads: int, steps: int, rounds: int, clock_s: Callable[[], float]
) -> dict[str, Any]:
    backend = open_backend("onnxruntime", threads)
    backend.load(model.networks)
    times = measure({"model": backend}, Workload(_TIMED_FUTURES, steps), rounds, clock_s)["model"]
    return {"backend": backend.describe()} | {name: round(float(np.median(t)), 5) for name, t in times.items()}
