"""What the gate checks beside the arc of a twist: the ways on which a base may leave it."""

import numpy as np
import pytest

from edge_worldmodel.core.geometry import compose
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.motion.braking import Brakes, arc_pose

from .test_path_gate import decide


@pytest.mark.parametrize("kept_share", [0.25, 0.4])
@pytest.mark.parametrize("kind", [{"max_curvature_radpm": 2.0}, {"braking_yaw_deceleration_radps2": 1.2}])
def test_what_lies_between_two_braking_paths_that_part_blocks_too(kind, kept_share):
    """On a long way the paths part by more than the robot is wide, and a base may end anywhere between them."""
    config = {"footprint_radius_m": 0.15, "braking_deceleration_mps2": 0.4, "max_forward_mps": 2.0, **kind}
    brakes, twist = Brakes.from_config(SupervisorConfig(**config)), np.array((1.6, 0.0, 1.2))
    braked_s = 1.6 / brakes.deceleration_mps2
    turn_s = kept_share * (braked_s if "max_curvature_radpm" in kind else 1.2 / brakes.yaw_deceleration_radps2)
    pose = arc_pose(twist, brakes.reaction_s)
    for time_s in np.arange(0.005, 0.8 * braked_s, 0.01):
        now = twist * (1.0 - time_s / braked_s, 0.0, max(1.0 - time_s / turn_s, 0.0))
        pose = compose(pose, arc_pose(now, 0.01))
    decision = decide(twist, pose[:2], **config)
    assert decision.fault is not None or "braking_path" in decision.limits


def test_a_car_that_hardly_moves_may_still_have_its_wheels_turned_to_the_other_side():
    car = {"footprint_m": (0.4, 0.2, -0.4, 0.2, -0.4, -0.2, 0.4, -0.2), "max_curvature_radpm": 1.5}
    planned, beside_its_path = (-0.45, 0.0, 0.6), (-0.5, 0.3)
    assert decide(planned, beside_its_path, measured=(-0.45, 0.0, 0.6), **car).limits == ()
    assert "braking_path" in decide(planned, beside_its_path, measured=(0.05, 0.0, 0.05), **car).limits
    assert (
        decide(planned, beside_its_path, measured=(0.05, 0.0, 0.05), **{**car, "max_curvature_radpm": 0.0}).limits == ()
    )


def test_a_car_with_a_post_close_beside_it_starts_slowly():
    car = {"footprint_m": (0.4, 0.2, -0.4, 0.2, -0.4, -0.2, 0.4, -0.2), "max_curvature_radpm": 1.5}
    decision = decide((0.5, 0.0, 0.0), (-0.35, 0.21), **car)
    assert decision.fault is None and 0.05 < decision.motion.twist[0] <= 0.101
    assert decide((0.5, 0.0, 0.0), (-0.35, 0.21), measured=(0.09, 0.0, 0.0), **car).limits == ()
