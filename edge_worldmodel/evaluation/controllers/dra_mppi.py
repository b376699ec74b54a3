"""Dynamic risk-aware MPPI (Trevisan, Mustafa et al., arXiv 2506.21205): MPPI that weighs the probability of collision.

Each tracked person is predicted at constant velocity with a spread that grows with time. At each point of a rollout the
probability to touch anybody is 1 - prod(1 - p_i) over the people; rollouts above a limit are rejected, and the rest pay
for it. The paper integrates numerically because its predictions are mixtures; for the one Gaussian of each person here
the probability of a disc is known in closed form (the Rice distribution), so no samples are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from edge_worldmodel.core.config import param
from edge_worldmodel.core.types import Floats, Tensor
from edge_worldmodel.evaluation.controllers import mppi_critics as critics
from edge_worldmodel.evaluation.controllers.controller import factory
from edge_worldmodel.evaluation.controllers.costmap.clusters import ClusterTracks
from edge_worldmodel.evaluation.controllers.local_planner import NavigationState
from edge_worldmodel.evaluation.controllers.mppi import Mppi
from edge_worldmodel.evaluation.controllers.mppi_config import MppiConfig
from edge_worldmodel.evaluation.controllers.mppi_critics import Rollouts

_EVERY = 4
"""Every so many points of a rollout are scored."""
_STEP, _FARTHEST = 0.05, 12.0
"""Grid of the table of probabilities, in standard deviations."""


@dataclass(frozen=True)
class DraMppiConfig(MppiConfig):
    """Parameters of MPPI, and of the risk."""

    risk_weight: float = param(60.0, "cost of a point at which a collision is certain", minimum=0.0)
    risk_limit: float = param(0.35, "rollouts with a higher probability of collision are rejected", minimum=0.01)
    position_std_m: float = param(0.10, "standard deviation of a person's position now", minimum=0.01, maximum=1.0)
    velocity_std_mps: float = param(0.25, "standard deviation of a person's velocity", minimum=0.01, maximum=2.0)


class DraMppi(Mppi):
    """MPPI whose costmap is static, and which weighs the risk of touching the people it tracks."""

    config: DraMppiConfig

    def _score(self, rollouts: Rollouts, state: NavigationState) -> tuple[Tensor, NDArray[np.bool_]]:
        data = self._critic_data(state)
        people = data.tracks
        costs, collides = critics.score(rollouts, replace(data, tracks=ClusterTracks.none()), self.config)
        if not len(people):
            return costs, collides
        reach_m = float(np.abs(data.footprint.centres_m).max()) + data.footprint.radius_m
        risk = joint_risk(rollouts, people, reach_m, self.config)
        costs = costs + np.float32(self.config.risk_weight) * risk.sum(axis=0)
        too_risky = risk.max(axis=0) > self.config.risk_limit
        # Where every rollout is too risky the least risky one is better than to give up.
        return costs + (np.float32(self.config.collision_cost) * too_risky).astype(np.float32), collides


def joint_risk(rollouts: Rollouts, people: ClusterTracks, radius_m: float, config: DraMppiConfig) -> Tensor:
    """Return the probability (points, n) to touch anybody at every fourth point of n rollouts."""
    x, y = rollouts.x[::_EVERY], rollouts.y[::_EVERY]
    times_s = rollouts.dt_s * (1 + _EVERY * np.arange(len(x)))
    std_m = np.hypot(config.position_std_m, config.velocity_std_mps * times_s)
    free = np.ones_like(x)
    for position, velocity, body_m in zip(people.positions, people.velocities, people.radii_m, strict=True):
        then = (position + velocity * times_s[:, None]).astype(np.float32)
        away = np.hypot(x - then[:, :1], y - then[:, 1:]) / std_m[:, None].astype(np.float32)
        for step, reach in enumerate((radius_m + body_m) / std_m):
            table = disc_probability(round(float(reach), 2))
            free[step] *= 1.0 - table[np.minimum(away[step] / _STEP, len(table) - 1).astype(np.int32)]
    return np.asarray(1.0 - free, np.float32)


@lru_cache(maxsize=4096)
def disc_probability(radius: float) -> Floats:
    """Return the probability that a standard normal point lies in a disc, for distances of its centre on a grid.

    Args:
        radius: of the disc in standard deviations.
    """
    distances = np.arange(0.0, radius + _FARTHEST, _STEP)
    return np.asarray(stats.ncx2.cdf(radius**2, 2, np.maximum(distances, 1e-6) ** 2), np.float32)


FACTORIES = {"dra_mppi": factory(partial(DraMppi, "dra_mppi", predicts=True), DraMppiConfig)}
