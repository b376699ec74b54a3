"""`edge-worldmodel bench`: times networks, planner and live graph here, against service levels and a peer."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge_worldmodel.backends import BACKENDS, open_backend
from edge_worldmodel.backends.options import PRECISIONS, PROVIDERS, BackendOptions
from edge_worldmodel.backends.timing import TICK, Quantiles, Times, Workload, measure
from edge_worldmodel.core import tensors
from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.model.world_model import Backend, WorldModel
from edge_worldmodel.core.planner.planner import Planner
from edge_worldmodel.core.planner.planner_config import PlannerConfig
from edge_worldmodel.core.planner.request import PlanningRequest
from edge_worldmodel.core.types import LatentFrame, Tensor
from edge_worldmodel.evaluation.bench import bench_parts
from edge_worldmodel.evaluation.bench.service_levels import Figures, differing_conditions, judge, read_levels, slower
from edge_worldmodel.evaluation.live.process_usage import read_usage
from edge_worldmodel.models.doctor import this_machine
from edge_worldmodel.models.inventory import commit, device_name
from edge_worldmodel.models.manifest import VerifiedModel, load_model
from edge_worldmodel.models.placement_record import DEFAULT_VARIANT
from edge_worldmodel.models.shipped import models_folder

SCHEMA = 2
PLAN = "plan"
_DEFAULTS = PlannerConfig()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--model", type=Path, help="folder of the model; the shipped default if left out")
    parser.add_argument(
        "--backend", action="append", choices=sorted(set(BACKENDS) - {"deterministic"}),
        help="repeat it to compare backends, in turn; service levels apply to the first (default: onnxruntime)",
    )  # fmt: skip
    parser.add_argument("--provider", default="cpu", choices=PROVIDERS, help="of onnxruntime")
    parser.add_argument("--precision", default="exported", choices=PRECISIONS, help="of tensorrt")
    parser.add_argument("--threads", type=int, default=2, help="%(default)s")
    parser.add_argument("--rounds", type=int, default=100, help="ticks to measure; %(default)s")
    parser.add_argument("--maneuvers", type=int, default=_DEFAULTS.maneuvers, help="%(default)s")
    parser.add_argument("--futures", type=int, default=_DEFAULTS.futures, help="per maneuver; %(default)s")
    parser.add_argument("--steps", type=int, default=_DEFAULTS.steps_cold, help="denoising steps; %(default)s")
    parser.add_argument(
        "--slo", type=Path, metavar="YAML", help="service levels (config/slo.yaml); status 1 if one is missed"
    )
    parser.add_argument(
        "--against", type=Path, metavar="JSON", help="an earlier report; status 1 if something became slower"
    )
    parser.add_argument("--tolerance", type=float, default=0.2, help="share by which it may be slower; %(default)s")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="measure processor time, for comparisons on a busy machine",
    )
    parser.add_argument(
        "--compare", metavar="A,B", help="compare models with the first in size, speed and quality: folders, names, or "
        "precisions of the shipped default (fp32,int8)",
    )  # fmt: skip
    parser.add_argument("--clips", type=int, default=120, help="simulated test clips with --compare; %(default)s")
    parser.add_argument("--drives", type=int, default=16, help="drives to measure flicker with --compare; %(default)s")
    parser.add_argument(
        "--soak", type=float, metavar="MINUTES", help="measure only whether memory grows while perception, cache, "
        "planner and supervisor run for this robot time, as fast as they can",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report to this file")
    bench_parts.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Measure and report; return 1 if a service level is missed, a part failed, or something became slower."""
    if options.compare:
        return _compare_models(options)
    if options.soak:
        return _soak(options)
    # Read first, so that a mistake in a file is found before the minutes of measuring.
    levels = read_levels(options.slo) if options.slo else {}
    if levels and options.cpu_time:
        raise ConfigError("--slo and --cpu-time: service levels are elapsed times; leave one out")
    before = json.loads(options.against.read_text()) if options.against else None
    report = measure_all(options)
    checks = judge(report["figures"], levels)
    report["service_levels"] = [{**dataclasses.asdict(check), "kept": check.kept} for check in checks]
    print("\n".join([*lines_of(report), *(check.line() for check in checks)]))
    failed = bool(report["failed"]) or not all(check.kept for check in checks)
    if before is not None:
        failed |= _compare(report, before, options.tolerance)
    _write(report, options.json)
    return 1 if failed else 0


