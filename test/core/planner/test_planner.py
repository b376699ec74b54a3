"""Decisions of the planner and their reasons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_worldmodel.backends.deterministic_backend import DeterministicBackend
from edge_worldmodel.core import tensors
from edge_worldmodel.core.errors import InputError, ModelError
from edge_worldmodel.core.geometry import compose
from edge_worldmodel.core.model.world_model import WorldModel
from edge_worldmodel.core.planner.budget import Budget, LateError
from edge_worldmodel.core.planner.effort import Effort
from edge_worldmodel.core.planner.planner import Planner
from edge_worldmodel.core.planner.planner_config import PlannerConfig
from edge_worldmodel.core.planner.planner_output import PlannerOutput
from edge_worldmodel.core.planner.request import PlanningRequest
from edge_worldmodel.core.planner.robot_limits import RobotLimits
from edge_worldmodel.core.types import LatentFrame, WarmStart

POSE = np.array([2.0, -1.0, 0.5])
GOAL_AHEAD = compose(POSE, [6.0, 0.0, 0.0])


class Drifting(DeterministicBackend):
    """Everything that is occupied moves at a constant velocity in y."""

    def __init__(self, vy_mps: float) -> None:
        self.vy_mps = vy_mps

    def forecast(self, occupied: NDArray[np.float32], previous: NDArray[np.float32]) -> NDArray[np.float32]:
        cells = [round(self.vy_mps * k * 0.4 / 0.2) for k in range(1, tensors.HORIZON_STEPS + 1)]
        return np.stack([np.roll(occupied, shift, axis=0) for shift in cells])


class Counting(DeterministicBackend):
    """Counts how often each network ran."""

    def __init__(self) -> None:
        self.runs: list[str] = []

    def run(self, network: str, inputs: dict) -> dict:
        self.runs.append(network)
        return super().run(network, inputs)


def _frame(
    occupied: NDArray[np.float32] | None = None, twist: tuple[float, float, float] = (0.8, 0.0, 0.0), sequence: int = 7
) -> LatentFrame:
    occupied = np.zeros((64, 64), np.float32) if occupied is None else occupied
    history = np.tile(np.stack([occupied, 1.0 - occupied]), (5, 1, 1))[None].astype(np.float32)
    context = WorldModel(DeterministicBackend(), "m").encode(history)
    return LatentFrame(10**9, "odom", "base_link", POSE, np.array(twist), context, 0.0, 0.0, "m", sequence)


def _wall(ix: int, rows: slice = slice(20, 44)) -> NDArray[np.float32]:
    occupied = np.zeros((64, 64), np.float32)
    occupied[rows, ix : ix + 2] = 1.0
    return occupied


def _planner(backend: DeterministicBackend | None = None, **config: float) -> Planner:
    return Planner(WorldModel(backend or DeterministicBackend(), "m"), RobotLimits(), PlannerConfig(**config))


def _plan(
    planner: Planner, frame: LatentFrame, goal: NDArray[np.float64] | None = GOAL_AHEAD, **more: object
) -> PlannerOutput:
    request = PlanningRequest(frame=frame, goal=goal, rng=np.random.default_rng(5), **more)
    return planner.plan(request, planner.outlook(request))


def _ahead(output: PlannerOutput) -> float:
    """Metres gained straight ahead by the end of the plan."""
    direction = np.array([np.cos(POSE[2]), np.sin(POSE[2])])
    return float((output.plan.trajectory.poses[-1, :2] - POSE[:2]) @ direction)


def test_free_way_is_taken() -> None:
    output = _plan(_planner(), _frame())
    assert _ahead(output) > 2.4
    assert output.plan.risk == 0.0
    assert output.plan.reason.startswith(f"{output.plan.maneuver}: risk 0.00, ")
    np.testing.assert_allclose(output.plan.trajectory.poses[0], POSE)
    np.testing.assert_allclose(output.plan.trajectory.twists[0], [0.8, 0.0, 0.0])
    assert output.plan.valid_until_ns == 10**9 + 600_000_000


def test_wall_ahead_means_brake_or_turn() -> None:
    occupied = _wall(40)  # 1.6 m ahead, too wide to see its ends as a short way
    output = _plan(_planner(), _frame(occupied))
    assert _ahead(output) < 1.3
    output = _plan(_planner(risk_half_life_s=1000.0), _frame(occupied))
    straight = [r for r in output.rollout_set.rollouts if r.name.startswith("straight")]
    assert all(not r.acceptable and r.risk > 0.9 for r in straight)


def test_wall_too_near_for_anything_stops_and_says_so() -> None:
    output = _plan(_planner(), _frame(_wall(33, slice(0, 64)), (1.0, 0.0, 0.0)))
    assert output.rollout_set.selected == -1
    assert output.plan.maneuver == "stop"
    assert output.plan.reason.startswith("stop: no maneuver within risk 0.40; the lowest is ")
    speeds = output.plan.trajectory.twists[:, 0]
    assert speeds[-1] == 0.0 and (np.diff(speeds) >= -0.15 - 1e-9).all()


def test_something_that_will_cross_changes_the_decision() -> None:
    occupied = np.zeros((64, 64), np.float32)
    occupied[21:24, 40:43] = 1.0  # 1.8 m ahead, 1.9 m to the right, coming at 1 m/s
    frozen = _plan(_planner(), _frame(occupied))
    moving = _plan(_planner(Drifting(1.0)), _frame(occupied))
    assert _ahead(frozen) > 2.4
    end_apart = np.hypot(*(frozen.plan.trajectory.poses[20, :2] - moving.plan.trajectory.poses[20, :2]))
    assert end_apart > 0.3
    assert f"; not {frozen.plan.maneuver}: risk " in moving.plan.reason
    assert moving.plan.risk <= 0.4
    risks = {r.name: r.risk for r in moving.rollout_set.rollouts}
    assert risks[frozen.plan.maneuver] > 0.4


def test_a_robot_at_rest_moves_out_of_the_way_of_a_mover() -> None:
    occupied = np.zeros((64, 64), np.float32)
    occupied[21:24, 31:34] = 1.0  # 1.7 m to the right, coming at 1 m/s, as the last second has shown
    seen = [np.roll(occupied, -back, axis=0) for back in range(tensors.HISTORY_FRAMES)][::-1]
    history = np.concatenate([np.stack([frame, 1.0 - frame]) for frame in seen])[None]
    context = WorldModel(Drifting(1.0), "m").encode(history)
    frame = replace(_frame(twist=(0.0, 0.0, 0.0)), tensor=context)
    goal = compose(POSE, [0.35, 0.0, 0.0])

    def exposure(weight_m: float) -> float:
        rollout_set = _plan(_planner(Drifting(1.0), exposure_weight_m=weight_m), frame, goal).rollout_set
        assert rollout_set.rollouts[0].risk == 0.0, "who stands causes nothing"
        assert rollout_set.rollouts[rollout_set.selected].acceptable
        return rollout_set.rollouts[rollout_set.selected].exposure

    assert exposure(0.0) > 0.7
    assert exposure(6.0) < 0.3


def test_a_hit_that_a_later_plan_can_avoid_counts_less_and_a_near_one_fully() -> None:
    far, near = _wall(44), _wall(36)
    for occupied, fades in ((far, True), (near, False)):
        risks = [
            {
                r.name: r.risk
                for r in _plan(_planner(risk_half_life_s=half_life_s), _frame(occupied)).rollout_set.rollouts
            }
            for half_life_s in (1000.0, 1.0)
        ]
        fast = "straight_fast"
        assert risks[0][fast] > 0.9
        assert (risks[1][fast] < 0.9 * risks[0][fast]) == fades


def test_no_goal_holds_the_position_but_still_imagines() -> None:
    output = _plan(_planner(), _frame(), goal=None)
    assert output.plan.maneuver == "hold"
    assert output.plan.trajectory.twists[-1].tolist() == [0.0, 0.0, 0.0]
    assert len(output.rollout_set.rollouts) == 8
    assert max(np.hypot(*(r.trajectory.poses[-1] - POSE)[:2]) for r in output.rollout_set.rollouts) > 2.0


def test_goal_reached_stops_within_limits() -> None:
    output = _plan(_planner(), _frame(), goal=compose(POSE, [0.2, 0.1, 0.0]))
    assert output.plan.maneuver == "arrived"
    assert output.plan.trajectory.twists[-1, 0] == 0.0
    assert (np.diff(output.plan.trajectory.twists[:, 0]) >= -0.15 - 1e-9).all()


@pytest.mark.parametrize("bearing", [np.pi, 2.6, -2.6, 1.6])
def test_facing_away_from_standstill_it_turns(bearing: float) -> None:
    goal = compose(POSE, [5 * np.cos(bearing), 5 * np.sin(bearing), 0.0])
    output = _plan(_planner(), _frame(twist=(0.0, 0.0, 0.0)), goal=goal)
    turned = output.plan.trajectory.twists[5, 2]
    assert abs(turned) > 0.5
    if abs(bearing) < 3.0:
        assert np.sign(turned) == np.sign(bearing)


def test_final_heading_is_ignored() -> None:
    outputs = [_plan(_planner(), _frame(), goal=np.append(GOAL_AHEAD[:2], yaw)) for yaw in (0.0, 2.0)]
    np.testing.assert_array_equal(outputs[0].plan.trajectory.poses, outputs[1].plan.trajectory.poses)


def test_previous_is_continued_and_preferred() -> None:
    planner = _planner()
    first = _plan(planner, _frame()).plan
    elapsed = 3
    later = replace(
        _frame(sequence=8),
        stamp_ns=first.stamp_ns + elapsed * 100_000_000,
        pose=first.trajectory.poses[elapsed],
        twist=first.trajectory.twists[elapsed],
    )
    output = _plan(planner, later, previous=first)
    previous = next(r for r in output.rollout_set.rollouts if r.name == "previous")
    expected = first.trajectory.poses[elapsed : elapsed + 20]
    np.testing.assert_allclose(previous.trajectory.poses[:20], expected, atol=1e-6)
    assert previous.cost <= min(r.cost for r in output.rollout_set.rollouts if r.name != "previous") + 0.1


@pytest.mark.parametrize(
    "change", [{"frame_id": "map"}, {"stamp_ns": 0}, {"stamp_ns": 2 * 10**9}, {"maneuver": "stop"}]
)
def test_previous_that_no_longer_counts_is_left_out(change: dict) -> None:
    planner = _planner()
    previous = replace(_plan(planner, _frame()).plan, **change)
    frame = replace(_frame(), stamp_ns=10**9 + 100_000_000)
    assert "previous" not in [r.name for r in _plan(planner, frame, previous=previous).rollout_set.rollouts]


def test_lagging_drive_is_planned_from_the_command_but_a_stopped_one_from_rest() -> None:
    planner = _planner()
    first = _plan(planner, _frame(twist=(0.0, 0.0, 0.0))).plan
    commanded = first.trajectory.twists[2, 0]
    assert commanded > 0.1
    lagging = replace(_frame(twist=(0.05, 0.0, 0.0)), stamp_ns=first.stamp_ns + 200_000_000)
    assert _plan(planner, lagging, previous=first).plan.trajectory.twists[0, 0] == pytest.approx(commanded)
    strict = _planner(tracking_tolerance=0.05)
    assert _plan(strict, lagging, previous=first).plan.trajectory.twists[0, 0] == pytest.approx(0.05)


class Ticking:
    """A clock that a slow backend moves on."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Slow(Counting):
    """Takes its time for each of its clips, all by the clock."""

    def __init__(self, clock: Ticking, clip_s: float) -> None:
        super().__init__()
        self.clock, self.clip_s = clock, clip_s

    def run(self, network: str, inputs: dict) -> dict:
        self.clock.now_s += self.clip_s * len(inputs["latent"])
        return super().run(network, inputs)


