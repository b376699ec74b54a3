"""`edge-worldmodel export`: write the networks of a checkpoint as ONNX with a manifest, and compare them with torch."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import time
import warnings
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edge_worldmodel.backends import open_backend
from edge_worldmodel.backends.onnxruntime_backend import OnnxRuntimeBackend
from edge_worldmodel.backends.timing import Workload, measure
from edge_worldmodel.core.errors import ModelError
from edge_worldmodel.core.model.world_model import Backend
from edge_worldmodel.core.tensors import NETWORKS, NetworkSpec
from edge_worldmodel.models.golden import check_golden, golden_vectors
from edge_worldmodel.models.inventory import commit
from edge_worldmodel.models.manifest import MANIFEST_NAME, SCHEMA, load_model, network_entry, totals
from edge_worldmodel.training.checkpoints import load
from edge_worldmodel.training.networks import WorldNetworks, parameter_count

OPSET = 17
PARITY_TOLERANCE = 1e-4
"""Largest allowed difference between ONNX Runtime and torch, relative to outputs of at least unit size."""
_LATENCY_FUTURES = 32
_TEACHER_STEPS = 4
"""Denoising steps of networks without a student's stage."""
_LATENCY_THREADS = 2
_LATENCY_ROUNDS = 11

Inputs = dict[str, NDArray[np.float32]]


