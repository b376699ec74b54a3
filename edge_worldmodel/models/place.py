"""`edge-worldmodel place`: measure every shipped model on this device and choose the one that the nodes will run."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from edge_worldmodel.backends import BACKENDS
from edge_worldmodel.backends.options import PRECISIONS, PROVIDERS, BackendOptions
from edge_worldmodel.models.doctor import this_machine
from edge_worldmodel.models.inventory import device_name
from edge_worldmodel.models.model_choice import ServiceLevel, choose
from edge_worldmodel.models.placement_record import (
    PlacementRecord,
    record_path,
    runtime_name,
    summary,
    variants,
    write_record,
)
from edge_worldmodel.models.shipped import models_folder
from edge_worldmodel.models.trial import Runtime, try_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    level = ServiceLevel()
    parser.add_argument(
        "--latency-p95",
        type=float,
        default=level.latency_p95_s,
        metavar="S",
        help="limit for 95 of 100 ticks; %(default)s",
    )
    parser.add_argument(
        "--memory",
        type=float,
        default=level.memory_mb,
        metavar="MB",
        help="limit for the peak memory; %(default)s",
    )
    parser.add_argument("--futures", type=int, default=level.futures, help="imagined futures per tick; %(default)s")
    parser.add_argument("--steps", type=int, default=level.steps, help="denoising steps per tick; %(default)s")
    parser.add_argument("--backend", default="onnxruntime", choices=sorted(set(BACKENDS) - {"deterministic"}))
    parser.add_argument("--provider", default="cpu", choices=PROVIDERS)
    parser.add_argument("--precision", default="exported", choices=PRECISIONS)
    parser.add_argument("--threads", type=int, default=2, help="compute threads; %(default)s, as in the nodes")
    parser.add_argument("--rounds", type=int, default=40, help="ticks to measure per model; %(default)s")
    parser.add_argument("--models", type=Path, help="folder of models; default: the shipped models")
    parser.add_argument("--json", action="store_true", help="print figures and choice as JSON")
    parser.epilog = (
        "Exit status 1 when no model keeps the limits. Measure while the robot's other programs are running."
    )


def run(options: argparse.Namespace) -> int:
    """Measure all models, choose one, print the reason, and write the record that the nodes read."""
    level = ServiceLevel(options.latency_p95, options.memory, options.futures, options.steps)
    settings = BackendOptions(
        provider=options.provider,
        precision=options.precision,
        futures=options.futures,
        max_futures=max(options.futures, BackendOptions.max_futures),
    )
    runtime = Runtime(options.backend, options.threads, settings)
    folders = variants(options.models or models_folder())
    measured = tuple(try_model(folder, runtime, level, options.rounds) for folder in folders)
    # Without slow tools, as in the nodes: both must give the device the same name.
    device = device_name(this_machine(lambda _: ""))
    record = PlacementRecord(device, runtime_name(options.backend, options.threads, settings), level, measured)
    choice = choose(measured, level)
    if options.models is None and choice.variant:
        write_record(record_path(), record)
    if options.json:
        print(json.dumps({**dataclasses.asdict(record), "choice": dataclasses.asdict(choice)}, indent=2))
    else:
        print("\n".join([f"{record.device}; {record.runtime}", *map(summary, measured), choice.why]))
    return 0 if choice.met else 1
