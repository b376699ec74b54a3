"""`edge-worldmodel compress ptq`: INT8 from a trained model, calibrated on training clips, no training."""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edge_worldmodel.backends import open_backend
from edge_worldmodel.core.model.world_model import WorldModel
from edge_worldmodel.core.tensors import NETWORKS
from edge_worldmodel.models.manifest import load_model
from edge_worldmodel.training.compression import comparison_report
from edge_worldmodel.training.compression.calibration_inputs import Inputs, collect_inputs, sample_clips
from edge_worldmodel.training.compression.fused_networks import fuse
from edge_worldmodel.training.compression.model_folder import restore, write_model
from edge_worldmodel.training.compression.quantise import Recipe, prepare, quantisable_nodes, quantise
from edge_worldmodel.training.compression.sensitivity import Sensitivity, measure_sensitivity
from edge_worldmodel.training.data.splits import ClipSet
from edge_worldmodel.training.export import to_onnx
from edge_worldmodel.training.networks import WorldNetworks
from edge_worldmodel.training.validation.examples import pick
from edge_worldmodel.training.validation.model_comparison import score

_STEPS = 4
_MOST_KEPT = 6
_SHARE = 5
"""One in so many held-in clips calibrates; on the others it is decided what stays in FP32."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--model", type=Path, default=Path("models/small"), help="folder of the FP32 model")
    parser.add_argument("--data", type=Path, required=True, help="folder of shards; its training clips calibrate")
    parser.add_argument("--calibration-clips", type=int, default=24, help="%(default)s")
    parser.add_argument("--limit", type=float, default=0.01, help="Brier loss on held-in clips above which the most "
                        "sensitive layers stay FP32, one by one; %(default)s")  # fmt: skip
    parser.add_argument("--signed", action="store_true", help="signed, symmetric activations, as TensorRT wants them")
    comparison_report.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Quantise, report."""
    source = load_model(options.model)
    held_in = sample_clips(options.data, "train", _SHARE * options.calibration_clips)
    chosen = np.arange(len(held_in)) % _SHARE == 0
    calibrating, deciding = pick(held_in, np.flatnonzero(chosen)), pick(held_in, np.flatnonzero(~chosen))
    exact = open_backend("onnxruntime", options.threads)
    exact.load(source.networks)
    inputs = collect_inputs(exact, calibrating, options.seed)
    models = export_fused(restore(source))
    told = measure_sensitivity(models, inputs, signed=options.signed)
    print("most sensitive alone: " + ", ".join(f"{one.network} {one.layer} {one.error:.4f}" for one in told[:5]))
    files, kept, losses = _within(options.limit, models, inputs, told, exact, deciding, options)
    facts = {
        "method": "post-training quantisation", "signed": options.signed, "calibration_clips": len(calibrating),
        "kept_fp32": kept, "held_in_brier_loss": losses,
        "sensitivity": [dataclasses.asdict(one) for one in told],
    }  # fmt: skip
    made = {name: facts[name] for name in ("method", "signed", "calibration_clips", "kept_fp32")}
    manifest = write_model(options.out, files, source.manifest, "int8", made)
    print(f"wrote {options.out}: {manifest['model_id']}, kept FP32: {', '.join(kept) or 'nothing'}")
    comparison_report.report(options.model, options.out, options, facts)
    return 0


def export_fused(networks: WorldNetworks) -> dict[str, onnx.ModelProto]:
    """Return the networks fused, exported and ready to be quantised."""
    return {name: prepare(to_onnx(network.eval(), NETWORKS[name])) for name, network in fuse(networks).items()}


def quantise_all(
    models: Mapping[str, onnx.ModelProto],
    inputs: Mapping[str, Sequence[Inputs]],
    kept: Collection[str] = (),
    *,
    signed: bool = False,
    caches: Path | None = None,
) -> dict[str, bytes]:
    """Return all networks in INT8, but for the layers ``kept``, which are named "<network> <node>".

    ``caches`` is a folder for the ranges that were found, for another call with the same networks and inputs.
    """  # fmt: skip
    files = {}
    for name, model in models.items():
        nodes = tuple(node for node in quantisable_nodes(model) if f"{name} {node}" not in kept)
        files[name] = quantise(model, Recipe(nodes, signed), inputs[name], caches and caches / f"{name}.json")
    return files


def _within(
    limit: float,
    models: Mapping[str, onnx.ModelProto],
    inputs: Mapping[str, Sequence[Inputs]],
    told: Sequence[Sensitivity],
    exact: Any,
    clips: ClipSet,
    options: argparse.Namespace,
) -> tuple[dict[str, bytes], list[str], list[float]]:
    """Keep the most sensitive layers in FP32, one more at a time, until the loss on held-in clips is within the limit.

    Returns:
        The files, the layers kept, and the loss with none, one, ... of them.
    """  # fmt: skip
    order = [f"{one.network} {one.layer}" for one in told if one.layer.startswith("/")]
    before = brier(WorldModel(exact, "fp32"), clips, options.seed)
    losses: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for count in range(_MOST_KEPT + 1):
            files = quantise_all(models, inputs, order[:count], signed=options.signed, caches=Path(folder))
            backend = open_backend("onnxruntime", options.threads)
            backend.load(files)
            losses.append(brier(WorldModel(backend, "int8"), clips, options.seed) / before - 1.0)
            print(f"held-in Brier loss on moving cells with {count} layer(s) in FP32: {losses[-1]:+.2%}")
            if losses[-1] <= limit:
                break
    return files, order[:count], losses


def brier(model: WorldModel, clips: ClipSet, seed: int = 0, mask: str = "moving") -> float:
    """Return the Brier score in _STEPS steps, mean over 0.8 to 3.2 s, on the cells of a mask of forecast_metrics."""
    sums = score(model, clips, _STEPS, seed).sums
    square, cells = (np.sum(sums[name], axis=0)[1:] for name in (f"square_{mask}", f"cells_{mask}"))
    return float(np.mean(square / cells))
