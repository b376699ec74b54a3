"""One planar look around: rays from a sensor, ending at an obstacle or where sight ended.

Every sensor is turned into the same Sweep: laser scans here, point clouds in ``cloud``, depth images in ``depth``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sweep:
    """Rays of one look, in the base frame at ``stamp_ns``.

    ``origin`` (2,) is the sensor, ``endpoints`` (n, 2) the ends of its rays, all in metres. Where ``hit`` (n,)
    is True an obstacle was seen at the endpoint; where it is False the ray is free up to its endpoint.
    """

    stamp_ns: int
    origin: Floats
    endpoints: Floats
    hit: NDArray[np.bool_]
