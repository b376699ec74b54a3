"""How fast the robot may be near what may come into its way: slow before a touch, and no slower than that needs."""

import math

import numpy as np
import pytest

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.limits import REST
from edge_worldmodel.core.safety.motion.approach import TOUCH_MPS, Movers, approach_share
from edge_worldmodel.core.safety.motion.braking import Brakes, RobotFootprint
from edge_worldmodel.core.safety.motion.path_gate import ObstaclePoints, PathGate

NOTHING = np.empty((0, 2))
BRAKES = Brakes(reaction_s=0.2, deceleration_mps2=2.0, yaw_deceleration_radps2=3.0)
DISC = RobotFootprint(NOTHING, 0.25)
TAIL = RobotFootprint(np.array([(0.2, 0.2), (-1.0, 0.2), (-1.0, -0.2), (0.2, -0.2)]), 0.25)
AHEAD = (1.5, 0.0, 0.0)


def mover(x, y, vx=0.0, vy=0.0, radius=0.25, growth=0.0) -> tuple[float, ...]:
    return x, y, vx, vy, radius, growth


def share(twist, *movers, footprint=DISC, margin_m=0.1) -> float:
    return approach_share(np.array(twist), Movers(np.array(movers, dtype=float)), BRAKES, footprint, margin_m)


def meets(twist, moving, chosen) -> bool:
    """Brake from a share of a twist straight ahead: does the mover touch while it is faster than TOUCH_MPS?"""
    x, y, vx, vy, radius, growth = moving
    place, speed, time = 0.0, chosen * twist[0], 0.0
    while speed > TOUCH_MPS:
        if math.hypot(x + vx * time - place, y + vy * time) < 0.25 + 0.1 + radius + growth * time - 0.02:
            return True
        place, time = place + 0.002 * speed, time + 0.002
        speed -= 0.002 * 2.0 if time > 0.2 else 0.0
    return False


def test_nothing_around_and_a_slow_robot_are_not_slowed():
    assert approach_share(np.array(AHEAD), Movers(), BRAKES, DISC, 0.1) == 1.0
    assert share((TOUCH_MPS, 0.0, 0.0), mover(0.5, 0.0, -1.6)) == 1.0
    assert share((0.0, 0.0, 2.0), mover(0.5, 0.0, -1.6)) == 1.0


@pytest.mark.parametrize("away_m", [1.2, 1.6, 2.0, 2.4, 2.8, 3.2])
@pytest.mark.parametrize(
    ("bearing", "speed", "growth"), [(0.0, 1.6, 0.0), (0.6, 1.6, 0.2), (0.0, 0.0, 1.6), (1.3, 0.0, 1.6)]
)
def test_the_share_is_the_largest_at_which_braking_ends_before_the_touch(away_m, bearing, speed, growth):
    toward = np.array((math.cos(bearing), math.sin(bearing)))
    moving = mover(*(away_m * toward), *(-speed * toward), growth=growth)
    chosen = share(AHEAD, moving)
    assert TOUCH_MPS / 1.5 <= chosen <= 1.0
    assert chosen == pytest.approx(TOUCH_MPS / 1.5) or not meets(AHEAD, moving, chosen)
    faster = chosen + 0.1
    assert faster > 1.0 or meets(AHEAD, (*moving[:4], moving[4] + 0.06, moving[5]), faster)


def test_a_walking_person_three_metres_ahead_slows_and_four_do_not():
    assert share(AHEAD, mover(2.5, 0.0, -1.6)) < 0.9
    assert share(AHEAD, mover(4.0, 0.0, -1.6)) == 1.0


@pytest.mark.parametrize(
    "moving",
    [
        mover(0.8, 0.0, 1.6, 0.0),
        mover(0.6, 0.8, 0.0, 1.6),
        mover(1.0, 0.9, 1.5, 0.0),
        mover(-0.8, 0.0, 1.6, 0.0),
        mover(1.5, 0.0, 0.0, 1.6),
        mover(1.5, 2.5, 0.0, -1.0),
    ],
    ids=["ahead, faster", "aside, away", "beside, along", "from behind", "has crossed", "crosses late"],
)
def test_a_mover_that_does_not_come_into_the_way_does_not_slow(moving):
    assert share(AHEAD, moving) == 1.0


def test_a_robot_may_leave_what_is_near_already():
    assert share((-0.5, 0.0, 0.0), mover(0.55, 0.0)) == 1.0
    assert share((0.5, 0.0, 0.0), mover(0.55, 0.0)) * 0.5 == pytest.approx(TOUCH_MPS)


def test_a_long_tail_turns_slowly_where_somebody_comes_near_and_a_disc_need_not():
    beside = mover(-0.9, 0.9, 0.0, -0.5)
    assert share((0.0, 0.0, -1.5), beside, footprint=TAIL) < 0.5
    assert share((0.0, 0.0, -1.5), beside, footprint=DISC) == 1.0


def test_the_slowest_share_is_a_speed_at_which_the_robot_may_be_touched():
    assert share(AHEAD, mover(0.6, 0.0, -1.6)) * 1.5 == pytest.approx(TOUCH_MPS)


def test_the_gate_slows_names_the_approach_and_does_not_stop():
    gate = PathGate(SupervisorConfig(max_acceleration_mps2=20.0, max_jerk_mps3=500.0))
    for moving, limits in ((mover(1.2, 0.0, -1.6), ("approach",)), (mover(1.2, 0.0, 1.6), ())):
        around = ObstaclePoints(NOTHING, NOTHING, None, Movers(np.array([moving])))
        decision = gate.decide(np.array((1.0, 0.0, 0.4)), np.zeros(3), REST, around, None, 1.0)
        assert decision.fault is None and decision.limits == limits and decision.slowed is bool(limits)
        assert decision.motion.twist[2] / decision.motion.twist[0] == pytest.approx(0.4, rel=5e-3)
        assert decision.motion.twist[0] < 0.3 if limits else decision.motion.twist[0] > 0.99


def test_gentle_limits_of_the_command_slow_it_earlier():
    around = ObstaclePoints(NOTHING, NOTHING, None, Movers(np.array([mover(2.6, 0.0, -1.6)])))
    passed = []
    for acceleration_mps2 in (0.5, 2.0):
        gate = PathGate(SupervisorConfig(braking_deceleration_mps2=2.0, max_acceleration_mps2=acceleration_mps2))
        passed.append(gate.decide(np.array((1.0, 0.0, 0.0)), np.zeros(3), REST, around, None, 1.0).limits)
    assert "approach" in passed[0] and "approach" not in passed[1]
