"""A backend that records its calls as spans; apart from ``spans`` because the supervisor must reach no world model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from edge_worldmodel.core.model.world_model import Backend
from edge_worldmodel.nodes.ros.spans import recording, span


class SpannedBackend:
    """A backend whose calls are spans named after the networks."""

    def __init__(self, backend: Backend) -> None:
        """Hand everything on to ``backend``."""
        self._backend = backend

    def load(self, networks: Mapping[str, bytes]) -> None:
        """Load."""
        with span("load networks"):
            self._backend.load(networks)

    def run(self, network: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one network."""
        with span(network):
            return self._backend.run(network, inputs)

    def describe(self) -> str:
        """Say what the backend says."""
        return self._backend.describe()


def spanned_backend(backend: Backend) -> Backend:
    """Return the backend, with its calls recorded where this process keeps a record."""
    return SpannedBackend(backend) if recording() else backend
