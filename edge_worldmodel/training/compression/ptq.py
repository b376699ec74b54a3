"""`edge-worldmodel compress ptq`: post-training quantisation to INT8, calibrated on training clips."""

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
"""One in so many training clips calibrates; the others decide which layers stay in FP32."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--model", type=Path, default=Path("models/small"), help="folder of the FP32 model")
    parser.add_argument("--data", type=Path, required=True, help="folder of shards; its training clips are used")
    parser.add_argument("--calibration-clips", type=int, default=24, help="clips to calibrate on; %(default)s")
    parser.add_argument("--limit", type=float, default=0.01, help="largest relative growth of the Brier score on "
                        "training clips; above it, sensitive layers stay FP32; %(default)s")  # fmt: skip
    parser.add_argument("--signed", action="store_true", help="signed, symmetric activations, for TensorRT")
    comparison_report.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Quantise the model, write it, and report on it."""
    source = load_model(options.model)
    clips = sample_clips(options.data, "train", _SHARE * options.calibration_clips)
    chosen = np.arange(len(clips)) % _SHARE == 0
    calibrating, deciding = pick(clips, np.flatnonzero(chosen)), pick(clips, np.flatnonzero(~chosen))
    exact = open_backend("onnxruntime", options.threads)
    exact.load(source.networks)
    inputs = collect_inputs(exact, calibrating, options.seed)
    models = export_fused(restore(source))
    sensitivities = measure_sensitivity(models, inputs, signed=options.signed)
    print("most sensitive layers: " + ", ".join(f"{s.network} {s.layer} {s.error:.4f}" for s in sensitivities[:5]))
    files, kept, losses = _keep_sensitive_layers(models, inputs, sensitivities, exact, deciding, options)
    facts = {
        "method": "post-training quantisation", "signed": options.signed, "calibration_clips": len(calibrating),
        "kept_fp32": kept, "held_in_brier_loss": losses,
        "sensitivity": [dataclasses.asdict(sensitivity) for sensitivity in sensitivities],
    }  # fmt: skip
    made = {name: facts[name] for name in ("method", "signed", "calibration_clips", "kept_fp32")}
    manifest = write_model(options.out, files, source.manifest, "int8", made)
    print(f"wrote {options.out}: {manifest['model_id']}, layers in FP32: {', '.join(kept) or 'none'}")
    comparison_report.report(options.model, options.out, options, facts)
    return 0


def export_fused(networks: WorldNetworks) -> dict[str, onnx.ModelProto]:
    """Return the networks in their fused form as ONNX, ready to be quantised."""
    return {name: prepare(to_onnx(network.eval(), NETWORKS[name])) for name, network in fuse(networks).items()}


def quantise_all(
    models: Mapping[str, onnx.ModelProto],
    inputs: Mapping[str, Sequence[Inputs]],
    kept: Collection[str] = (),
    *,
    signed: bool = False,
    caches: Path | None = None,
) -> dict[str, bytes]:
    """Return all networks in INT8.

    Args:
        models: networks from export_fused(), by name.
        inputs: inputs to calibrate on, by network.
        kept: layers that stay in FP32, as "<network> <node>".
        signed: see Recipe.
        caches: folder that keeps the calibrated ranges for further calls with the same networks and inputs.
    """  # fmt: skip
    files = {}
    for name, model in models.items():
        nodes = tuple(node for node in quantisable_nodes(model) if f"{name} {node}" not in kept)
        files[name] = quantise(model, Recipe(nodes, signed), inputs[name], caches and caches / f"{name}.json")
    return files


def _keep_sensitive_layers(
    models: Mapping[str, onnx.ModelProto],
    inputs: Mapping[str, Sequence[Inputs]],
    sensitivities: Sequence[Sensitivity],
    exact: Any,
    clips: ClipSet,
    options: argparse.Namespace,
) -> tuple[dict[str, bytes], list[str], list[float]]:
    """Keep the most sensitive layers in FP32, one more at a time, until the loss is within ``options.limit``.

    Returns:
        The files, the layers kept in FP32, and the loss with none, one, ... of them.
    """  # fmt: skip
    order = [f"{s.network} {s.layer}" for s in sensitivities if s.layer.startswith("/")]
    before = brier(WorldModel(exact, "fp32"), clips, options.seed)
    losses: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for count in range(_MOST_KEPT + 1):
            files = quantise_all(models, inputs, order[:count], signed=options.signed, caches=Path(folder))
            backend = open_backend("onnxruntime", options.threads)
            backend.load(files)
            losses.append(brier(WorldModel(backend, "int8"), clips, options.seed) / before - 1.0)
            print(f"{count} layer(s) in FP32: Brier score on moving cells of training clips {losses[-1]:+.2%}")
            if losses[-1] <= options.limit:
                break
    return files, order[:count], losses


def brier(model: WorldModel, clips: ClipSet, seed: int = 0, mask: str = "moving") -> float:
    """Return the Brier score of a model in _STEPS steps, mean over 0.8 to 3.2 s, on a mask of validation.metrics."""
    sums = score(model, clips, _STEPS, seed).sums
    square, cells = (np.sum(sums[name], axis=0)[1:] for name in (f"square_{mask}", f"cells_{mask}"))
    return float(np.mean(square / cells))