def _imagined(output: PlannerOutput) -> list[str]:
    return [r.name for r in output.rollout_set.rollouts if np.isfinite(r.risk)]


def test_early_exit_does_not_change_the_choice() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        occupied = (rng.random((64, 64)) < 0.02).astype(np.float32)
        occupied[28:36, 28:36] = 0.0
        frame = _frame(occupied, (float(rng.uniform(0.0, 1.0)), 0.0, float(rng.uniform(-1.0, 1.0))))
        goal = POSE + rng.uniform(-6.0, 6.0, 3)
        drifting = Drifting(float(rng.uniform(-1.0, 1.0)))
        some = _plan(_planner(drifting), frame, goal)
        all_of_them = _plan(_planner(drifting, imagined_at_once=8), frame, goal)
        assert some.plan.maneuver == all_of_them.plan.maneuver
        assert some.plan.risk == pytest.approx(all_of_them.plan.risk)
        assert some.rollout_set.effort == "", "this is no degradation"
        for few, full in zip(some.rollout_set.rollouts, all_of_them.rollout_set.rollouts, strict=True):
            assert few.cost <= full.cost + 1e-9
    free = _plan(_planner(), _frame())
    assert len(_imagined(free)) < 5 and "brake" in _imagined(free)


def test_without_a_way_to_go_only_standing_is_imagined() -> None:
    assert _imagined(_plan(_planner(), _frame(), goal=None)) == ["brake"]


