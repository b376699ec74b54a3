"""Name, shape and dtype of each tensor of the world model, in one place.

Allocation, engine profiles, ONNX export and run-time checks use this table. A dimension of ``None`` is the batch of
imagined futures: maneuvers times futures per maneuver.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.errors import TensorMismatchError

GRID_CELLS = 64
"""Cells along each side of the ego grid."""
CELL_SIZE_M = 0.2
"""Side of one cell."""
HISTORY_FRAMES = 5
"""Frames of the history, with the present one."""
HISTORY_INTERVAL_S = 0.2
"""Time between two frames of the history."""
GRID_CHANNELS = 2
"""Channels of one frame: occupied, observed free."""
HORIZON_STEPS = 8
"""Number of imagined frames."""
HORIZON_STEP_S = 0.4
"""Time between two imagined frames; the first is one step after the present."""
HORIZON_S = HORIZON_STEPS * HORIZON_STEP_S
LATENT_CELLS = 16
"""Cells along each side of context and latent."""
MOTION_CHANNELS = 1 + HORIZON_STEPS
"""Channels of the motion forecast: movers now, and at each imagined time at constant velocity."""
SCENE_CHANNELS = 64
"""First channels of the context: 32 hold the present frame, each 4 x 4 cells as channels; 32 are learned."""
CONTEXT_CHANNELS = SCENE_CHANNELS + MOTION_CHANNELS * (GRID_CELLS // LATENT_CELLS) ** 2
"""Channels of the context: the scene, then the motion forecast, each 4 x 4 cells as channels."""
LATENT_CHANNELS = 8

Array = NDArray[np.float32]


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and dtype of one tensor; ``None`` in the shape is the batch of futures."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str = "float32"

    def with_batch(self, futures: int) -> tuple[int, ...]:
        """Return the shape for a number of imagined futures."""
        return tuple(futures if size is None else size for size in self.shape)

    def check(self, array: NDArray[np.generic]) -> None:
        """Check the shape and dtype of an array.

        Raises:
            TensorMismatchError: they differ from this specification.
        """
        matches = len(array.shape) == len(self.shape) and all(
            expected is None or expected == size for expected, size in zip(self.shape, array.shape, strict=True)
        )
        if not matches or array.dtype != np.dtype(self.dtype):
            raise TensorMismatchError(
                f"tensor '{self.name}': got {array.dtype} {array.shape}, expected {self.dtype} {self.shape}"
                " (None is the batch of futures)"
            )


HISTORY = TensorSpec("history", (1, GRID_CHANNELS * HISTORY_FRAMES, GRID_CELLS, GRID_CELLS))
"""Pairs (occupied, free) in the present ego frame, the oldest first."""
MOTION = TensorSpec("motion", (1, MOTION_CHANNELS, GRID_CELLS, GRID_CELLS))
"""Motion forecast from the history."""
CONTEXT = TensorSpec("context", (1, CONTEXT_CHANNELS, LATENT_CELLS, LATENT_CELLS))
MANEUVER = TensorSpec("maneuver", (None, HORIZON_STEPS, 3))
"""Ego pose (x_m, y_m, yaw_rad) at each imagined time, in the present ego frame."""
OFF_GRID_M = -100.0
"""x and y of a maneuver that the model must not know: outside the grid, so the ego is not drawn."""
LATENT = TensorSpec("latent", (None, LATENT_CHANNELS, LATENT_CELLS, LATENT_CELLS))
NOISE_LEVEL = TensorSpec("noise_level", (1,))
"""0: data, 1: pure noise; a noisy latent is (1 - level) * data + level * noise."""
VELOCITY = TensorSpec("velocity", LATENT.shape)
"""d latent / d noise level, which is noise - data (rectified flow)."""
FUTURE = TensorSpec("future", (None, HORIZON_STEPS, GRID_CELLS, GRID_CELLS))
"""Occupancy probability, in the present ego frame."""


@dataclass(frozen=True)
class NetworkSpec:
    """Inputs and outputs of one network."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


NETWORKS: dict[str, NetworkSpec] = {
    spec.name: spec
    for spec in (
        NetworkSpec("encoder", (HISTORY, MOTION), (CONTEXT,)),
        NetworkSpec("denoiser", (LATENT, CONTEXT, MANEUVER, NOISE_LEVEL), (VELOCITY,)),
        NetworkSpec("decoder", (LATENT, CONTEXT), (FUTURE,)),
    )
}
"""The three networks of a model, by name."""
