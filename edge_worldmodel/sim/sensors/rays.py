"""Rays into a MuJoCo scene: what scanners and depth cameras see with."""

from __future__ import annotations

import mujoco
import numpy as np

from edge_worldmodel.core.types import Floats


class RayCaster:
    """Casts ``count`` rays at a time, blind for one body; its buffers are made once."""

    def __init__(self, count: int, blind_body_id: int) -> None:
        self._count = count
        self._blind_body_id = blind_body_id
        self._distances = np.zeros(count)
        self._hit_geoms = np.zeros(count, np.int32)

    def cast(self, model: mujoco.MjModel, data: mujoco.MjData, origin: Floats, rays: Floats, reach_m: float) -> Floats:
        """Return the distances (count,) in metres to the nearest surface, inf beyond ``reach_m``.

        Args:
            model: the scene.
            data: with the current body positions.
            origin: (3,) in the world frame.
            rays: unit directions (count, 3) in the world frame, C order.
            reach_m: how far to look.
        """
        mujoco.mj_multiRay(
            model,
            data,
            origin,
            rays.reshape(-1),
            None,
            True,
            self._blind_body_id,
            self._hit_geoms,
            self._distances,
            None,
            self._count,
            reach_m,
        )
        seen = (self._distances >= 0) & (self._distances <= reach_m)
        return np.where(seen, self._distances, np.inf)