def test_the_budget_ends_denoising_and_says_so() -> None:
    clock = Ticking()
    backend = Slow(clock, 0.001)
    output = _plan(_planner(backend, steps_cold=4, imagined_at_once=8), _frame(), budget=Budget(0.1, clock))
    assert backend.runs == ["denoiser", "denoiser", "decoder"]
    assert output.rollout_set.steps == 2
    assert output.rollout_set.effort == "time was up after 8 of 8 maneuvers"
    assert output.solution.shape == (4, 8, 16, 16)
    assert output.imagined.shape == (8, 64, 64)


def test_the_budget_ends_imagining_with_the_best_candidate_so_far() -> None:
    clock = Ticking()
    crowded = _frame((np.random.default_rng(4).random((64, 64)) < 0.05).astype(np.float32))
    full = _plan(_planner(Slow(clock, 0.001), steps_cold=2), crowded)
    assert len(_imagined(full)) > 4
    output = _plan(_planner(Slow(clock, 0.001), steps_cold=2), crowded, budget=Budget(0.06, clock))
    assert len(_imagined(output)) == 4, "two batches of 24 ms, no third"
    assert output.rollout_set.effort == "time was up after 4 of 8 maneuvers"
    if output.rollout_set.selected >= 0:
        assert output.plan.maneuver in _imagined(output), "what was not imagined is never chosen"
    at_least = _plan(_planner(Slow(clock, 1.0), steps_cold=2), crowded, budget=Budget(0.06, clock))
    assert "brake" in _imagined(at_least), "a first batch there always is"


