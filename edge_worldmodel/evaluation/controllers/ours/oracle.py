"""The ladder: our planner with the true movers in place of its own estimate, to tell what limits it.

``ours_oracle`` knows where everybody will be, ``ours_oracle_state`` everybody's present position and velocity, carried
on at constant velocity, ``ours_oracle_blur`` the true future with the spread of the calibrated constant-velocity
forecast. The name with ``_direct`` drives without supervisor and without latency, as ``ours_direct`` does for the
planner as it is. The grid, the candidates and the decision are those of ``ours``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from edge_worldmodel.core import tensors
from edge_worldmodel.core.geometry import relative, transform_points
from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.model.world_model import Backend
from edge_worldmodel.core.types import Floats, Tensor
from edge_worldmodel.evaluation.controllers.controller import ControllerInput
from edge_worldmodel.evaluation.controllers.ours.ours import Ours, open_ours
from edge_worldmodel.evaluation.controllers.ours.variants import Extrapolated, fitted
from edge_worldmodel.evaluation.forecast.baselines import Baseline, constant_velocity
from edge_worldmodel.sim.robots import RobotSpec

TIMES_S: Floats = np.asarray(tensors.HORIZON_STEP_S * np.arange(1 + tensors.HORIZON_STEPS), np.float64)
_CENTRES = EGO_GRID.cell_centres()
_CELL_M = 0.5 * tensors.CELL_SIZE_M
_DIRECT = "_direct"


class TrueMovers(Extrapolated):
    """A world model whose motion forecast is drawn from true positions."""

    def __init__(self, backend: Backend, model_id: str, baseline: Baseline) -> None:
        """Forecast with a baseline, which spreads the true movers if it is fitted."""
        super().__init__(backend, model_id, baseline, with_motion=True)
        self.motion = np.zeros((tensors.MOTION_CHANNELS, tensors.GRID_CELLS, tensors.GRID_CELLS), np.float32)

    def encode(self, history: Tensor) -> Tensor:
        """Encode a history (1, 2K, 64, 64) with the true motion."""
        tensors.HISTORY.check(history)
        return self._run("encoder", {"history": history, "motion": self.motion[None]})["context"]


def drawn(places: Floats, radii_m: Floats) -> Tensor:
    """Return the cells (k, 64, 64) of people at positions (k, n, 2) in the ego frame, NaN where absent."""
    image = np.zeros((len(places), tensors.GRID_CELLS, tensors.GRID_CELLS), np.float32)
    for person, radius_m in enumerate(radii_m):
        away = _CENTRES - places[:, person, None, None]
        image[np.hypot(away[..., 0], away[..., 1]) < radius_m + _CELL_M] = 1.0
    return image


class Oracle(Ours):
    """Our planner with a true forecast of the people."""

    knows_people = True

    def __init__(self, robot: RobotSpec, max_speed_mps: float, world_model: TrueMovers, *more: Any) -> None:
        """Drive with true movers; further arguments as those of ``Ours``."""
        self._movers = world_model
        self.knows_future = False
        super().__init__(robot, max_speed_mps, world_model, *more)

    def _plan_on(self, look: ControllerInput) -> None:
        assert look.people is not None
        if self.knows_future:
            assert look.people_ahead is not None
            places = look.people_ahead(TIMES_S)
        else:
            places = look.people.positions + TIMES_S[:, None, None] * look.people.velocities
        in_ego = transform_points(relative(look.pose, np.zeros(3)), places.reshape(-1, 2)).reshape(places.shape)
        self._movers.motion = drawn(in_ego, look.people.radii_m)
        super()._plan_on(look)


def _open(name: str, robot: RobotSpec, max_speed_mps: float, settings: Mapping[str, Any]) -> Ours:
    kind = name.removesuffix(_DIRECT)
    settings = {"latency_s": 0.0, "supervised": False, **settings} if name.endswith(_DIRECT) else settings
    if kind == "ours":
        controller: Ours = open_ours(robot, max_speed_mps, settings)
    else:
        baseline = fitted("ours_cv") if kind == "ours_oracle_blur" else Baseline(constant_velocity)
        world = partial(TrueMovers, baseline=baseline)
        controller = open_ours(robot, max_speed_mps, settings, world, make=Oracle)
        controller.knows_future = kind != "ours_oracle_state"  # type: ignore[attr-defined]
    controller.name = name
    return controller


_KINDS = ("ours_oracle", "ours_oracle_state", "ours_oracle_blur")
LADDER = (*_KINDS, *(kind + _DIRECT for kind in ("ours", *_KINDS)))
FACTORIES = {name: partial(_open, name) for name in LADDER}
