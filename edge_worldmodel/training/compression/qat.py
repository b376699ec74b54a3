"""`edge-worldmodel compress qat`: quantisation-aware training, then INT8 as by `compress ptq`."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_worldmodel.backends import open_backend
from edge_worldmodel.models.manifest import load_model
from edge_worldmodel.training.checkpoints import load
from edge_worldmodel.training.compression import comparison_report
from edge_worldmodel.training.compression.calibration_inputs import collect_inputs, sample_clips
from edge_worldmodel.training.compression.fake_quantisation import fake_quantised
from edge_worldmodel.training.compression.fine_tuning import fine_tune, fine_tuning_config, load_clips
from edge_worldmodel.training.compression.model_folder import write_model
from edge_worldmodel.training.compression.ptq import export_fused, quantise_all
from edge_worldmodel.training.export import export_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--checkpoint", type=Path, required=True, help="checkpoint of the trained student")
    parser.add_argument("--model", type=Path, default=Path("models/small"), help="its exported model, to compare with")
    parser.add_argument("--data", type=Path, required=True, help="folder of shards to train and calibrate on")
    parser.add_argument("--steps", type=int, default=300, help="training steps; %(default)s")
    parser.add_argument("--learning-rate", type=float, default=2e-4, help="peak learning rate; %(default)s")
    parser.add_argument("--calibration-clips", type=int, default=24, help="clips to calibrate on; %(default)s")
    parser.add_argument("--work", type=Path, help="folder for checkpoint and log (default: OUT-training)")
    comparison_report.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Train, quantise and write the model, and report on it."""
    state = load(options.checkpoint)
    work = options.work or options.out.parent / f"{options.out.name}-training"
    training = fine_tuning_config(options.steps, options.threads, options.seed, options.learning_rate)
    networks = state.average
    with fake_quantised(networks):
        tuned = fine_tune(networks, load_clips(options.data), work, training, dict(state.facts))
    variant = load_model(options.model).manifest["variant"]
    exact = work / "fp32"
    export_model(tuned, exact, variant, dict(state.facts) | {"qat_steps": options.steps})
    source = load_model(exact)
    backend = open_backend("onnxruntime", options.threads)
    backend.load(source.networks)
    inputs = collect_inputs(backend, sample_clips(options.data, "train", options.calibration_clips), options.seed)
    made = {"method": "quantisation-aware training", "steps": options.steps, "learning_rate": options.learning_rate}
    manifest = write_model(options.out, quantise_all(export_fused(tuned), inputs), source.manifest, "int8", made)
    print(f"wrote {options.out}: {manifest['model_id']}")
    comparison_report.report(options.model, options.out, options, made)
    return 0
