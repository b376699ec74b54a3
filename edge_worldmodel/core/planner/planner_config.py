"""Parameters of the planner."""

from __future__ import annotations

from dataclasses import dataclass

from edge_worldmodel.core.config import Config, param


@dataclass(frozen=True)
class PlannerConfig(Config):
    """Weights of the scores, amounts of imagination, and margins."""

    risk_limit: float = param(
        0.4, "highest acceptable risk of a maneuver (CVaR of the collision probability)", minimum=0.0, maximum=1.0
    )
    risk_weight_m: float = param(3.0, "cost of a risk of 1, in metres of way", minimum=0.0)
    exposure_weight_m: float = param(
        1.5, "cost of certainly being run into without own motion, in metres of way", minimum=0.0
    )
    arrival_weight: float = param(1.0, "cost per metre still to go at the end of the horizon [1/m]", minimum=0.0)
    progress_weight: float = param(0.2, "cost saved per metre gained towards the goal [1/m]", minimum=0.0)
    comfort_weight: float = param(0.1, "cost per unit of acceleration and turning effort [-]", minimum=0.0)
    previous_bonus: float = param(0.1, "cost saved by continuing the previous plan [-]", minimum=0.0)
    goal_tolerance_m: float = param(0.3, "distance at which the goal counts as reached", minimum=0.05, maximum=5.0)
    maneuvers: int = param(8, "candidate maneuvers per tick", minimum=3, maximum=64)
    futures: int = param(4, "imagined futures per maneuver", minimum=1, maximum=32)
    imagined_at_once: int = param(
        2, "maneuvers imagined in one batch; set it to the number of maneuvers for no early exit", minimum=1, maximum=64
    )
    refined: int = param(
        64, "random variations of the best maneuvers that are tried against the outlook", minimum=0, maximum=512
    )
    disturbances: int = param(8, "random disturbances drawn for each maneuver", minimum=1, maximum=64)
    steps_cold: int = param(2, "denoising steps from pure noise", minimum=1, maximum=64)
    steps_warm: int = param(1, "denoising steps from a warm start", minimum=1, maximum=64)
    risk_tail: float = param(
        1.0, "share of the worst outcomes that risk averages over; 1: all outcomes", minimum=0.01, maximum=1.0
    )
    risk_half_life_s: float = param(
        2.0, "a collision this long after the time to stop counts half", minimum=0.1, maximum=1000.0
    )
    harmless_mps: float = param(
        0.3, "own speed below which a collision adds to risk in proportion to that speed", minimum=0.001, maximum=1.0
    )
    margin_m: float = param(0.09, "clearance kept between the footprint and movers", minimum=0.0, maximum=1.0)
    wall_margin_m: float = param(
        0.05, "clearance kept between the body and static obstacles; the map shows up to 5 cm less than there is",
        minimum=0.0, maximum=1.0,
    )  # fmt: skip
    validity_s: float = param(0.6, "time after its stamp for which a plan may be followed", minimum=0.1, maximum=3.2)
    tracking_tolerance: float = param(
        0.4,
        "planning starts from the planned twist if the measured one differs by at most this [m/s, rad/s]",
        minimum=0.0, maximum=2.0,
    )  # fmt: skip
