"""What was measured on this device, on disk, so that every node comes to the same model without measuring again."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from edge_worldmodel.backends.options import BackendOptions
from edge_worldmodel.core.errors import ConfigError, EdgeWorldModelError
from edge_worldmodel.models.model_choice import ModelChoice, ServiceLevel, VariantFigures, choose, quality_of

SCHEMA = 1
DEFAULT_VARIANT = "small-int8"
"""The model of a device where nothing was measured."""
FULL_PRECISION_VARIANT = "small"
"""The same for runtimes that do not take the default's unsigned bytes."""


class PlacementError(EdgeWorldModelError):
    """The record of what was measured cannot be read, or a pinned variant is not there."""


@dataclass(frozen=True)
class PlacementRecord:
    """Figures of all variants on one device and runtime, and the service level they were measured for."""

    device: str
    runtime: str
    level: ServiceLevel
    measured: tuple[VariantFigures, ...]


def record_path() -> Path:
    """Return where the record of this user's device is."""
    return Path(os.environ.get("EDGE_WORLDMODEL_PLACEMENT", "~/.cache/edge_worldmodel/placement.json")).expanduser()


def runtime_name(backend: str, threads: int, options: BackendOptions) -> str:
    """Name what measured times depend on beside the device."""
    detail = {"onnxruntime": options.provider, "tensorrt": options.precision}.get(backend, "")
    return f"{backend}{f' {detail}' if detail else ''}, {threads} thread(s)"


def write_record(path: Path, record: PlacementRecord) -> None:
    """Write a record, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps({"schema": SCHEMA, **dataclasses.asdict(record)}, indent=2) + "\n")
    os.replace(beside, path)


def read_record(path: Path) -> PlacementRecord:
    """Read a record.

    Raises:
        PlacementError: it is damaged or of another version.
    """
    try:
        data = json.loads(path.read_text())
        if data["schema"] != SCHEMA:
            raise PlacementError(f"{path} has schema {data['schema']!r}, this program reads {SCHEMA}: place again")
        measured = tuple(VariantFigures(**one) for one in data["measured"])
        return PlacementRecord(data["device"], data["runtime"], ServiceLevel(**data["level"]), measured)
    except (OSError, ValueError, TypeError, KeyError, ConfigError) as error:
        raise PlacementError(
            f"{path} cannot be read ({error}): run edge-worldmodel place again, or remove it"
        ) from error


def variants(models: Path) -> list[Path]:
    """Return the folders of the models below ``models``, by name."""
    return sorted(path.parent for path in models.glob("*/manifest.json"))


def resolve(
    models: Path, pinned: str, path: Path, device: str, runtime: str, refused: Collection[str] = ()
) -> tuple[Path, ModelChoice]:
    """Return the folder of the model to run, and why.

    Args:
        models: folder of the shipped variants.
        pinned: a variant that an operator chose, or empty.
        path: the record.
        device: name of this device.
        runtime: name of the runtime that the node is about to use.
        refused: variants that were found not to work on this device.

    Raises:
        PlacementError: the pinned variant does not exist, the record is damaged, or every suitable variant was refused.
    """
    there = {folder.name: folder for folder in variants(models) if folder.name not in refused}
    if pinned:
        if pinned not in there:
            raise PlacementError(f"model '{pinned}' is not in {models}: choose one of {', '.join(there) or 'none'}")
        return there[pinned], ModelChoice(pinned, True, f"{pinned} was chosen by the operator")
    choice = _from_record(there, path, device, runtime, refused)
    return models / choice.variant, choice


def default_variant(runtime: str, refused: Collection[str] = ()) -> str:
    """Return the model to run where nothing was measured, by the name that runtime_name() gives.

    Bytes where they were measured to be quicker, on CPUs; TensorRT takes only signed, symmetric ones.

    Raises:
        PlacementError: all that suit the runtime were refused.
    """
    on_cpu = runtime.startswith(("onnxruntime cpu", "openvino"))
    suitable = (DEFAULT_VARIANT, FULL_PRECISION_VARIANT) if on_cpu else (FULL_PRECISION_VARIANT,)
    left = [variant for variant in suitable if variant not in refused]
    if not left:
        raise PlacementError(
            f"every model that suits {runtime} was refused on this device ({', '.join(refused)}): use another backend, "
            "or pin one with the parameter 'model' after 'edge-worldmodel place' has tried them all"
        )
    return left[0]


def _from_record(
    there: dict[str, Path], path: Path, device: str, runtime: str, refused: Collection[str]
) -> ModelChoice:
    default = partial(_default, runtime, refused)
    if not path.exists():
        return default("nothing was measured on this device; edge-worldmodel place does")
    record = read_record(path)
    if (record.device, record.runtime) != (device, runtime):
        return default(
            f"{path} was measured on {record.device} with {record.runtime}, this is {device} with {runtime}; "
            "edge-worldmodel place again"
        )
    manifests = {variant: _manifest(folder) for variant, folder in there.items()}
    known = [one for one in record.measured if one.variant in there]
    # A model may have been evaluated anew since it was timed.
    current = [
        replace(one, error=quality_of(manifests[one.variant]))
        for one in known
        if one.problem or str(manifests[one.variant].get("model_id", "")) == one.model_id
    ]
    if len(current) < len(there):
        unknown = sorted(set(there) - {one.variant for one in current})
        return default(f"{', '.join(unknown)} changed since it was measured; edge-worldmodel place again")
    choice = choose(current, record.level)
    return choice if choice.variant else default(choice.why)


def _default(runtime: str, refused: Collection[str], why: str) -> ModelChoice:
    variant = default_variant(runtime, refused)
    rest = f" without {', '.join(refused)}" if refused else ""
    return ModelChoice(variant, False, f"{variant} is the default{rest}: {why}")


def _manifest(folder: Path) -> dict[str, Any]:
    """Return what a manifest claims; whether it tells the truth is checked when it is loaded."""
    try:
        claimed: Any = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError):
        return {}
    return claimed if isinstance(claimed, dict) else {}


def summary(one: VariantFigures) -> str:
    """Return the figures of a variant on one line."""
    if one.problem:
        return f"  {one.variant:12s} {one.problem}"
    times = f"p50 {1e3 * one.p50_s:6.1f}  p95 {1e3 * one.p95_s:6.1f}  p99 {1e3 * one.p99_s:6.1f} ms"
    size = f"{one.memory_mb:5.0f} MB  files {one.size_bytes / 1e6:.1f} MB"
    error = "error not known" if one.error is None else f"error {one.error:.3f}"
    return f"  {one.variant:12s} {times}  {size}  {error}  {one.model_id}"
