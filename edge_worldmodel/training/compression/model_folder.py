"""Reads networks from a model folder into torch, and writes compressed networks as a new model folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import onnx
import torch

from edge_worldmodel.core.errors import ModelError
from edge_worldmodel.core.tensors import NETWORKS
from edge_worldmodel.models.inventory import commit
from edge_worldmodel.models.manifest import VerifiedModel, load_model, network_entry, totals
from edge_worldmodel.training.compression.saturation import check_saturation
from edge_worldmodel.training.export import golden_of, write_manifest
from edge_worldmodel.training.networks import Architecture, WorldNetworks


def restore(model: VerifiedModel) -> WorldNetworks:
    """Return the torch networks of an FP32 model; the posterior is untrained, because models do not contain it.

    Raises:
        ModelError: the model is not an FP32 export of these networks.
    """
    precision = model.manifest.get("precision")
    if precision != "fp32" or "architecture" not in model.manifest:
        raise ModelError(f"model {model.model_id} has precision {precision!r}: use an fp32 model written by 'export'")
    networks = WorldNetworks(Architecture(**model.manifest["architecture"]))
    for name in NETWORKS:
        graph = onnx.load_from_string(model.networks[name]).graph
        found = {each.name: torch.from_numpy(onnx.numpy_helper.to_array(each).copy()) for each in graph.initializer}
        network = getattr(networks, name)
        wanted = network.state_dict()
        missing = sorted(key for key in wanted if key not in found or found[key].shape != wanted[key].shape)
        if missing:
            raise ModelError(f"model {model.model_id}, network '{name}': no weights for {', '.join(missing)}")
        network.load_state_dict({key: found[key] for key in wanted})
    return networks.eval()


def write_model(
    out: Path, files: Mapping[str, bytes], source: Mapping[str, Any], precision: str, made: Mapping[str, Any]
) -> dict[str, Any]:
    """Write a compressed model as a folder, verify it and return its manifest.

    Args:
        out: folder to write; files of an earlier run are overwritten.
        files: ONNX bytes by network.
        source: manifest of the original model; architecture, training, parameters and MFLOP are copied from it.
        precision: precision of the files, "fp32" or "int8".
        made: how the model was compressed, for the manifest.

    Raises:
        SaturationError: some processors would compute wrong results; nothing was written.
        GoldenMismatchError: this machine computes wrong results; nothing was written.
    """
    check_saturation(files)
    entries, golden = {}, golden_of(files, precision)
    for name, data in files.items():
        old = source["networks"][name]
        entries[name] = network_entry(name, f"{name}.onnx", data, old["parameters"])
        entries[name] |= {"mflop": old.get("mflop", 0.0), "golden": golden[name]}
    digest = hashlib.sha256("".join(entry["sha256"] for entry in entries.values()).encode()).hexdigest()
    kept = {key: source[key] for key in ("architecture", "training", "denoise_steps") if key in source}
    name = source["variant"] if precision == "fp32" else f"{source['variant']}-{precision}"
    manifest: dict[str, Any] = {
        "schema": source["schema"],
        "model_id": f"{name}-{digest[:12]}",
        "variant": source["variant"],
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "precision": precision,
        "networks": entries,
        **kept,
        "made_from": {"model_id": source["model_id"], **made},
        "quality": {},
        "latency_s": {},
    }
    manifest["totals"] = totals(manifest)
    out.mkdir(parents=True, exist_ok=True)
    for network, data in files.items():
        (out / f"{network}.onnx").write_bytes(data)
    write_manifest(out, manifest)
    load_model(out)
    return manifest
