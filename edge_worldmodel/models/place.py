"""`edge-worldmodel place`: measures every shipped model on this device and says which one the nodes will take."""

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
        "--latency-p95", type=float, default=level.latency_p95_s, metavar="S", help="of one tick; %(default)s"
    )
    parser.add_argument("--memory", type=float, default=level.memory_mb, metavar="MB", help="peak; %(default)s")
    parser.add_argument("--futures", type=int, default=level.futures, help="imagined futures of a tick; %(default)s")
    parser.add_argument("--steps", type=int, default=level.steps, help="denoising steps of a tick; %(default)s")
    parser.add_argument("--backend", default="onnxruntime", choices=sorted(set(BACKENDS) - {"deterministic"}))
    parser.add_argument("--provider", default="cpu", choices=PROVIDERS)
    parser.add_argument("--precision", default="exported", choices=PRECISIONS)
    parser.add_argument("--threads", type=int, default=2, help="%(default)s, as the nodes have it")
    parser.add_argument("--rounds", type=int, default=40, help="ticks to measure of each model; %(default)s")
    parser.add_argument("--models", type=Path, help="folder of models; the shipped ones if left out")
    parser.add_argument("--json", action="store_true", help="print figures and choice as JSON")
    parser.epilog = (
        "Exit status 1 when no model keeps the service level. Measure with the robot's other programs running."
    )


def run(options: argparse.Namespace) -> int:
    """Measure, choose, explain, and keep it for the nodes."""
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
    # The nodes name the device without asking slow tools.
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