def test_a_tick_that_is_too_late_is_given_up_before_decoding() -> None:
    clock = Ticking()
    backend = Slow(clock, 0.1)
    with pytest.raises(LateError, match="given up after 0.50 s"):
        _plan(_planner(backend), _frame(), budget=Budget(0.1, clock, 0.5))
    assert "decoder" not in backend.runs


def test_less_effort_means_fewer_futures_and_steps() -> None:
    backend = Counting()
    output = _plan(_planner(backend, steps_cold=4), _frame(), effort=Effort(2, "level 2 of 3: ticks came late"))
    assert output.rollout_set.futures_per_maneuver == 2 and output.rollout_set.steps == 2
    assert output.rollout_set.effort == "level 2 of 3: ticks came late"
    assert output.solution.shape == (2, 8, 16, 16)


def _warm(model_id: str = "m", sequence: int = 7, valid: bool = True) -> WarmStart:
    latents = np.random.default_rng(1).standard_normal((4, 8, 16, 16)).astype(np.float32)
    return WarmStart(10**9, sequence, valid, "", model_id, 0.1, 0.9, 0.4, latents)


def test_warm_start_saves_steps() -> None:
    cold, warm = Counting(), Counting()
    assert not _plan(_planner(cold), _frame()).rollout_set.warm_started
    output = _plan(_planner(warm), _frame(), warm_start=_warm())
    assert output.rollout_set.warm_started
    assert output.rollout_set.noise_level == pytest.approx(0.4)
    config = PlannerConfig()
    assert config.steps_warm < config.steps_cold
    assert cold.runs.count("denoiser") == config.steps_cold * cold.runs.count("decoder")
    assert warm.runs.count("denoiser") == config.steps_warm * warm.runs.count("decoder")


@pytest.mark.parametrize("warm", [_warm(model_id="other"), _warm(sequence=6), _warm(valid=False)])
def test_warm_start_that_does_not_fit_is_ignored(warm: WarmStart) -> None:
    output = _plan(_planner(), _frame(), warm_start=warm)
    assert not output.rollout_set.warm_started and output.rollout_set.steps == PlannerConfig().steps_cold


def test_same_seed_same_plan_and_clock_only_measures() -> None:
    ticks = iter(range(100))
    first = _plan(_planner(), _frame(_wall(44)))
    budget = Budget(clock_s=lambda: float(next(ticks)))
    second = _plan(_planner(), _frame(_wall(44)), budget=budget)
    np.testing.assert_array_equal(first.plan.trajectory.poses, second.plan.trajectory.poses)
    np.testing.assert_array_equal(first.solution, second.solution)
    latency = second.rollout_set.latency
    assert latency.preprocess_s == 1.0 and latency.compute_s >= 1.0 and latency.postprocess_s >= 1.0
    read = next(ticks) - 1.0
    assert latency.preprocess_s + latency.compute_s + latency.postprocess_s == read, "the parts add up to the tick"
    assert first.rollout_set.latency.compute_s == 0.0


def test_unusable_inputs_are_refused() -> None:
    with pytest.raises(ModelError, match="encoded by model 'x'"):
        _plan(_planner(), replace(_frame(), model_id="x"))
    with pytest.raises(InputError, match="twist"):
        _plan(_planner(), _frame(twist=(np.nan, 0.0, 0.0)))
    with pytest.raises(InputError, match="goal"):
        _plan(_planner(), _frame(), goal=np.array([np.inf, 0.0]))


def test_every_term_of_every_candidate_is_reported() -> None:
    rollout_set = _plan(_planner(), _frame(_wall(44))).rollout_set
    cfg = PlannerConfig()
    for r in rollout_set.rollouts:
        met = np.nan_to_num(r.exposure) - np.nan_to_num(r.risk)
        expected = r.arrival + cfg.risk_weight_m * np.nan_to_num(r.risk) + cfg.exposure_weight_m * met
        expected += cfg.comfort_weight * r.comfort
        assert r.cost == pytest.approx(expected - cfg.progress_weight * r.progress)
        assert r.acceptable == (r.risk <= cfg.risk_limit)
    chosen = rollout_set.rollouts[rollout_set.selected]
    assert chosen.cost == min(r.cost for r in rollout_set.rollouts if r.acceptable)
