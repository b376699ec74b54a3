"""Checks for all runtimes: no network is missing, and their tensors are those of the tensor table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from edge_worldmodel.core.errors import BackendError
from edge_worldmodel.core.tensors import NETWORKS, NetworkSpec, TensorSpec


@dataclass(frozen=True)
class FoundTensor:
    """One tensor as described by a runtime; a dimension of None is dynamic."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


def require_networks(networks: Mapping[str, bytes]) -> None:
    """Raise BackendError unless all networks of the tensor table are given."""
    missing = sorted(set(NETWORKS) - set(networks))
    if missing:
        raise BackendError(f"the model has no network {', '.join(missing)}; got {', '.join(sorted(networks))}")


def require_inputs(network: str, loaded: Collection[str], inputs: Collection[str]) -> None:
    """Raise BackendError unless ``network`` is loaded and ``inputs`` are those of the tensor table."""
    if network not in loaded:
        raise BackendError(f"network '{network}' is not loaded; loaded: {', '.join(loaded) or 'none'}")
    expected = {tensor.name for tensor in NETWORKS[network].inputs}
    if set(inputs) != expected:
        raise BackendError(f"network '{network}' takes inputs {sorted(expected)}, got {sorted(inputs)}")


def batch_of(network: str, inputs: Mapping[str, NDArray[Any]]) -> int | None:
    """Return the number of futures in the inputs; None if no input of this network has an axis of futures.

    Raises:
        BackendError: the shapes do not fit each other or the tensor table.
    """
    found: set[int] = set()
    for tensor in NETWORKS[network].inputs:
        shape = inputs[tensor.name].shape
        if len(shape) != len(tensor.shape) or tensor.with_batch(shape[0] if shape else 0) != shape:
            raise BackendError(f"network '{network}' failed: '{tensor.name}' has shape {shape}, not {tensor.shape}")
        found |= {shape[0]} if None in tensor.shape else set()
    if len(found) > 1 or 0 in found:
        raise BackendError(f"network '{network}' failed: its inputs have batches {sorted(found)}, not one of 1 or more")
    return found.pop() if found else None


def check_network(spec: NetworkSpec, inputs: Iterable[FoundTensor], outputs: Iterable[FoundTensor]) -> None:
    """Raise BackendError unless a loaded network has the tensors of the tensor table."""
    for direction, wanted, found in (("inputs", spec.inputs, inputs), ("outputs", spec.outputs, outputs)):
        by_name = {tensor.name: tensor for tensor in found}
        if set(by_name) != {tensor.name for tensor in wanted}:
            expected = sorted(tensor.name for tensor in wanted)
            raise BackendError(f"network '{spec.name}' has {direction} {sorted(by_name)}, expected {expected}")
        for tensor in wanted:
            _check_tensor(spec.name, tensor, by_name[tensor.name])


def _check_tensor(network: str, wanted: TensorSpec, found: FoundTensor) -> None:
    # A dynamic dimension fits any size. A batch must be dynamic, because the number of futures changes while driving.
    fits = len(found.shape) == len(wanted.shape) and all(
        have is None or have == want for want, have in zip(wanted.shape, found.shape, strict=True)
    )
    if not fits or found.dtype != wanted.dtype:
        raise BackendError(
            f"network '{network}', tensor '{wanted.name}': the file has {found.dtype} {list(found.shape)}, "
            f"expected {wanted.dtype} {list(wanted.shape)} (None is the batch of futures); "
            "use a model exported for this version"
        )
