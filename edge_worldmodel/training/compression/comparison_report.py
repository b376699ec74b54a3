"""The report of every compression verb: size, time and quality before and after, measured in one run."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

from edge_worldmodel.backends.timing import Workload
from edge_worldmodel.core.planner.planner_config import PlannerConfig
from edge_worldmodel.models.doctor import this_machine
from edge_worldmodel.models.inventory import commit, device_name
from edge_worldmodel.training.validation.model_comparison import ComparisonData, compare, lines_of, open_for_comparison

_STEPS = (1, PlannerConfig().steps_cold)
"""Denoising steps that the model is trained for, and those that the planner takes from noise."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that all compression verbs share."""
    parser.add_argument("--out", type=Path, required=True, help="folder of the model to write")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the report (default: OUT.json)")
    parser.add_argument("--test-clips", type=int, default=120, help="simulated test clips to score; %(default)s")
    parser.add_argument("--drives", type=int, default=16, help="drives to measure flicker on; %(default)s")
    parser.add_argument("--rounds", type=int, default=30, help="ticks to time per model; %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="compute threads of training and timing; %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="seed of noise and batches; %(default)s")


def report(before: Path, after: Path, options: argparse.Namespace, facts: dict[str, Any]) -> dict[str, Any]:
    """Measure both models, write the report and print it.

    Times are CPU times, which depend little on other programs of the machine.

    Args:
        before: folder of the original model.
        after: folder of the compressed model.
        options: declared by add_arguments().
        facts: how the model was compressed, for the report.
    """
    models = open_for_comparison({"before": before, "after": after}, options.threads)
    data = ComparisonData.simulated(options.test_clips, options.drives)
    content: dict[str, Any] = {"schema": 1, "commit": commit(), "machine": device_name(this_machine()),
                            "load_average": os.getloadavg()[0], "threads": options.threads, "clock": "CPU time",
                            "clips": len(data.clips), "drives": len(data.drives), "made": facts}  # fmt: skip
    for steps in _STEPS:
        workload = Workload(steps=steps)
        content[f"steps_{steps}"] = compare(models, data, workload, options.rounds, time.process_time)
        print("\n".join([f"{workload.futures} futures, {steps} step(s)", *lines_of(content[f"steps_{steps}"])]))
    path = options.json or options.out.parent / f"{options.out.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"report: {path}")
    return content
