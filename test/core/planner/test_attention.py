"""A plan is followed further only while the scene is as imagined; any relevant change triggers imagination at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_worldmodel.backends.deterministic_backend import DeterministicBackend
from edge_worldmodel.core.geometry import compose, pose_along, twist_along
from edge_worldmodel.core.model.world_model import WorldModel
from edge_worldmodel.core.planner.attention import AttentionConfig
from edge_worldmodel.core.planner.deliberation import Deliberation, PlanningDecision
from edge_worldmodel.core.planner.planner import Planner
from edge_worldmodel.core.planner.planner_config import PlannerConfig
from edge_worldmodel.core.planner.request import PlanningRequest
from edge_worldmodel.core.types import LatentFrame

GOAL = np.array([6.0, 0.0])
MODEL = WorldModel(DeterministicBackend(), "m")
START_NS = 10**9


def _frame(
    t_s: float, pose: np.ndarray, twist: np.ndarray, obstacle_m: tuple[float, float] | None = None, **more: object
) -> LatentFrame:
    occupied = np.zeros((64, 64), np.float32)
    occupied[:, 60:] = 1.0  # a wall far ahead
    if obstacle_m is not None:
        x, y = (int(np.floor(value / 0.2 + 32)) for value in obstacle_m)
        occupied[y - 1 : y + 2, x - 1 : x + 2] = 1.0
    history = np.tile(np.stack([occupied, 1.0 - occupied]), (5, 1, 1))[None].astype(np.float32)
    stamp_ns, context = START_NS + round(t_s * 1e9), MODEL.encode(history)
    frame = LatentFrame(stamp_ns, "odom", "base_link", pose, twist, context, 0.3, 0.0, "m", int(t_s * 10))
    return replace(frame, **more)


def _deliberation(**config: float) -> Deliberation:
    return Deliberation(Planner(MODEL, config=PlannerConfig(futures=1)), AttentionConfig(**config))


def _decide(deliberation: Deliberation, frame: LatentFrame, goal: np.ndarray | None = GOAL) -> PlanningDecision:
    return deliberation.decide(_request(frame, goal))


def _request(frame: LatentFrame, goal: np.ndarray | None) -> PlanningRequest:
    return PlanningRequest(frame=frame, goal=goal, rng=np.random.default_rng(3))


def _reason(deliberation: Deliberation, frame: LatentFrame, goal: np.ndarray | None = GOAL) -> str:
    request = _request(frame, goal)
    return deliberation.attention.reason_to_imagine(request, deliberation.planner.outlook(request))


def _began(deliberation: Deliberation) -> PlanningDecision:
    first = _decide(deliberation, _frame(0.0, np.zeros(3), np.array([0.8, 0.0, 0.0])))
    assert first.output is not None and first.reason == "first" and first.plan.trajectory.twists[5, 0] > 0.5
    return first


def _on_the_way(first: PlanningDecision, t_s: float, **more: object) -> LatentFrame:
    """Where the robot should be by then, seeing what it expects; the far wall is too far to matter."""
    trajectory = first.plan.trajectory
    return _frame(t_s, pose_along(trajectory, t_s), twist_along(trajectory, t_s), **more)


def test_as_imagined_the_plan_goes_on_where_it_was() -> None:
    deliberation = _deliberation()
    first = _began(deliberation)
    for t_s in (0.1, 0.25, 0.4):
        again = _decide(deliberation, _on_the_way(first, t_s))
        assert again.output is None and again.reason == ""
        assert again.plan.stamp_ns == START_NS + round(t_s * 1e9)
        assert again.plan.valid_until_ns - again.plan.stamp_ns == 600_000_000
        for ahead_s in (0.0, 0.33, 1.0):
            np.testing.assert_allclose(
                pose_along(again.plan.trajectory, ahead_s), pose_along(first.plan.trajectory, t_s + ahead_s), atol=0.005
            )
        assert again.plan.reason.endswith(f"; followed further: the scene is as imagined {t_s:.1f} s ago")
    assert deliberation.attention.reasons["reused"] == 3


def test_the_next_expectation_is_the_imagined_frame_for_that_time() -> None:
    deliberation = _deliberation()
    first = _began(deliberation)
    assert first.expected.stamp_ns == START_NS + 400_000_000
    later = _decide(deliberation, _on_the_way(first, 0.3))
    assert later.expected.stamp_ns == START_NS + 800_000_000
    np.testing.assert_array_equal(later.expected.pose, np.zeros(3))


def _off(frame: LatentFrame, by: tuple[float, float, float]) -> LatentFrame:
    return replace(frame, pose=compose(frame.pose, by))


@pytest.mark.parametrize(
    ("why", "change", "goal"),
    [
        ("goal", lambda frame: frame, np.array([6.0, 0.5])),
        ("goal", lambda frame: frame, None),
        ("tracking", lambda frame: _off(frame, (0.0, 0.2, 0.0)), GOAL),
        ("tracking", lambda frame: _off(frame, (0.0, 0.0, 0.3)), GOAL),
        ("tracking", lambda frame: _off(frame, (np.nan, 0.0, 0.0)), GOAL),
        ("entropy", lambda frame: replace(frame, entropy_bits=0.95), GOAL),
        ("entropy", lambda frame: replace(frame, entropy_bits=np.nan), GOAL),
        ("first", lambda frame: replace(frame, model_id="other"), GOAL),
        ("age", lambda frame: replace(frame, stamp_ns=START_NS - 1), GOAL),
        ("age", lambda frame: replace(frame, stamp_ns=START_NS + 410_000_000), GOAL),
    ],
)
def test_any_deviation_from_the_plan_triggers_imagination_at_once(why, change, goal) -> None:
    deliberation = _deliberation()
    first = _began(deliberation)
    assert _reason(deliberation, change(_on_the_way(first, 0.2)), goal) == why
    assert _reason(deliberation, _on_the_way(first, 0.2)) == ""


def test_something_in_the_way_triggers_as_margin_and_something_new_beside_it_as_surprise() -> None:
    deliberation = _deliberation()
    first = _began(deliberation)
    assert _reason(deliberation, _on_the_way(first, 0.1, obstacle_m=(1.2, 0.1))) == "margin"
    assert _reason(deliberation, _on_the_way(first, 0.1, obstacle_m=(1.2, 0.9))) == "surprise"
    assert _reason(deliberation, _on_the_way(first, 0.1, obstacle_m=(1.0, -4.0))) == "", "too far aside to matter yet"


def test_a_mover_nearby_triggers_imagination_in_every_frame() -> None:
    deliberation = _deliberation()
    first = _began(deliberation)

    def with_somebody(y_m: float) -> LatentFrame:
        frame = _on_the_way(first, 0.1)
        history = np.zeros((5, 2, 64, 64), np.float32)
        history[:, 1] = 1.0
        for back in range(5):  # at 1 m/s along x, 5 cells a second
            ix, iy = 40 - back, int(y_m / 0.2 + 32)
            history[4 - back, 0, iy : iy + 2, ix : ix + 2] = 1.0
            history[4 - back, 1, iy : iy + 2, ix : ix + 2] = 0.0
        return replace(frame, tensor=MODEL.encode(history.reshape(1, 10, 64, 64)))

    assert _reason(deliberation, with_somebody(1.6)) == "movers"
    assert _reason(deliberation, with_somebody(5.0)) == "", "too far aside to matter yet"


def test_an_imagined_obstacle_is_no_surprise() -> None:
    deliberation = _deliberation()
    seen = _frame(0.0, np.zeros(3), np.array([0.8, 0.0, 0.0]), obstacle_m=(1.2, 0.9))
    first = _decide(deliberation, seen)
    assert first.plan.risk <= 0.1
    moved_m = pose_along(first.plan.trajectory, 0.2)[0]
    frame = _on_the_way(first, 0.2, obstacle_m=(1.2 - moved_m, 0.9))
    assert _reason(deliberation, frame) == ""


def test_a_risky_plan_and_a_stop_are_always_thought_over() -> None:
    deliberation = _deliberation(reuse_risk=0.0)
    wall = [_frame(0.1 * tick, np.zeros(3), np.zeros(3), obstacle_m=(0.5, 0.0)) for tick in range(2)]
    first = _decide(deliberation, wall[0])
    assert first.output is not None
    risky = replace(first.plan, risk=0.2, maneuver="straight_fast")
    followed = deliberation.attention.followed
    assert followed is not None
    for plan in (risky, replace(first.plan, risk=0.0, maneuver="stop")):
        deliberation.attention.follow(replace(followed, plan=plan))
        assert _reason(deliberation, wall[1]) == "risk"


def test_it_can_be_switched_off() -> None:
    deliberation = _deliberation(reuse_s=0.0)
    first = _began(deliberation)
    assert _decide(deliberation, _on_the_way(first, 0.1)).output is not None


def test_a_tick_that_fails_leaves_nothing_to_use_again() -> None:
    class Failing(DeterministicBackend):
        fails = False

        def run(self, network: str, inputs: dict) -> dict:
            if self.fails:
                raise RuntimeError
            return super().run(network, inputs)

    backend = Failing()
    deliberation = Deliberation(Planner(WorldModel(backend, "m"), config=PlannerConfig(futures=1)))
    first = _began(deliberation)
    backend.fails = True
    with pytest.raises(RuntimeError):
        _decide(deliberation, _on_the_way(first, 0.5))
    assert _reason(deliberation, _on_the_way(first, 0.3)) == "first"
