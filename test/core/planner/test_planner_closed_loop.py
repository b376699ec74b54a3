"""The planner drives: round a box, out of a dead start facing away, past people-sized posts, over many seeds.

A kinematic robot with a simulated scanner, the real grid rendering and the deterministic backend; no ROS, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from edge_worldmodel.backends.deterministic_backend import DeterministicBackend
from edge_worldmodel.core import tensors
from edge_worldmodel.core.cache.latent_cache import LatentCache
from edge_worldmodel.core.geometry import compose, relative, transform_points, twist_along
from edge_worldmodel.core.grid import render
from edge_worldmodel.core.model.world_model import WorldModel
from edge_worldmodel.core.planner.candidates.disturbances import DisturbanceConfig
from edge_worldmodel.core.planner.planner import Planner
from edge_worldmodel.core.planner.planner_config import PlannerConfig
from edge_worldmodel.core.planner.request import PlanningRequest
from edge_worldmodel.core.planner.robot_limits import RobotLimits
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.types import LatentFrame, Plan

TICK_S = 0.2
SUBSTEP_S = 0.02
LATENCY_S = 0.04
MAX_RANGE_M = 8.0
BEARINGS = np.linspace(-np.pi, np.pi, 240, endpoint=False)


@dataclass
class World:
    """Axis-aligned boxes (x0, y0, x1, y1) and discs (x, y, radius, vx, vy)."""

    boxes: np.ndarray
    discs: np.ndarray = field(default_factory=lambda: np.zeros((0, 5)))

    def clearance_m(self, point: np.ndarray) -> float:
        """Distance from a point to the nearest surface."""
        gap = np.maximum(np.maximum(self.boxes[:, :2] - point, point - self.boxes[:, 2:]), 0.0)
        distances = [np.hypot(*gap.T), np.hypot(*(self.discs[:, :2] - point).T) - self.discs[:, 2]]
        return float(np.concatenate(distances).min(initial=np.inf))

    def ranges(self, pose: np.ndarray) -> np.ndarray:
        """Distance along each bearing to the first surface."""
        rays = np.stack([np.cos(pose[2] + BEARINGS), np.sin(pose[2] + BEARINGS)], axis=-1)[:, None]
        rays = np.where(np.abs(rays) < 1e-9, 1e-9, rays)
        low, high = (self.boxes[None, :, :2] - pose[:2]) / rays, (self.boxes[None, :, 2:] - pose[:2]) / rays
        enter, leave = np.minimum(low, high).max(axis=-1), np.maximum(low, high).min(axis=-1)
        boxes = np.where((enter <= leave) & (enter > 0.0), enter, np.inf)
        to_disc = self.discs[None, :, :2] - pose[:2]
        along = (to_disc * rays).sum(axis=-1)
        miss = (to_disc**2).sum(axis=-1) - along**2
        half = np.sqrt(np.maximum(self.discs[:, 2] ** 2 - miss, 0.0))
        discs = np.where((miss < self.discs[:, 2] ** 2) & (along > half), along - half, np.inf)
        return np.concatenate([boxes, discs], axis=1).min(axis=1, initial=np.inf)


@dataclass
class Drive:
    """What came out of one closed loop."""

    reached: bool
    time_s: float
    closest_m: float
    names: list[str]
    twists: np.ndarray


def look(world: World, pose: np.ndarray, stamp_ns: int) -> Sweep:
    """Scan the world; endpoints in the base frame."""
    ranges = world.ranges(pose)
    hit = ranges < MAX_RANGE_M
    ranges = np.minimum(ranges, MAX_RANGE_M)
    endpoints = np.stack([ranges * np.cos(BEARINGS), ranges * np.sin(BEARINGS)], axis=-1)
    return Sweep(stamp_ns, np.zeros(2), endpoints, hit)


def observe(
    model: WorldModel, sweeps: list[Sweep], poses: list[np.ndarray], twist: np.ndarray, tick: int
) -> LatentFrame:
    """Render the looks of the last second around the present pose and encode them."""
    newest = len(sweeps) - 1
    times = [max(newest - back, 0) for back in reversed(range(tensors.HISTORY_FRAMES))]
    frames = [render([sweeps[index]], relative(poses[-1], poses[index])[None]) for index in times]
    history = np.concatenate(frames)[None]
    stamp_ns, context = sweeps[-1].stamp_ns, model.encode(history)
    return LatentFrame(stamp_ns, "odom", "base_link", poses[-1], twist, context, 0.0, 0.0, model.model_id, tick)


def drive(
    planner: Planner, world: World, pose: np.ndarray, goal: np.ndarray, seed: int, limit_s: float = 30.0,
    cache: LatentCache | None = None,
) -> Drive:  # fmt: skip
    """Drive until the goal is reached and the robot stands, something is touched, or the time is up."""
    rng = np.random.default_rng(seed)
    twist, plan, names, twists = np.zeros(3), None, [], []
    sweeps: list[Sweep] = []
    poses: list[np.ndarray] = []
    closest_m = np.inf
    for tick in range(round(limit_s / TICK_S)):
        now_ns = round(tick * TICK_S * 1e9)
        poses.append(pose)
        sweeps.append(look(world, pose, now_ns))
        frame = observe(planner.world_model, sweeps, poses, twist, tick)
        warm_start = cache.warm_start(frame) if cache is not None else None
        request = PlanningRequest(frame=frame, goal=goal, rng=rng, previous=plan, warm_start=warm_start)
        output = planner.plan(request, planner.outlook(request))
        if cache is not None:
            assert cache.remember(replace(frame, tensor=output.solution))
            assert output.rollout_set.warm_started == (warm_start is not None and warm_start.valid)
        new_plan = output.plan
        names.append(new_plan.maneuver)
        for substep in range(round(TICK_S / SUBSTEP_S)):
            since_s = (substep + 1) * SUBSTEP_S
            followed = new_plan if since_s > LATENCY_S else plan
            twist = _command(followed, now_ns + round(since_s * 1e9))
            twists.append(twist)
            pose = compose(pose, twist * SUBSTEP_S)
            world.discs[:, :2] += world.discs[:, 3:] * SUBSTEP_S
            closest_m = min(closest_m, world.clearance_m(pose[:2]))
        plan = new_plan
        if new_plan.maneuver == "arrived" and abs(twist[0]) < 0.02:
            return Drive(True, tick * TICK_S, closest_m, names, np.array(twists))
        if closest_m < planner.limits.radius_m:
            break
    return Drive(False, tick * TICK_S, closest_m, names, np.array(twists))


def _command(plan: Plan | None, now_ns: int) -> np.ndarray:
    if plan is None:
        return np.zeros(3)
    return twist_along(plan.trajectory, (now_ns - plan.stamp_ns) * 1e-9)


def make_planner(limits: RobotLimits | None = None, disturbances: DisturbanceConfig | None = None) -> Planner:
    """A planner without a learned model, and with little to imagine, for speed."""
    config = PlannerConfig(futures=2, disturbances=4, steps_cold=1)
    return Planner(WorldModel(DeterministicBackend(), "m"), limits or RobotLimits(), config, disturbances)


ROOM = [(-12.0, -12.2, 12.0, -12.0), (-12.0, 12.0, 12.0, 12.2), (-12.2, -12.0, -12.0, 12.0), (12.0, -12.0, 12.2, 12.0)]


@pytest.mark.parametrize("seed", range(20))
def test_reaches_the_goal_round_a_box_from_any_heading(seed: int) -> None:
    rng = np.random.default_rng(1000 + seed)
    distance_m, bearing = rng.uniform(6.0, 10.0), rng.uniform(-np.pi, np.pi)
    # Half of the starts face straight away from the goal.
    yaw = bearing + (np.pi if seed % 2 else rng.uniform(-np.pi, np.pi))
    goal = distance_m * np.array([np.cos(bearing), np.sin(bearing)])
    middle = 0.45 * goal + rng.uniform(-0.5, 0.5, 2)
    size = rng.uniform(0.4, 1.2, 2)
    world = World(np.array([*ROOM, (*(middle - size), *(middle + size))]))
    result = drive(make_planner(), world, np.array([0.0, 0.0, yaw]), goal, seed)
    assert result.closest_m > RobotLimits().radius_m, result
    assert result.reached, result
    assert result.time_s < 5.0 + 1.5 * distance_m


def round_a_box(limits: RobotLimits, disturbances: DisturbanceConfig | None = None) -> Drive:
    """Drive 6 m along x with a box in the way; whoever reaches it without a touch comes back."""
    world = World(np.array([*ROOM, (2.5, -0.9, 3.5, 0.7)]))
    planner = make_planner(limits, disturbances)
    result = drive(planner, world, np.zeros(3), np.array([6.0, 0.3]), seed=1, limit_s=25.0)
    assert result.reached and result.closest_m > limits.radius_m, result
    return result


def test_a_robot_that_slides_reaches_the_goal_round_a_box_and_slides_on_the_way() -> None:
    result = round_a_box(RobotLimits(kind="holonomic", max_lateral_mps=0.6))
    assert np.abs(result.twists[:, 1]).max() > 0.1
    assert np.abs(result.twists[:, 1]).max() <= 0.6 + 1e-9


@pytest.mark.parametrize("min_speed_mps", [0.0, -0.4])
def test_a_car_reaches_the_goal_round_a_box_and_never_turns_on_the_spot(min_speed_mps: float) -> None:
    limits = RobotLimits(kind="ackermann", max_curvature_radpm=1.2, min_speed_mps=min_speed_mps)
    result = round_a_box(limits)
    moved = np.abs(result.twists[:, 0])
    assert np.abs(result.twists[:, 2]).max() > 0.1
    # Between two moments of a plan both are interpolated, which keeps their ratio but for rounding.
    assert (np.abs(result.twists[:, 2]) <= limits.max_curvature_radpm * moved + 0.02).all()


@pytest.mark.parametrize("max_lateral_mps", [0.0, 0.5])
def test_a_quadrotor_that_reckons_with_wind_reaches_the_goal_round_a_box(max_lateral_mps: float) -> None:
    limits = RobotLimits(kind="quadrotor", max_lateral_mps=max_lateral_mps, radius_m=0.3)
    gusty = round_a_box(limits, DisturbanceConfig(gust_std_mps=3.0))
    assert "brake" not in gusty.names  # what flies hovers
    if not max_lateral_mps:
        assert gusty.closest_m != round_a_box(limits).closest_m


def test_gets_away_from_a_wall_inside_the_margin() -> None:
    world = World(np.array([*ROOM, (0.36, -3.0, 0.6, 3.0)]))
    result = drive(make_planner(), world, np.zeros(3), np.array([-3.0, 0.0]), seed=0)
    assert result.reached and result.closest_m > RobotLimits().radius_m


def test_stays_where_every_way_is_blocked() -> None:
    walls = [(0.7, -0.9, 0.9, 0.9), (-0.9, -0.9, -0.7, 0.9), (-0.9, 0.7, 0.9, 0.9), (-0.9, -0.9, 0.9, -0.7)]
    result = drive(make_planner(), World(np.array(walls)), np.zeros(3), np.array([5.0, 0.0]), seed=0, limit_s=5.0)
    assert not result.reached and result.closest_m > RobotLimits().radius_m


def test_warm_starts_carry_a_drive() -> None:
    cache = LatentCache()
    world = World(np.array([*ROOM, (2.5, -0.8, 3.5, 0.6)]))
    result = drive(make_planner(), world, np.zeros(3), np.array([7.0, 0.0]), seed=3, cache=cache)
    assert result.reached and result.closest_m > RobotLimits().radius_m
    assert cache.hit_rate > 0.9, cache.answers


def test_points_in_the_robot_frame_match_the_world() -> None:
    pose = np.array([1.0, 2.0, 0.7])
    world = World(np.array([*ROOM]), np.array([[3.0, 4.0, 0.3, 0.0, 0.0]]))
    sweep = look(world, pose, 0)
    for point in transform_points(pose, sweep.endpoints[sweep.hit]):
        assert world.clearance_m(point) < 1e-6
    assert tensors.GRID_CELLS == 64
