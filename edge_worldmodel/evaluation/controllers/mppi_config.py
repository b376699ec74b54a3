"""The parameters of the MPPI baseline, with the defaults of Nav2's controller for a differential drive."""

from __future__ import annotations

from dataclasses import dataclass

from edge_worldmodel.core.config import Config, param


@dataclass(frozen=True)
class MppiConfig(Config):
    """Parameters of Nav2 in our units; weights begin with the name of their critic."""

    batch_size: int = param(1000, "trajectories drawn", minimum=10, maximum=10000)
    time_steps: int = param(56, "points of a trajectory", minimum=10, maximum=200)
    model_dt_s: float = param(0.05, "time between two points", minimum=0.01, maximum=0.2)
    speed_std_mps: float = param(0.2, "standard deviation of the drawn speeds", minimum=0.01)
    turn_std_radps: float = param(0.4, "standard deviation of the drawn yaw rates", minimum=0.01)
    min_speed_mps: float = param(-0.35, "lowest speed, negative: backwards", maximum=0.0)
    temperature: float = param(0.3, "temperature: higher values give worse trajectories more weight", minimum=0.001)
    gamma: float = param(0.015, "weight of smoothness against low effort", minimum=0.0)
    prune_m: float = param(1.5, "length of the path that critics use", minimum=0.5, maximum=10.0)
    inflation_m: float = param(0.7, "distance within which obstacles cost", minimum=0.1, maximum=3.0)
    cost_scaling: float = param(3.0, "decay of the cost with the distance to obstacles [1/m]", minimum=0.1)
    constraint_weight: float = param(4.0, "weight of staying within the limits", minimum=0.0)
    cost_weight: float = param(3.81, "weight of the costmap", minimum=0.0)
    critical_cost: float = param(300.0, "cost of a point whose inscribed circle touches", minimum=0.0)
    collision_cost: float = param(1e6, "cost of a collision", minimum=0.0)
    goal_weight: float = param(5.0, "weight of the distance to the goal, near it", minimum=0.0)
    align_weight: float = param(14.0, "weight of staying on the path", minimum=0.0)
    follow_weight: float = param(5.0, "weight of progress along the path", minimum=0.0)
    angle_weight: float = param(2.0, "weight of facing along the path", minimum=0.0)
    forward_weight: float = param(5.0, "weight of driving forwards", minimum=0.0)
