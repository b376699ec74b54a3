"""The critics that need no imagined futures rank maneuvers the way a person would."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_worldmodel.core.planner.candidates.candidates import Candidates
from edge_worldmodel.core.planner.candidates.driving import roll_out
from edge_worldmodel.core.planner.critics import arrival, comfort, continuity, escape, progress
from edge_worldmodel.core.planner.critics.scene import Scene
from edge_worldmodel.core.planner.guidance.local_map import local_map
from edge_worldmodel.core.planner.guidance.outlook import Outlook
from edge_worldmodel.core.planner.recovery import Escape
from edge_worldmodel.core.planner.robot_limits import STEPS, RobotLimits
from edge_worldmodel.core.tensors import HORIZON_STEPS

NOBODY = np.zeros((1 + HORIZON_STEPS, 64, 64), bool)
FREE = local_map(np.stack([np.zeros((64, 64)), np.ones((64, 64))]).astype(np.float32))
TARGETS = {"stay": (0.0, 0.0), "go": (1.0, 0.0), "left": (0.0, 0.9), "right": (0.0, -0.9), "arc": (1.0, 0.5)}


def _scene(goal: tuple[float, float] | None, speed: float = 0.0, way_out: Escape | None = None) -> Scene:
    limits = RobotLimits()
    targets = np.stack([np.tile(target, (STEPS, 1)) for target in TARGETS.values()])
    poses, twists = roll_out(np.array([speed, 0.0, 0.0]), targets, limits)
    return Scene(
        candidates=Candidates(tuple(TARGETS), poses, twists),
        disturbed=poses[:, None],
        outlook=Outlook(FREE, NOBODY, None if goal is None else np.array(goal), 0.3),
        limits=limits,
        clear_m=0.3,
        wall_margin_m=0.05,
        tail=0.25,
        time_weights=np.ones(STEPS + 1),
        harmless_mps=1e-3,
        escape=way_out,
    )


def _by_name(scores: np.ndarray) -> dict[str, float]:
    return dict(zip(TARGETS, scores.tolist(), strict=True))


def test_progress_is_metres_lost() -> None:
    scores = _by_name(progress.score(_scene((5.0, 0.0))))
    assert scores["stay"] == pytest.approx(0.0, abs=1e-6)
    assert scores["go"] == pytest.approx(-2.65, abs=0.2)
    assert _by_name(progress.score(_scene((-5.0, 0.0))))["go"] > 2.0


def test_arrival_rewards_turning_towards_a_goal_behind() -> None:
    scores = _by_name(arrival.score(_scene((-5.0, 0.1))))
    assert scores["left"] < scores["stay"] - 0.3
    assert scores["right"] < scores["stay"] - 0.3
    ahead = _by_name(arrival.score(_scene((5.0, 0.0))))
    assert min(ahead, key=ahead.__getitem__) == "go"


def test_effort_is_least_for_going_on() -> None:
    scores = _by_name(comfort.score(_scene(None, speed=1.0)))
    assert scores["go"] == pytest.approx(0.0)
    assert scores["go"] < scores["arc"] and scores["go"] < scores["stay"]


def test_without_a_goal_nothing_is_nearer() -> None:
    scene = _scene(None)
    assert (arrival.score(scene) == 0.0).all() and (progress.score(scene) == 0.0).all()


def test_the_previous_plan_and_the_escape_are_preferred() -> None:
    scene = _scene((5.0, 0.0), way_out=Escape("left", np.zeros((STEPS, 2)), "boxed in"))
    assert _by_name(escape.score(scene)) == {"stay": 0.0, "go": 0.0, "left": -1.0, "right": 0.0, "arc": 0.0}
    assert not escape.score(_scene((5.0, 0.0))).any() and not continuity.score(scene).any()
    renamed = replace(scene.candidates, names=("stay", "previous", "left", "right", "arc"))
    assert continuity.score(replace(scene, candidates=renamed)).tolist() == [0.0, -1.0, 0.0, 0.0, 0.0]
