"""Our planner with something else in the place of its imagination: what imagining is worth, all else being equal.

``ours_frozen`` judges risk as if nothing moved, ``ours_cv`` as if clusters kept their velocity; both are given the
spread that validation clips ask for, as in the evaluation of forecasts. ``ours_unconditioned`` imagines, but does not
tell the model which maneuver it is for. ``ours_calm`` imagines all the rest, but no gusts. What comes before imagining
is the same for all: they sort their maneuvers by the outlook, which knows constant velocity.
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
from edge_worldmodel.training.validation.examples import examples, load_validation

_CLIPS = 100
_RAW = {"ours_frozen": persistence, "ours_cv": constant_velocity}


class Extrapolated(WorldModel):
    """The same encoder; every future of every maneuver is one forecast of the scene, without learning."""

    def __init__(self, backend: Backend, model_id: str, baseline: Baseline, moving: bool) -> None:
        """Forecast with a fitted baseline; ``moving``: movers go on, else all stands."""
        super().__init__(backend, model_id)
        self._baseline, self._moving = baseline, moving

    def imagine(self, context: Tensor, maneuvers: Floats, noise: Tensor, **more: Any) -> Imagination:
        """Return empty latents: there is nothing to denoise; arguments as those of WorldModel."""
        return Imagination(np.zeros(tensors.LATENT.with_batch(len(maneuvers) * len(noise)), np.float32), 1, 1.0)

    def decode(self, latents: Tensor, context: Tensor) -> Tensor:
        """Return the same forecast (N, H, 64, 64) for all of the latents."""
        present, (now, *ahead) = present_frame(context), motion_frames(context)
        moving = np.stack(ahead) * np.float32(self._moving)
        standing = np.broadcast_to(present[0] * (1.0 - now * np.float32(self._moving)), moving.shape)
        futures: Tensor = np.repeat(self._baseline.spread(standing, moving, present)[None], len(latents), axis=0)
        return futures


class Unconditioned(WorldModel):
    """The model, not told the maneuver."""

    def imagine(self, context: Tensor, maneuvers: Floats, noise: Tensor, **more: Any) -> Imagination:
        """Imagine with every maneuver off the grid; arguments as those of WorldModel."""
        return super().imagine(context, np.broadcast_to(_NOWHERE, maneuvers.shape), noise, **more)


_NOWHERE = np.array([tensors.OFF_GRID_M, tensors.OFF_GRID_M, 0.0])


@lru_cache(maxsize=2)
def _fitted(name: str) -> Baseline:
    baseline = Baseline(_RAW[name])
    baseline.fit((each.history, each.truth) for each in examples(load_validation(_CLIPS)))
    return baseline


def _extrapolated(name: str, backend: Backend, model_id: str) -> WorldModel:
    return Extrapolated(backend, model_id, _fitted(name), moving=name == "ours_cv")


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