def _compare_models(options: argparse.Namespace) -> int:
    """Compare models with each other."""
    # Imported here because clips need the simulator, which the other measurements do not.
    from edge_worldmodel.training.validation import model_comparison

    names = options.compare.split(",")
    if len(names) < 2 or len(set(names)) < len(names) or options.slo or options.against:
        raise ConfigError(
            f"--compare {options.compare}: needs two or more different models, without --slo and --against"
        )
    folders = {name: model_comparison.find_model(name, models_folder(), DEFAULT_VARIANT) for name in names}
    contenders = model_comparison.open_for_comparison(folders, options.threads)
    material = model_comparison.ComparisonData.simulated(options.clips, options.drives)
    workload = Workload(options.maneuvers * options.futures, options.steps)
    clock_s = time.process_time if options.cpu_time else time.perf_counter
    conditions = {"threads": options.threads, "clock": "CPU time" if options.cpu_time else "elapsed",
                  "futures": workload.futures, "steps": workload.steps, "rounds": options.rounds,
                  "clips": len(material.clips), "drives": len(material.drives)}  # fmt: skip
    report = {"schema": SCHEMA, "commit": commit(), "machine": device_name(this_machine()),
              "load_average": os.getloadavg()[0], **conditions}  # fmt: skip
    report |= model_comparison.compare(contenders, material, workload, options.rounds, clock_s)
    print("\n".join([str(conditions), *model_comparison.lines_of(report)]))
    _write(report, options.json)
    return 0


def _soak(options: argparse.Namespace) -> int:
    """Report memory and time over many ticks."""
    # Imported here because the episode needs the simulator.
    from edge_worldmodel.evaluation.bench import soak

    result = soak.soak(options.soak, str(options.model or ""))
    print(soak.summary_line(result))
    _write({"commit": commit(), **dataclasses.asdict(result), "growth": result.growth}, options.json)
    return 0


def _write(report: dict[str, Any], path: Path | None) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=2) + "\n")


def measure_all(options: argparse.Namespace) -> dict[str, Any]:
    """Return the report of one run."""
    names = options.backend or ["onnxruntime"]
    workload = Workload(options.maneuvers * options.futures, options.steps)
    backends, model, load_s = _open(options, names, workload)
    clock_s = time.process_time if options.cpu_time else time.perf_counter
    times = measure(backends, workload, options.rounds, clock_s)
    first_mb = read_usage(os.getpid()).resident_mb
    planned = _plans(backends[names[0]], model.model_id, options, clock_s)
    figures: dict[str, dict[str, float]] = {part: _quantiles(of) for part, of in times[names[0]].items()}
    figures[PLAN] = _quantiles(planned)
    figures["load"] = {"seconds": load_s}
    usage = read_usage(os.getpid())
    figures["memory"] = {"peak_mb": usage.peak_mb, "growth_mb": usage.resident_mb - first_mb}
    found = this_machine()
    return {
        "schema": SCHEMA,
        "commit": commit(),
        "machine": device_name(found),
        "load_average": os.getloadavg()[0],
        "hottest_celsius": max((zone.celsius for zone in found.zones), default=None),
        "swap_used_mb": found.swap_used_mb,
        "model_id": model.model_id,
        "backend": backends[names[0]].describe(),
        "threads": options.threads,
        "clock": "CPU time" if options.cpu_time else "elapsed",
        "futures": workload.futures,
        "denoising_steps": workload.steps,
        "figures": figures,
        "others": {n: {p: _quantiles(of) for p, of in times[n].items()} for n in names[1:]},
        "ratio_of_medians": {n: _ratios(times[names[0]], times[n]) for n in names[1:]},
        **bench_parts.measure_parts(options, backends[names[0]], model, names[0]),
    }


def _open(
    options: argparse.Namespace, names: list[str], workload: Workload
) -> tuple[dict[str, Backend], VerifiedModel, float]:
    """Return the backends with the model loaded, the model, and how long the first backend took to load."""
    settings = BackendOptions(
        provider=options.provider,
        precision=options.precision,
        futures=workload.futures,
        max_futures=max(workload.futures, BackendOptions.max_futures),
    )
    folder = options.model or models_folder() / DEFAULT_VARIANT
    begin_s = time.perf_counter()
    model = load_model(folder)
    backends, load_s = {}, None
    for name in names:
        backends[name] = open_backend(name, options.threads, settings)
        backends[name].load(model.networks)
        getattr(backends[name], "wait", bool)()  # until engines are built
        load_s = load_s if load_s is not None else time.perf_counter() - begin_s
    return backends, model, load_s or 0.0


