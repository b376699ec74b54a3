"""The critics: one score term each, all ``score(scene) -> (M,)`` costs, lower is better."""

from __future__ import annotations

from collections.abc import Callable

from edge_worldmodel.core.planner.critics import arrival, comfort, continuity, escape, exposure, progress, risk
from edge_worldmodel.core.planner.critics.scene import Scene
from edge_worldmodel.core.types import Floats

Critic = Callable[[Scene], Floats]

BEFORE_IMAGINING: dict[str, Critic] = {
    "arrival": arrival.score,
    "comfort": comfort.score,
    "progress": progress.score,
    "continuity": continuity.score,
    "escape": escape.score,
}
"""Critics that look at the candidates and the outlook only."""
AFTER_IMAGINING: dict[str, Critic] = {"risk": risk.score, "exposure": exposure.score}
"""Critics that need imagined futures."""
