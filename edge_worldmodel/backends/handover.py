"""Runs networks on one backend while another is prepared in the background, then switches if results agree."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.backends.engine_build import Progress
from edge_worldmodel.backends.tensor_checks import require_networks
from edge_worldmodel.core.errors import BackendError
from edge_worldmodel.core.model.world_model import Backend
from edge_worldmodel.core.tensors import NETWORKS

TOLERANCE = 0.05
"""Largest allowed difference of a result, as a share of its largest value; half precision stays far below."""
_NICENESS = 10
_END_S = 5.0
_REPORT_STEP = 0.1


class SlowBackend(Backend, Protocol):
    """A backend that may need minutes to prepare its networks."""

    def prepare(self, networks: Mapping[str, bytes], progress: Progress) -> None:
        """Prepare and load the networks; report to ``progress``, and stop when it returns False."""
        ...

    def is_built(self, networks: Mapping[str, bytes]) -> bool:
        """Return whether load() will be fast."""
        ...


class HandoverBackend:
    """The wanted backend, and another one that is used until the wanted one is ready.

    ``note`` receives a message about the backend in use, the progress of the build, the switch, and a failure. After a
    failure the other backend stays in use. describe() always gives the current state.
    """

    def __init__(self, wanted: SlowBackend, meanwhile: Backend, note: Callable[[str], None], futures: int = 32) -> None:
        """Use two backends without networks; results are compared for ``futures`` futures."""
        self._wanted = wanted
        self._meanwhile = meanwhile
        self._note = note
        self._futures = futures
        self._serving: Backend = meanwhile
        self._state = "nothing loaded"
        self._cancelled = threading.Event()
        self._thread: threading.Thread | None = None

    def load(self, networks: Mapping[str, bytes]) -> None:
        """Load the wanted backend if that is fast; otherwise use the other one and build in the background.

        Raises:
            BackendError: the model is invalid, or an engine that was built earlier does not run.
        """
        require_networks(networks)
        self.close()
        if not self.wait(0.0):
            raise BackendError("the build of the previous model does not end: restart the node")
        if self._wanted.is_built(networks):
            self._wanted.load(networks)
            self._serving, self._state = self._wanted, ""
            return
        self._meanwhile.load(networks)
        self._serving, self._state = self._meanwhile, "engines are being built"
        self._note(f"{self.describe()}; this takes minutes, once per device and model")
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._build, args=(dict(networks),), name="engine build", daemon=True)
        atexit.register(self.close)
        self._thread.start()

    def run(self, network: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one network on the backend in use."""
        return self._serving.run(network, inputs)

    def describe(self) -> str:
        """Describe the backend in use and, if it is not the wanted one, why."""
        return self._serving.describe() + (f" ({self._state})" if self._state else "")

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the background build; return whether it has ended."""
        if self._thread is not None:
            self._thread.join(timeout_s)
        return self._thread is None or not self._thread.is_alive()

    def close(self) -> None:
        """Cancel a running build; the backend in use stays in use."""
        self._cancelled.set()
        self.wait(_END_S)
        atexit.unregister(self.close)

    def _build(self, networks: Mapping[str, bytes]) -> None:
        # Linux has a niceness per thread: ticks have priority over the build.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        try:
            self._wanted.prepare(networks, self._progress())
            self._compare()
        except Exception as error:  # the robot drives on with the backend in use
            self._state = f"building engines failed: {error}"
        else:
            self._serving, self._state = self._wanted, ""
        if not self._cancelled.is_set():
            self._note(self.describe())

    def _progress(self) -> Progress:
        reported: dict[str, float] = {}

        def progress(phase: str, share: float) -> bool:
            if share >= reported.get(phase, 0.0) + _REPORT_STEP:
                reported[phase] = share
                self._state = f"engines are being built, {phase} {share:.0%}"
                self._note(self.describe())
            return not self._cancelled.is_set()

        return progress

    def _compare(self) -> None:
        """Raise BackendError unless both backends give the same results."""
        rng = np.random.default_rng(0)
        for name, spec in NETWORKS.items():
            inputs = {t.name: rng.random(t.with_batch(self._futures), np.float32) for t in spec.inputs}
            expected, found = self._meanwhile.run(name, inputs), self._wanted.run(name, inputs)
            for tensor in spec.outputs:
                difference = float(np.abs(found[tensor.name] - expected[tensor.name]).max())
                allowed = TOLERANCE * float(np.abs(expected[tensor.name]).max())
                # "not <=", so that NaN fails.
                if not difference <= allowed:
                    raise BackendError(
                        f"network '{name}' differs by {difference:.3g} in '{tensor.name}' (allowed: {allowed:.3g}) "
                        f"from {self._meanwhile.describe()}; its engine is not used"
                    )
