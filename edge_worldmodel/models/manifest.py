"""Reads and verifies a model directory before any other code parses the networks.

Rules:

- The directory holds manifest.json, the network files that it names, and at most a README.md.
- Every file is a plain file inside the directory.
- Size and SHA-256 of every network are those of the manifest.
- Names, shapes and dtypes of all tensors are those of core.tensors.
- The precision is known, and the networks are quantised exactly when it is int8.
- Golden vectors are well formed, if there are any.

Each rule has its own error class.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_worldmodel.core.errors import ModelError
from edge_worldmodel.core.tensors import NETWORKS, NetworkSpec, TensorSpec
from edge_worldmodel.models.golden import is_golden

MANIFEST_NAME = "manifest.json"
SCHEMA = 1
MAX_MANIFEST_BYTES = 1 << 20
MAX_NETWORK_BYTES = 64 << 20
PRECISIONS = ("fp32", "fp16", "int8")
_QUANTISED = b"DequantizeLinear"
"""Name of an ONNX operator that only quantised networks have."""
_ALLOWED_EXTRAS = frozenset({MANIFEST_NAME, "README.md"})


class ManifestMissingError(ModelError):
    """The directory is not a model: it has no manifest.json."""


class ManifestFormatError(ModelError):
    """The manifest cannot be read or lacks a field."""


class NetworkMissingError(ModelError):
    """A network or its file is missing."""


class UnexpectedFileError(ModelError):
    """The directory holds a file that the manifest does not name."""


class UnsafePathError(ModelError):
    """A file name points out of the directory, or a file is a link."""


class SizeMismatchError(ModelError):
    """A file has another size than in the manifest, or is larger than allowed."""


class HashMismatchError(ModelError):
    """A file has another SHA-256 than in the manifest."""


class TensorTableMismatchError(ModelError):
    """The tensors of the model are not those of core.tensors."""


class PrecisionMismatchError(ModelError):
    """The networks do not have the precision of the manifest."""


@dataclass(frozen=True)
class VerifiedModel:
    """A model that passed all checks; ``networks`` (name to ONNX bytes) can be passed to Backend.load."""

    model_id: str
    networks: dict[str, bytes]
    manifest: dict[str, Any]


def load_model(directory: Path | str) -> VerifiedModel:
    """Read and verify the model in ``directory``.

    Raises:
        ModelError: one subclass per cause.
    """
    root = Path(directory)
    manifest = _read_manifest(root)
    entries = manifest["networks"]
    for name in NETWORKS:
        if name not in entries:
            raise NetworkMissingError(f"{root}: the manifest has no network '{name}'; export the model again")
    files = {name: _file_of(root, name, entry) for name, entry in entries.items()}
    _check_listing(root, {path.name for path in files.values()})
    networks = {name: _read_network(files[name], entries[name]) for name in NETWORKS}
    for name, spec in NETWORKS.items():
        _check_tensors(root, spec, entries[name])
    _check_precision(root, manifest.get("precision"), networks)
    return VerifiedModel(manifest["model_id"], networks, manifest)


def network_entry(name: str, file_name: str, data: bytes, parameters: int) -> dict[str, Any]:
    """Return the manifest entry of a network; the batch dimension is null."""
    spec = NETWORKS[name]
    return {
        "file": file_name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "parameters": parameters,
        "inputs": _shapes(spec.inputs),
        "outputs": _shapes(spec.outputs),
    }


def totals(manifest: Mapping[str, Any]) -> dict[str, float]:
    """Return parameters, bytes and MFLOP of a whole model.

    ``mflop_scene`` is the encoder, which runs once per scene. ``mflop_future`` is an upper bound for each future: the
    denoiser in all steps and the decoder, although futures of one scene share a part of that work.
    """
    networks = manifest["networks"]
    mflop = {name: float(entry.get("mflop", 0.0)) for name, entry in networks.items()}
    steps = int(manifest.get("denoise_steps", 1))
    return {
        "parameters": sum(int(entry.get("parameters", 0)) for entry in networks.values()),
        "bytes": sum(int(entry["bytes"]) for entry in networks.values()),
        "mflop_scene": round(mflop.get("encoder", 0.0), 2),
        "mflop_future": round(steps * mflop.get("denoiser", 0.0) + mflop.get("decoder", 0.0), 2),
    }


def _shapes(specs: tuple[TensorSpec, ...]) -> dict[str, list[int | None]]:
    return {spec.name: list(spec.shape) for spec in specs}


def _read_manifest(root: Path) -> dict[str, Any]:
    path = root / MANIFEST_NAME
    if path.is_symlink():
        raise UnsafePathError(f"{path} is a link; a manifest must be a plain file")
    if not path.is_file():
        raise ManifestMissingError(f"{root} has no {MANIFEST_NAME}: point to a model directory such as models/small")
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise SizeMismatchError(f"{path} is larger than {MAX_MANIFEST_BYTES} bytes: it is not a manifest")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ManifestFormatError(f"{path} is not JSON: {error}") from error
    return _check_fields(path, manifest)


def _check_fields(path: Path, manifest: Any) -> dict[str, Any]:
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        found = manifest.get("schema") if isinstance(manifest, dict) else type(manifest).__name__
        raise ManifestFormatError(f"{path}: schema {found!r}, this program reads schema {SCHEMA}")
    model_id, networks = manifest.get("model_id"), manifest.get("networks")
    if not isinstance(model_id, str) or not model_id:
        raise ManifestFormatError(f"{path}: model_id = {model_id!r}, must be a name")
    if not isinstance(networks, dict):
        raise ManifestFormatError(f"{path}: networks = {networks!r}, must be an object")
    # Early manifests have no precision; their networks are fp32.
    if manifest.get("precision", "fp32") not in PRECISIONS:
        raise ManifestFormatError(
            f"{path}: precision = {manifest['precision']!r}, this program knows {', '.join(PRECISIONS)}"
        )
    wanted: dict[str, type] = {"file": str, "sha256": str, "bytes": int, "inputs": dict, "outputs": dict}
    for name, entry in networks.items():
        for field, kind in wanted.items():
            value = entry.get(field) if isinstance(entry, dict) else None
            if not isinstance(value, kind):
                raise ManifestFormatError(f"{path}: network '{name}', {field} = {value!r}, must be {kind.__name__}")
        # Early manifests have no golden vectors.
        if "golden" in entry and not is_golden(entry["golden"]):
            raise ManifestFormatError(
                f"{path}: network '{name}' has golden vectors that cannot be read; copy the model again, or write "
                "new ones with 'edge-worldmodel export --golden DIR'"
            )
    return manifest


def _file_of(root: Path, network: str, entry: Mapping[str, Any]) -> Path:
    file_name = str(entry["file"])
    # Only a plain name, without separators or "..", so that no file outside can be reached.
    if file_name != Path(file_name).name or "\\" in file_name or file_name.startswith("."):
        raise UnsafePathError(f"{root}: network '{network}' names '{file_name}'; only plain file names are allowed")
    path: Path = root / file_name
    if path.is_symlink():
        raise UnsafePathError(f"{path} is a link; model files must be plain files")
    if not path.is_file():
        raise NetworkMissingError(f"{path} is missing; copy the whole model directory")
    return path


def _check_listing(root: Path, named: set[str]) -> None:
    extra = sorted({path.name for path in root.iterdir()} - named - _ALLOWED_EXTRAS)
    if extra:
        raise UnexpectedFileError(f"{root} holds {', '.join(extra)}, which the manifest does not name; remove it")


def _read_network(path: Path, entry: Mapping[str, Any]) -> bytes:
    size = path.stat().st_size
    if size != entry["bytes"] or size > MAX_NETWORK_BYTES:
        raise SizeMismatchError(
            f"{path} has {size} bytes, the manifest says {entry['bytes']} (at most {MAX_NETWORK_BYTES} allowed); "
            "copy the model again"
        )
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != entry["sha256"].lower():
        raise HashMismatchError(
            f"{path} was changed or damaged: SHA-256 is {digest[:16]}..., the manifest says "
            f"{entry['sha256'][:16]}...; copy the model again from a source you trust"
        )
    return data


def _check_tensors(root: Path, spec: NetworkSpec, entry: Mapping[str, Any]) -> None:
    for direction, specs in (("inputs", spec.inputs), ("outputs", spec.outputs)):
        if entry[direction] != _shapes(specs):
            raise TensorTableMismatchError(
                f"{root}: network '{spec.name}' has {direction} {entry[direction]}, this program uses "
                f"{_shapes(specs)}; use a model exported for this version"
            )


def _check_precision(root: Path, precision: str | None, networks: Mapping[str, bytes]) -> None:
    for name, data in networks.items():
        quantised = _QUANTISED in data
        if precision is not None and quantised != (precision == "int8"):
            found = "is quantised" if quantised else "has no quantised operator"
            raise PrecisionMismatchError(
                f"{root}: the manifest says precision {precision}, but network '{name}' {found}; copy the whole model "
                "directory from one source"
            )
