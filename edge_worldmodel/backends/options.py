"""What a backend may be told beside its name and its threads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_worldmodel.core.errors import BackendError

PROVIDERS = ("cpu", "cuda", "tensorrt", "openvino", "qnn", "coreml")
"""ONNX Runtime's execution providers, by the names that parameters use."""
PRECISIONS = ("exported", "fp16", "int8")
"""What TensorRT can be asked for: types as in the file; half precision; the same as `exported`, but refuse a file
that is not quantised. The other runtimes always compute as the file says."""


@dataclass(frozen=True)
class BackendOptions:
    """Settings of the runtimes that have a choice; each reads only its own.

    ``provider`` is ONNX Runtime's, the others are TensorRT's.
    """

    provider: str = "cpu"
    precision: str = "exported"
    futures: int = 32
    """Imagined futures of a usual tick: engines are tuned for this batch."""
    max_futures: int = 64
    """Largest batch that buffers and engines are made for."""
    engine_dir: Path = Path("~/.cache/edge_worldmodel/engines")
    version_compatible: bool = False
    """Build engines that later versions of TensorRT and its lean runtime can run, too; somewhat slower."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            BackendError: quotes the bad value.
        """
        if self.precision not in PRECISIONS:
            raise BackendError(f"precision '{self.precision}' does not exist: choose one of {', '.join(PRECISIONS)}")
        if not 1 <= self.futures <= self.max_futures:
            raise BackendError(f"futures = {self.futures!r}, must be from 1 to max_futures = {self.max_futures!r}")
