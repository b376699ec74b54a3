"""Settings of backends besides name and threads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_worldmodel.core.errors import BackendError

PROVIDERS = ("cpu", "cuda", "tensorrt", "openvino", "qnn", "coreml")
"""ONNX Runtime's execution providers, by the names that parameters use."""
PRECISIONS = ("exported", "fp16", "int8")
"""Precisions for TensorRT. exported: types as in the file. fp16: half precision. int8: as exported, but a file
that is not quantised is refused. Other runtimes always use the types of the file."""


@dataclass(frozen=True)
class BackendOptions:
    """Settings: ``provider`` is for ONNX Runtime, ``futures`` also for OpenVINO, the others for TensorRT."""

    provider: str = "cpu"
    precision: str = "exported"
    futures: int = 32
    """Imagined futures of a usual tick; engines are tuned for this batch."""
    max_futures: int = 64
    """Largest batch of buffers and engines."""
    engine_dir: Path = Path("~/.cache/edge_worldmodel/engines")
    version_compatible: bool = False
    """Build engines that also run on later versions of TensorRT and on its lean runtime; somewhat slower."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            BackendError: a value is not allowed.
        """
        if self.precision not in PRECISIONS:
            raise BackendError(f"precision '{self.precision}' does not exist: choose one of {', '.join(PRECISIONS)}")
        if not 1 <= self.futures <= self.max_futures:
            raise BackendError(f"futures = {self.futures!r}, must be from 1 to max_futures = {self.max_futures!r}")