def export_model(networks: WorldNetworks, out: Path, variant: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write the model directory ``out`` and return its manifest.

    Raises:
        ModelError: an exported network computes other results than torch.
    """
    networks.eval()
    files = {name: to_onnx(getattr(networks, name), spec) for name, spec in NETWORKS.items()}
    backend = open_backend("onnxruntime", _LATENCY_THREADS)
    backend.load(files)
    parity = {name: check_parity(networks, backend, spec) for name, spec in NETWORKS.items()}
    golden = golden_of(files, "fp32")
    entries = {name: network_entry(name, f"{name}.onnx", data, 0) for name, data in files.items()}
    for name, entry in entries.items():
        module = getattr(networks, name)
        entry |= {"parameters": parameter_count(module), "parity": parity[name], "golden": golden[name]}
        entry["mflop"] = round(mflop(module, example_inputs(NETWORKS[name], 1)), 2)
    digest = hashlib.sha256("".join(entry["sha256"] for entry in entries.values()).encode()).hexdigest()
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "model_id": f"{variant}-{digest[:12]}",
        "variant": variant,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "precision": "fp32",
        "denoise_steps": 1 if "steps_student" in facts else _TEACHER_STEPS,
        "networks": entries,
        "architecture": networks.architecture.to_dict(),
        "training": dict(facts),
        "quality": {},
        "latency_s": measure_latency(backend),
    }
    manifest["totals"] = totals(manifest)
    _write(out, files, manifest)
    # Fails here, and not on a robot, if the model cannot be loaded.
    load_model(out)
    return manifest


def golden_of(files: Mapping[str, bytes], precision: str) -> dict[str, dict[str, Any]]:
    """Return golden vectors of networks: computed exactly as written, and compared with the default runtime.

    Raises:
        GoldenMismatchError: the default runtime computes wrong results on this machine.
    """
    reference, default = OnnxRuntimeBackend(as_written=True), open_backend("onnxruntime")
    reference.load(files)
    default.load(files)
    golden = golden_vectors(reference, precision)
    check_golden(default, "to be written", {"networks": {name: {"golden": golden[name]} for name in golden}})
    return golden


def add_golden(folder: Path) -> None:
    """Add golden vectors to the manifest of a model; its networks are not changed."""
    model = load_model(folder)
    manifest = model.manifest
    for name, golden in golden_of(model.networks, manifest.get("precision", "fp32")).items():
        manifest["networks"][name]["golden"] = golden
    write_manifest(folder, manifest)
    load_model(folder)


def example_inputs(spec: NetworkSpec, futures: int, seed: int = 0) -> Inputs:
    """Return random inputs of plausible size for a network and ``futures`` imagined futures."""
    rng = np.random.default_rng(seed)
    inputs = {}
    for tensor in spec.inputs:
        values = rng.standard_normal(tensor.with_batch(futures)).astype(np.float32)
        if tensor.name == "history":
            values = (values > 1.0).astype(np.float32)
        elif tensor.name == "noise_level":
            values = rng.uniform(0.2, 1.0, values.shape).astype(np.float32)
        inputs[tensor.name] = values
    return inputs


def check_parity(networks: WorldNetworks, backend: Backend, spec: NetworkSpec) -> float:
    """Return the largest difference between runtime and torch, for one and for several futures.

    Raises:
        ModelError: the difference is above PARITY_TOLERANCE.
    """
    worst = 0.0
    # Two sizes, because a batch that was fixed by mistake works with one of them.
    for futures in (1, 3):
        inputs = example_inputs(spec, futures, seed=futures)
        with torch.no_grad():
            expected = getattr(networks, spec.name)(*(torch.from_numpy(value) for value in inputs.values())).numpy()
        found = backend.run(spec.name, inputs)[spec.outputs[0].name]
        worst = max(worst, float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max())))
    if worst > PARITY_TOLERANCE:
        raise ModelError(
            f"{spec.name}.onnx differs from torch by {worst:.2g} > {PARITY_TOLERANCE}; nothing was written"
        )
    return worst


def mflop(module: torch.nn.Module, inputs: Inputs) -> float:
    """Return the MFLOP of one call, counting two operations per multiply-add of convolutions and linear layers."""
    total = 0

    def count(layer: torch.nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        nonlocal total
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        places = output.numel() // output.shape[1]
        total += 2 * weight.numel() * places

    kinds = (torch.nn.Conv2d, torch.nn.Linear)
    hooks = [layer.register_forward_hook(count) for layer in module.modules() if isinstance(layer, kinds)]
    with torch.no_grad():
        module(*(torch.from_numpy(value) for value in inputs.values()))
    for hook in hooks:
        hook.remove()
    return total / 1e6


def measure_latency(backend: Backend) -> dict[str, Any]:
    """Return the median time of one call of each network in seconds, for the default number of futures."""
    times = measure({"model": backend}, Workload(_LATENCY_FUTURES), _LATENCY_ROUNDS, time.perf_counter)["model"]
    medians = {name: round(float(np.median(times[name])), 5) for name in NETWORKS}
    return {"futures": _LATENCY_FUTURES, "threads": _LATENCY_THREADS, "backend": backend.describe()} | medians


def write_manifest(out: Path, manifest: Mapping[str, Any]) -> None:
    """Write manifest.json into the model directory ``out``."""
    text = json.dumps(manifest, indent=2, sort_keys=False) + "\n"
    (out / MANIFEST_NAME).write_text(text, encoding="utf-8")


def to_onnx(network: torch.nn.Module, spec: NetworkSpec) -> bytes:
    """Return a network as ONNX, with the tensor names of the tensor table and a dynamic batch of futures."""
    inputs = example_inputs(spec, 2)
    tensors = (*spec.inputs, *spec.outputs)
    dynamic = {t.name: {axis: "futures" for axis, size in enumerate(t.shape) if size is None} for t in tensors}
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # The tracing exporter warns that it is deprecated, but it needs no other package and writes operators that
        # TensorRT supports.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            tuple(torch.from_numpy(value) for value in inputs.values()),
            stream,
            input_names=[tensor.name for tensor in spec.inputs],
            output_names=[tensor.name for tensor in spec.outputs],
            dynamic_axes={name: axes for name, axes in dynamic.items() if axes},
            opset_version=OPSET,
            dynamo=False,
        )
    return stream.getvalue()


def _write(out: Path, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (out / f"{name}.onnx").write_bytes(data)
    write_manifest(out, manifest)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `edge-worldmodel export`."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--checkpoint", type=Path, help="checkpoint written by training")
    source.add_argument("--golden", type=Path, metavar="DIR", help="only add golden vectors to this model directory")
    parser.add_argument("--out", type=Path, default=Path("models/small"), help="model directory to write")
    parser.add_argument("--variant", default="small", help="name of the variant")


def run(args: argparse.Namespace) -> int:
    """Export; returns the exit status."""
    if args.golden:
        add_golden(args.golden)
        print(f"wrote golden vectors into {args.golden / MANIFEST_NAME}")
        return 0
    state = load(args.checkpoint)
    facts = dict(state.facts)
    facts["minutes"] = round(sum(state.elapsed_s) / 60.0, 1)
    manifest = export_model(state.average, args.out, args.variant, facts)
    size = sum(entry["bytes"] for entry in manifest["networks"].values())
    print(f"wrote {args.out}: model {manifest['model_id']}, {size / 1e6:.2f} MB, latency {manifest['latency_s']}")
    print(f"next: edge-worldmodel evaluate forecast --data DIR --json F --model {args.out} --card")
    return 0
