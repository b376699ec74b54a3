"""The world model: encode a history, imagine futures by denoising latents, decode them to occupancy.

Rectified flow: a latent at noise level s is (1 - s) * data + s * noise, the denoiser returns
d latent / d s = noise - data, and Euler steps lead s down to 0 (Liu et al., "Flow Straight and Fast", 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core import tensors
from edge_worldmodel.core.errors import BackendError, ModelError
from edge_worldmodel.core.model.motion_forecast import motion_forecast
from edge_worldmodel.core.types import Floats, Tensor, WarmStart


class Backend(Protocol):
    """Runs the networks of one model; one implementation per inference runtime."""

    def load(self, networks: Mapping[str, bytes]) -> None:
        """Prepare the networks from their verified bytes; raises BackendError."""
        ...

    def run(self, network: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one network on named tensors; raises BackendError."""
        ...

    def describe(self) -> str:
        """Return a line for logs and diagnostics: the runtime and its device."""
        ...


@dataclass(frozen=True)
class Imagination:
    """Denoised latents.

    Attributes:
        latents: (M * F, Cl, 16, 16), F futures of each of M maneuvers.
        steps: denoising steps taken.
        noise_level: noise level at which denoising started.
    """

    latents: Tensor
    steps: int
    noise_level: float


def always(_steps_done: int) -> bool:
    """Return True, so that all steps are taken."""
    return True


class WorldModel:
    """The three networks: encoder, denoiser, decoder."""

    def __init__(self, backend: Backend, model_id: str) -> None:
        """Use a backend that has loaded its networks."""
        self.model_id = model_id
        self._backend = backend

    def describe(self) -> str:
        """Return a line for logs and diagnostics: the model and the backend."""
        return f"model {self.model_id} on {self._backend.describe()}"

    def encode(self, history: Tensor) -> Tensor:
        """Encode a history (1, 2K, 64, 64) into a context (1, Cc, 16, 16)."""
        tensors.HISTORY.check(history)
        motion = motion_forecast(history[0])[None]
        return self._run("encoder", {"history": history, "motion": motion})["context"]

    def imagine(
        self,
        context: Tensor,
        maneuvers: Floats,
        noise: Tensor,
        *,
        warm_start: WarmStart | None = None,
        steps: int,
        keep_going: Callable[[int], bool] = always,
    ) -> Imagination:
        """Denoise one future per maneuver and noise sample, all in one batch.

        Args:
            context: (1, Cc, 16, 16) of the present scene.
            maneuvers: (M, H, 3) ego poses at the imagined times, in the present ego frame.
            noise: (F, Cl, 16, 16); future j of every maneuver starts from sample j, so that maneuvers are compared
                under the same noise. Batch index = maneuver * F + future.
            warm_start: latents and the noise level to start from; None starts from pure noise.
            steps: denoising steps, at least 1.
            keep_going: called with the number of steps done; False: the remaining way is taken in one step.

        Raises:
            ModelError: the warm start is not valid or was solved by another model.
        """
        count = len(maneuvers)
        start, futures = _start(noise, warm_start, self.model_id)
        batch = np.repeat(np.asarray(maneuvers, np.float32), len(noise), axis=0)
        latents = np.tile(futures, (count, 1, 1, 1))
        levels = np.linspace(start, 0.0, steps + 1)
        done = 0
        for level, following in pairwise(levels):
            velocity = self._denoise(latents, context, batch, float(level))
            done += 1
            # The velocity points straight at the data, so the remaining way can be taken in one step.
            stop = done < steps and not keep_going(done)
            latents = latents + np.float32((0.0 if stop else following) - level) * velocity
            if stop:
                break
        return Imagination(latents, done, start)

    def decode(self, latents: Tensor, context: Tensor) -> Tensor:
        """Decode latents (N, Cl, 16, 16) into occupancy probability (N, H, 64, 64)."""
        return self._run("decoder", {"latent": latents, "context": context})["future"]

    def _denoise(self, latents: Tensor, context: Tensor, maneuvers: Tensor, level: float) -> Tensor:
        noise_level = np.array([level], np.float32)
        inputs = {"latent": latents, "context": context, "maneuver": maneuvers, "noise_level": noise_level}
        return self._run("denoiser", inputs)["velocity"]

    def _run(self, network: str, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        spec = tensors.NETWORKS[network]
        for tensor in spec.inputs:
            tensor.check(inputs[tensor.name])
        outputs = self._backend.run(network, inputs)
        for tensor in spec.outputs:
            if tensor.name not in outputs:
                raise BackendError(f"network '{network}' returned {sorted(outputs)}, expected '{tensor.name}'")
            tensor.check(outputs[tensor.name])
            _check_batch(network, tensor, inputs, outputs[tensor.name])
            if not np.isfinite(outputs[tensor.name]).all():
                raise BackendError(f"network '{network}' returned NaN or Inf in '{tensor.name}'; they must not be used")
        return outputs


def _check_batch(network: str, tensor: tensors.TensorSpec, inputs: dict[str, Tensor], output: Tensor) -> None:
    # OpenVINO 2026.4 with a dynamic batch returned one future instead of all.
    batch = next((len(inputs[t.name]) for t in tensors.NETWORKS[network].inputs if None in t.shape), None)
    if None in tensor.shape and len(output) != batch:
        raise BackendError(f"network '{network}' got {batch} futures and returned {len(output)} in '{tensor.name}'")


def _start(noise: Tensor, warm_start: WarmStart | None, model_id: str) -> tuple[float, Tensor]:
    """Return the noise level to start from and the latents (F, Cl, 16, 16) at that level."""
    tensors.LATENT.check(noise)
    if warm_start is None:
        return 1.0, noise
    if not warm_start.valid or warm_start.model_id != model_id or len(warm_start.latents) == 0:
        raise ModelError(
            f"warm start rejected: valid={warm_start.valid}, model '{warm_start.model_id}', "
            f"{len(warm_start.latents)} latents; this is model '{model_id}'"
        )
    tensors.LATENT.check(warm_start.latents)
    level = float(np.clip(warm_start.noise_level, 0.0, 1.0))
    # After a tick with reduced effort there are fewer latents than futures; they are used in turn.
    earlier = warm_start.latents[np.arange(len(noise)) % len(warm_start.latents)]
    return level, ((1.0 - level) * earlier + level * noise).astype(np.float32)
