"""A backend that records its calls as spans; apart from ``spans``, as the supervisor must import no model code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from edge_worldmodel.core.model.world_model import Backend
from edge_worldmodel.nodes.ros.spans import recording, span


class SpannedBackend:
    """Records each call of a backend as a span with the name of the network."""

    def __init__(self, backend: Backend) -> None:
        """Wrap ``backend``."""
        self._backend = backend

    def load(self, networks: Mapping[str, bytes]) -> None:
        """Load networks."""
        with span("load networks"):
            self._backend.load(networks)

    def run(self, network: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one network."""
        with span(network):
            return self._backend.run(network, inputs)

    def describe(self) -> str:
        """Return the description of the wrapped backend."""
        return self._backend.describe()


def spanned_backend(backend: Backend) -> Backend:
    """Return the backend, wrapped if this process records spans."""
    return SpannedBackend(backend) if recording() else backend
