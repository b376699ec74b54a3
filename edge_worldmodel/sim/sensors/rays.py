"""Ray casting in MuJoCo for scanners and depth cameras."""

from __future__ import annotations

import mujoco
import numpy as np

from edge_worldmodel.core.types import Floats


class RayCaster:
    """Casts ``count`` rays at a time, ignoring one body; the buffers are reused."""

    def __init__(self, count: int, ignored_body_id: int) -> None:
        self._count = count
        self._ignored_body_id = ignored_body_id
        self._distances = np.zeros(count)
        self._hit_geoms = np.zeros(count, np.int32)

    def cast(self, model: mujoco.MjModel, data: mujoco.MjData, origin: Floats, rays: Floats, reach_m: float) -> Floats:
        """Return the distances (count,) in metres to the nearest surface, inf beyond ``reach_m``.

        Args:
            model: the compiled world.
            data: with the current body positions.
            origin: (3,) in the world frame.
            rays: unit directions (count, 3) in the world frame, C order.
            reach_m: longest distance.
        """
        mujoco.mj_multiRay(
            model,
            data,
            origin,
            rays.reshape(-1),
            None,
            True,
            self._ignored_body_id,
            self._hit_geoms,
            self._distances,
            None,
            self._count,
            reach_m,
        )
        seen = (self._distances >= 0) & (self._distances <= reach_m)
        return np.where(seen, self._distances, np.inf)