def _plans(backend: Backend, model_id: str, options: argparse.Namespace, clock_s: Callable[[], float]) -> Times:
    """Time the whole tick of the planner in an artificial room, without a warm start."""
    # All maneuvers in one batch: with early exit, how much is imagined would depend on the scene.
    config = PlannerConfig(
        maneuvers=options.maneuvers,
        futures=options.futures,
        steps_cold=options.steps,
        imagined_at_once=options.maneuvers,
    )
    planner = Planner(WorldModel(backend, model_id), config=config)
    frame = LatentFrame(0, "odom", "base_link", np.zeros(3), np.zeros(3), _room_context(backend), 0.0, 0.0, model_id, 1)
    times = []
    for number in range(options.rounds + 1):
        begin_s = clock_s()
        request = PlanningRequest(frame=frame, goal=np.array([5.0, 0.0]), rng=np.random.default_rng(number))
        planner.plan(request, planner.outlook(request))
        times.append(clock_s() - begin_s)
    return np.array(times[1:])


def _room_context(backend: Backend) -> Tensor:
    """Return the context of a fully observed room with a pillar ahead."""
    spec = tensors.NETWORKS["encoder"]
    inputs = {tensor.name: np.zeros(tensor.with_batch(1), np.float32) for tensor in spec.inputs}
    frames = inputs["history"].reshape(
        tensors.HISTORY_FRAMES, tensors.GRID_CHANNELS, tensors.GRID_CELLS, tensors.GRID_CELLS
    )
    frames[:, 0, [0, -1], :] = frames[:, 0, :, [0, -1]] = frames[:, 0, 30:34, 44:48] = 1.0
    frames[:, 1] = 1.0 - frames[:, 0]
    context: Tensor = backend.run("encoder", inputs)["context"]
    return context


def _quantiles(times_s: Times) -> dict[str, float]:
    return dataclasses.asdict(Quantiles.of(times_s))


def _ratios(first: dict[str, Times], other: dict[str, Times]) -> dict[str, float]:
    return {part: float(np.median(first[part]) / np.median(other[part])) for part in first}


def lines_of(report: dict[str, Any]) -> list[str]:
    """Return the report as lines for people, times in milliseconds."""
    lines = [f"{report['machine']}, load {report['load_average']:.1f}", f"{report['model_id']} on {report['backend']}"]
    rounds = f"{report['figures'][TICK]['samples']} rounds, {report['clock']}"
    lines.append(f"{report['futures']} futures, {report['denoising_steps']} steps, {rounds}")
    lines += _table(report["figures"])
    for name, figures in report["others"].items():
        lines += [f"{name}:", *_table(figures)]
        ratios = "  ".join(f"{part} {ratio:.2f}" for part, ratio in report["ratio_of_medians"][name].items())
        lines.append(f"  times as fast as {report['backend'].split(',')[0]} (medians): {ratios}")
    memory, load = report["figures"]["memory"], report["figures"]["load"]
    lines.append(
        f"  memory: peak {memory['peak_mb']:.0f} MB, growth {memory['growth_mb']:.1f} MB; load {load['seconds']:.2f} s"
    )
    return lines + bench_parts.lines_of(report)


def _table(figures: Figures) -> list[str]:
    return [
        f"  {part:9s} p50 {1e3 * of['p50_s']:7.2f}  p95 {1e3 * of['p95_s']:7.2f}  p99 {1e3 * of['p99_s']:7.2f} ms"
        for part, of in figures.items()
        if "p50_s" in of
    ]


def _compare(report: dict[str, Any], before: dict[str, Any], tolerance: float) -> bool:
    """Print the comparison with an earlier report; return whether something became slower under equal conditions."""
    differences = differing_conditions(report, before)
    worse = slower(report["figures"], before.get("figures", {}), tolerance)
    for difference in differences:
        print(f"not comparable, so not judged: {difference}")
    for line in worse:
        print(f"SLOWER  {line}")
    if not worse:
        print(f"nothing is more than {tolerance:.0%} slower than at {before.get('commit')}")
    return bool(worse) and not differences
