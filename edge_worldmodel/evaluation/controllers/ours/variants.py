"""Variants of our planner with its imagination replaced, to measure the benefit of imagination.

``ours_frozen`` assesses risk as if nothing moved, ``ours_cv`` as if movers kept their velocity; the
spread of both is fitted to validation clips, as in the evaluation of forecasts. ``ours_unconditioned`` does not tell
the model the maneuver. ``ours_calm`` expects no gusts. All sort their maneuvers by the same outlook.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np

from edge_worldmodel.core import tensors
from edge_worldmodel.core.model.context_channels import motion_frames, present_frame
from edge_worldmodel.core.model.world_model import Backend, Imagination, WorldModel
from edge_worldmodel.core.types import Floats, Tensor
from edge_worldmodel.evaluation.controllers.ours.ours import Ours, open_ours
from edge_worldmodel.evaluation.forecast.baselines import Baseline, constant_velocity, persistence
from edge_worldmodel.sim.robots import RobotSpec
from edge_worldmodel.training.validation.examples import examples, simulated_clips

_CLIPS = 100
_RAW = {"ours_frozen": persistence, "ours_cv": constant_velocity}


class Extrapolated(WorldModel):
    """A world model whose futures are all the same forecast of a baseline; the encoder is the learned one."""

    def __init__(self, backend: Backend, model_id: str, baseline: Baseline, with_motion: bool) -> None:
        """Forecast with a fitted baseline; ``with_motion``: movers keep their velocity, else everything stays."""
        super().__init__(backend, model_id)
        self._baseline, self._with_motion = baseline, with_motion

    def imagine(self, context: Tensor, maneuvers: Floats, noise: Tensor, **more: Any) -> Imagination:
        """Return latents of zeros, since nothing is denoised; arguments as those of WorldModel."""
        return Imagination(np.zeros(tensors.LATENT.with_batch(len(maneuvers) * len(noise)), np.float32), 1, 1.0)

    def decode(self, latents: Tensor, context: Tensor) -> Tensor:
        """Return the same forecast (N, H, 64, 64) for all latents."""
        present, (now, *later) = present_frame(context), motion_frames(context)
        movers = np.stack(later) * np.float32(self._with_motion)
        static = np.broadcast_to(present[0] * (1.0 - now * np.float32(self._with_motion)), movers.shape)
        futures: Tensor = np.repeat(self._baseline.spread(static, movers, present)[None], len(latents), axis=0)
        return futures


class Unconditioned(WorldModel):
    """The learned world model, without the maneuver."""

    def imagine(self, context: Tensor, maneuvers: Floats, noise: Tensor, **more: Any) -> Imagination:
        """Imagine with all maneuvers off the grid; arguments as those of WorldModel."""
        return super().imagine(context, np.broadcast_to(_NOWHERE, maneuvers.shape), noise, **more)


_NOWHERE = np.array([tensors.OFF_GRID_M, tensors.OFF_GRID_M, 0.0])


@lru_cache(maxsize=2)
def fitted(name: str) -> Baseline:
    """Return the baseline of ``ours_frozen`` or ``ours_cv``, calibrated on validation clips."""
    baseline = Baseline(_RAW[name])
    baseline.fit((each.history, each.truth) for each in examples(simulated_clips("val", _CLIPS)))
    return baseline


def _extrapolated(name: str, backend: Backend, model_id: str) -> WorldModel:
    return Extrapolated(backend, model_id, fitted(name), with_motion=name == "ours_cv")


def _open(name: str, robot: RobotSpec, max_speed_mps: float, settings: Mapping[str, Any]) -> Ours:
    other = Unconditioned if name == "ours_unconditioned" else partial(_extrapolated, name)
    controller: Ours = open_ours(robot, max_speed_mps, settings, world=other)
    controller.name = name
    return controller


def _open_calm(robot: RobotSpec, max_speed_mps: float, settings: Mapping[str, Any]) -> Ours:
    controller: Ours = open_ours(robot, max_speed_mps, {"gust_std_mps": 0.0, **settings})
    controller.name = "ours_calm"
    return controller


FACTORIES = {name: partial(_open, name) for name in (*_RAW, "ours_unconditioned")} | {"ours_calm": _open_calm}
