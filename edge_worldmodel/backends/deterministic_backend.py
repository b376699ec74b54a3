"""A world model without weights: observed cells stay as they are, unknown cells are noise.

For tests, and to run the graph without a model. It behaves like the real networks in three respects: the context holds
the present frame unchanged, denoising from any noise level ends at the same clip, and unknown cells differ between
imagined futures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core import tensors
from edge_worldmodel.core.errors import BackendError
from edge_worldmodel.core.model.context_channels import BLOCK, FOLDED_CHANNELS, fold, present_frame, unfold

_SPREAD = 0.25
"""Share of the noise that remains after denoising, so that futures differ."""
_UNKNOWN_PRIOR = 0.03
_UNKNOWN_SPREAD = 0.1

Frames = NDArray[np.float32]


class DeterministicBackend:
    """Encodes by folding, imagines a static world, decodes by unfolding; without state and randomness."""

    def load(self, networks: Mapping[str, bytes]) -> None:
        """Do nothing: no networks are needed."""

    def run(self, network: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one of the three networks on named tensors."""
        if network not in tensors.NETWORKS:
            raise BackendError(f"network '{network}' does not exist: {', '.join(tensors.NETWORKS)}")
        spec = tensors.NETWORKS[network]
        if set(inputs) != {tensor.name for tensor in spec.inputs}:
            raise BackendError(f"network '{network}' takes {[t.name for t in spec.inputs]}, got {sorted(inputs)}")
        if network == "encoder":
            return {"context": self._encode(inputs["history"], inputs["motion"])}
        if network == "denoiser":
            return {"velocity": self._denoise(inputs["latent"], float(inputs["noise_level"][0]))}
        return {"future": self._decode(inputs["latent"], inputs["context"])}

    def describe(self) -> str:
        """Describe the backend."""
        return "deterministic backend (static world, no learned model)"

    def forecast(self, occupied: Frames, previous: Frames) -> Frames:
        """Forecast observed occupancy (H, 64, 64) from the present and the previous frame: here it stays the same."""
        return np.repeat(occupied[None], tensors.HORIZON_STEPS, axis=0)

    def _encode(self, history: Frames, motion: Frames) -> Frames:
        # The two newest frames, folded: 2 x 32 channels are exactly the scene channels.
        frames = history[0].reshape(tensors.HISTORY_FRAMES, tensors.GRID_CHANNELS, *history.shape[2:])
        return np.concatenate([fold(frames[-1]), fold(frames[-2]), fold(motion[0])])[None]

    def _denoise(self, latent: Frames, level: float) -> Frames:
        # The clip of noise n is _SPREAD * n, so the latent at a level is (level + (1 - level) * _SPREAD) * n.
        noise: Frames = latent / np.float32(level + (1.0 - level) * _SPREAD)
        velocity: Frames = np.float32(1.0 - _SPREAD) * noise
        return velocity

    def _decode(self, latent: Frames, context: Frames) -> Frames:
        occupied, free = present_frame(context)
        previous = unfold(context[0, FOLDED_CHANNELS : tensors.SCENE_CHANNELS])[0]
        forecast = self.forecast(occupied, previous).astype(np.float32)
        unknown = ((occupied < 0.5) & (free < 0.5)).astype(np.float32)
        # One latent channel per imagined frame; unknown cells differ between futures.
        spread = np.minimum(_UNKNOWN_PRIOR + _UNKNOWN_SPREAD * np.abs(latent), 1.0)
        tall = cv2.resize(spread.reshape(-1, tensors.LATENT_CELLS), None, None, BLOCK, BLOCK, cv2.INTER_NEAREST)
        imagined: Frames = tall.astype(np.float32, copy=False).reshape(-1, *forecast.shape)
        imagined *= unknown
        return np.maximum(imagined, forecast, out=imagined)
