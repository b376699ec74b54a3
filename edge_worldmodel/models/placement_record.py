"""The record of models measured on this device. All nodes read it, so all choose the same model."""

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
"""Model for CPUs when nothing was measured on this device."""
FULL_PRECISION_VARIANT = "small"
"""Model for other runtimes when nothing was measured: they do not take the unsigned bytes of the default."""


class PlacementError(EdgeWorldModelError):
    """The record cannot be read, or there is no model to choose."""


@dataclass(frozen=True)
class PlacementRecord:
    """Figures of all variants on one device with one runtime, and the service level that was asked for."""

    device: str
    runtime: str
    level: ServiceLevel
    measured: tuple[VariantFigures, ...]


def record_path() -> Path:
    """Return the path of the record: EDGE_WORLDMODEL_PLACEMENT, or a file in the user's cache."""
    return Path(os.environ.get("EDGE_WORLDMODEL_PLACEMENT", "~/.cache/edge_worldmodel/placement.json")).expanduser()


def runtime_name(backend: str, threads: int, options: BackendOptions) -> str:
    """Describe backend, its options and threads as far as measured times depend on them."""
    detail = {"onnxruntime": options.provider, "tensorrt": options.precision}.get(backend, "")
    return f"{backend}{f' {detail}' if detail else ''}, {threads} thread(s)"


def write_record(path: Path, record: PlacementRecord) -> None:
    """Write a record; a reader never sees a partly written one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps({"schema": SCHEMA, **dataclasses.asdict(record)}, indent=2) + "\n")
    os.replace(partial, path)


def read_record(path: Path) -> PlacementRecord:
    """Read a record.

    Raises:
        PlacementError: the file is damaged or has another schema.
    """
    try:
        data = json.loads(path.read_text())
        if data["schema"] != SCHEMA:
            raise PlacementError(
                f"{path} has schema {data['schema']!r}, this program reads {SCHEMA}: run edge-worldmodel place again"
            )
        measured = tuple(VariantFigures(**figures) for figures in data["measured"])
        return PlacementRecord(data["device"], data["runtime"], ServiceLevel(**data["level"]), measured)
    except (OSError, ValueError, TypeError, KeyError, ConfigError) as error:
        raise PlacementError(
            f"{path} cannot be read ({error}): run edge-worldmodel place again, or remove it"
        ) from error


def variants(models: Path) -> list[Path]:
    """Return the model folders inside ``models``, sorted by name."""
    return sorted(path.parent for path in models.glob("*/manifest.json"))


def resolve(
    models: Path, pinned: str, path: Path, device: str, runtime: str, refused: Collection[str] = ()
) -> tuple[Path, ModelChoice]:
    """Return the folder of the model to run, and the choice with its reason.

    Args:
        models: folder of the shipped variants.
        pinned: variant that the operator chose; empty to choose here.
        path: path of the record.
        device: name of this device.
        runtime: from runtime_name(), for the runtime that the node will use.
        refused: variants that compute wrong results on this device.

    Raises:
        PlacementError: the pinned variant does not exist, the record is damaged, or no suitable variant is left.
    """
    available = {folder.name: folder for folder in variants(models) if folder.name not in refused}
    if pinned:
        if pinned not in available:
            raise PlacementError(f"model '{pinned}' is not in {models}: choose one of {', '.join(available) or 'none'}")
        return available[pinned], ModelChoice(pinned, True, f"{pinned} was chosen by the operator")
    choice = _from_record(available, path, device, runtime, refused)
    return models / choice.variant, choice


def default_variant(runtime: str, refused: Collection[str] = ()) -> str:
    """Return the model to run when nothing was measured.

    On CPUs INT8 is faster; TensorRT does not take the unsigned bytes of the shipped INT8 model.

    Args:
        runtime: from runtime_name().
        refused: variants that compute wrong results on this device.

    Raises:
        PlacementError: every suitable model was refused.
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
    available: dict[str, Path], path: Path, device: str, runtime: str, refused: Collection[str]
) -> ModelChoice:
    default = partial(_default, runtime, refused)
    if not path.exists():
        return default("nothing was measured on this device; run edge-worldmodel place")
    record = read_record(path)
    if (record.device, record.runtime) != (device, runtime):
        return default(
            f"{path} was measured on {record.device} with {record.runtime}, this is {device} with {runtime}; "
            "run edge-worldmodel place again"
        )
    manifests = {variant: _manifest(folder) for variant, folder in available.items()}
    known = [figures for figures in record.measured if figures.variant in available]
    # A model may have been evaluated again since it was timed: take the error from its manifest.
    current = [
        replace(figures, error=quality_of(manifests[figures.variant]))
        for figures in known
        if figures.problem or str(manifests[figures.variant].get("model_id", "")) == figures.model_id
    ]
    if len(current) < len(available):
        unknown = sorted(set(available) - {figures.variant for figures in current})
        return default(f"{', '.join(unknown)} changed since it was measured; run edge-worldmodel place again")
    choice = choose(current, record.level)
    return choice if choice.variant else default(choice.why)


def _default(runtime: str, refused: Collection[str], why: str) -> ModelChoice:
    variant = default_variant(runtime, refused)
    rest = f" without {', '.join(refused)}" if refused else ""
    return ModelChoice(variant, False, f"{variant} is the default{rest}: {why}")


def _manifest(folder: Path) -> dict[str, Any]:
    """Return a manifest without verifying it; load_model() does that before the model is used."""
    try:
        manifest: Any = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def summary(figures: VariantFigures) -> str:
    """Return the figures of a variant as one line."""
    if figures.problem:
        return f"  {figures.variant:12s} {figures.problem}"
    times = f"p50 {1e3 * figures.p50_s:6.1f}  p95 {1e3 * figures.p95_s:6.1f}  p99 {1e3 * figures.p99_s:6.1f} ms"
    size = f"{figures.memory_mb:5.0f} MB  files {figures.size_bytes / 1e6:.1f} MB"
    error = "error not known" if figures.error is None else f"error {figures.error:.3f}"
    return f"  {figures.variant:12s} {times}  {size}  {error}  {figures.model_id}"
