"""A robot that is told to stop at any moment touches nothing, whichever way its drive base brakes.

Each case is a robot on its way, on level ground or a slope, at up to 20 % over its limits. The gate passes a command in
this tick; from the next tick on there are only zeros. The obstacles lie where the robot would go without them.
EDGE_WORLDMODEL_CASES=100000 draws as many; it takes minutes.
"""

from __future__ import annotations

import os
from collections import Counter

import numpy as np
import pytest

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.limits import Motion
from edge_worldmodel.core.safety.motion.path_gate import ObstaclePoints, PathGate

from .stopping_bases import ACKERMANN, NAMES, TICK_S, Bases, downhill_of, history, run_up, stop

CASES = int(os.environ.get("EDGE_WORLDMODEL_CASES", "300"))
ROBOTS_A_BATCH, CASES_A_ROBOT = 30, 10
SLIP, SLOPE_DEG, OVERSPEED = 0.3, 8.0, 0.2
NOTHING = np.empty((0, 2))


def draw_robot(draw, kind):
    """Return the configuration of a robot whose base is of a kind."""
    length_m, width_m, tail_m = draw.uniform(0.3, 0.8), draw.uniform(0.2, 0.6), draw.uniform(0.0, 0.6)
    box = [length_m / 2, width_m / 2, -length_m / 2 - tail_m, width_m / 2]
    footprint = (*box, *(value * sign for value, sign in zip(box[2:] + box[:2], (1, -1, 1, -1), strict=True)))
    return SupervisorConfig(
        footprint_radius_m=draw.uniform(0.15, 0.45),
        footprint_m=() if draw.random() < 0.3 else footprint,
        max_forward_mps=draw.uniform(0.3, 2.0),
        max_reverse_mps=draw.uniform(0.2, 1.0),
        max_lateral_mps=draw.uniform(0.2, 1.0) if kind != ACKERMANN and draw.random() < 0.3 else 0.0,
        max_yaw_rate_radps=draw.uniform(0.5, 2.5),
        max_curvature_radpm=draw.uniform(0.5, 2.0) if kind == ACKERMANN else 0.0,
        braking_deceleration_mps2=draw.uniform(0.8, 4.0),
        braking_yaw_deceleration_radps2=draw.uniform(1.5, 8.0),
        reaction_time_s=draw.uniform(0.1, 0.4),
        slip=SLIP,
        unsafe_without_sensors=True,
        scan_topics=(),
    )


def draw_twists(draw, config, count):
    """Return random twists (n, 3) within the limits, some of them at rest."""
    twists = np.stack(
        (
            draw.uniform(-config.max_reverse_mps, config.max_forward_mps, count),
            draw.uniform(-1.0, 1.0, count) * config.max_lateral_mps,
            draw.uniform(-1.0, 1.0, count) * config.max_yaw_rate_radps,
        ),
        axis=-1,
    )
    at_limit = draw.random(count) < 0.3
    twists[at_limit, 0] = config.max_forward_mps
    twists[draw.random(count) < 0.1] = 0.0
    if config.max_curvature_radpm:
        most = np.abs(twists[:, 0]) * config.max_curvature_radpm
        twists[:, 2] = np.clip(twists[:, 2], -most, most)
    return twists


def draw_bases(draw, kinds, configs):
    """Return bases that keep what their configurations say of them."""
    count = len(kinds)
    reaction_s = np.array([config.reaction_time_s for config in configs]) - TICK_S - 0.005
    lag_share = draw.uniform(0.0, 1.0, count)
    angle, sine = draw.uniform(-np.pi, np.pi, count), np.sin(np.radians(draw.uniform(0.0, SLOPE_DEG, count)))
    sine[draw.random(count) < 0.3] = 0.0
    nominal = np.array([(c.braking_deceleration_mps2, c.braking_yaw_deceleration_radps2) for c in configs])
    limits = np.array([(c.max_acceleration_mps2, c.max_yaw_acceleration_radps2) for c in configs])
    return Bases(
        kind=kinds,
        dead_time_s=(1.0 - lag_share) * reaction_s,
        lag_s=lag_share * reaction_s,
        acceleration=limits * draw.uniform(0.8, 1.2, (count, 1)),
        deceleration=nominal * draw.uniform(1.0 - SLIP, 1.0 + SLIP, (count, 2)),
        downhill=np.stack((sine * np.cos(angle), sine * np.sin(angle)), axis=-1),
        wheelbase_m=draw.uniform(0.2, 0.6, count),
        steering_rate_radps=draw.uniform(0.5, 3.0, count),
        straightens=draw.random(count) < 0.5,
    )


def points_in_the_way(draw, poses, footprint):
    """Return points (k, 2) in the area that the robot sweeps (t, 3), and a little beside it, but not within it now."""
    at = poses[draw.integers(0, len(poses), 6)]
    outline = footprint.samples[draw.integers(0, len(footprint.samples), 6)]
    cos, sin = np.cos(at[:, 2]), np.sin(at[:, 2])
    x, y = (outline * draw.uniform(0.5, 1.1, (6, 1))).T
    points = at[:, :2] + np.stack((cos * x - sin * y, sin * x + cos * y), axis=-1) + draw.normal(0.0, 0.05, (6, 2))
    points = points[: draw.integers(1, 7)]
    # The gate lets the robot finish a motion of less than 2 cm, because odometry is noisy.
    return points[footprint.clearance(points) > 0.025]


def smallest_clearance_m(poses, points, footprint):
    """Return how near the robot comes to any of the points on its way (t, 3)."""
    if not len(points):
        return np.inf
    cos, sin = np.cos(poses[:, 2:]), np.sin(poses[:, 2:])
    dx, dy = points[:, 0] - poses[:, :1], points[:, 1] - poses[:, 1:2]
    local = np.stack((cos * dx + sin * dy, cos * dy - sin * dx), axis=-1)
    near = local[np.hypot(local[..., 0], local[..., 1]) < footprint.reach_m + 0.05]
    return float(footprint.clearance(near).min()) if len(near) else np.inf


class StopNow:
    """One batch of cases; ``contacts`` and ``counts`` are its result."""

    def __init__(self, seed):
        draw = self.draw = np.random.default_rng(seed)
        robot_kinds = draw.permutation(np.arange(ROBOTS_A_BATCH) % len(NAMES))
        robots = [draw_robot(draw, robot_kind) for robot_kind in robot_kinds]
        self.configs = [config for config in robots for _ in range(CASES_A_ROBOT)]
        self.gates = [gate for gate in map(PathGate, robots) for _ in range(CASES_A_ROBOT)]
        kinds = np.repeat(robot_kinds, CASES_A_ROBOT)
        self.bases = draw_bases(draw, kinds, self.configs)
        self.counts, self.contacts, self.seed = Counter(), [], seed

    def run(self):
        draw, count = self.draw, len(self.configs)
        begin = np.concatenate([draw_twists(draw, config, 1) for config in self.configs])
        end = np.concatenate([draw_twists(draw, config, 1) for config in self.configs])
        fastest = np.array([(c.max_acceleration_mps2,) * 2 + (c.max_yaw_acceleration_radps2,) for c in self.configs])
        ramp_s = np.maximum((np.abs(end - begin) / fastest).max(axis=1), TICK_S)
        now_s = draw.uniform(0.0, 1.5, count) * ramp_s
        ramp = begin, end, ramp_s, now_s
        state = run_up(self.bases, np.zeros((count, 3)), *ramp)
        state.twist *= 1.0 + OVERSPEED * np.maximum(draw.uniform(-1.0, 1.0, (count, 1)), 0.0)
        previous = history(*ramp, np.full(count, -TICK_S))
        rate = (previous - history(*ramp, np.full(count, -2.0 * TICK_S))) / TICK_S
        last = [Motion(twist, change) for twist, change in zip(previous, rate, strict=True)]
        planned = np.where(draw.random((count, 1)) < 0.7, history(*ramp, np.full(count, 0.3)), begin)
        downhill = downhill_of(self.bases, state.pose)
        free = [self.decide(case, planned, state, last, NOTHING, downhill).motion.twist for case in range(count)]
        way = stop(self.bases, state.of(slice(None)), *ramp, np.array(free))
        points = [points_in_the_way(draw, way[:, case], self.gates[case].footprint) for case in range(count)]
        self.counts["touches without the gate"] = sum(self.clearance_m(way, points, case) < 0 for case in range(count))
        decisions = [self.decide(case, planned, state, last, points[case], downhill) for case in range(count)]
        way = stop(self.bases, state, *ramp, np.array([decision.motion.twist for decision in decisions]))
        for case, decision in enumerate(decisions):
            if decision.fault is not None:
                self.counts["refused"] += 1
                continue
            name = NAMES[self.bases.kind[case]]
            self.counts.update(("passed", name))
            if (clearance_m := self.clearance_m(way, points, case)) < 0.0:
                self.contacts.append((self.seed, case, name, round(clearance_m, 3)))
        return self

    def clearance_m(self, way, points, case):
        return smallest_clearance_m(way[:, case], points[case], self.gates[case].footprint)

    def decide(self, case, planned, state, last, points, downhill):
        obstacles = ObstaclePoints(points, NOTHING, None)
        measured = state.twist[case]
        slope = tuple(downhill[case].tolist())
        return self.gates[case].decide(planned[case], measured, last[case], obstacles, None, TICK_S, slope)


# Wheels that turn straight on a long slope; a car from forward to reverse; axes of translation that brake as one.
@pytest.mark.parametrize("seed", [23, 67, 184])
def test_stops_that_once_ended_in_a_contact_touch_nothing(seed):
    assert not StopNow(seed).run().contacts


def test_a_stop_at_any_moment_touches_nothing(record_property):
    counts, contacts = Counter(), []
    for seed in range(max(1, round(CASES / (ROBOTS_A_BATCH * CASES_A_ROBOT)))):
        batch = StopNow(seed).run()
        counts += batch.counts
        contacts += batch.contacts
    for name, value in counts.items():
        record_property(name, value)
    assert counts["passed"] > 0.1 * CASES and min(counts[kind] for kind in NAMES) > 0.02 * CASES
    assert counts["touches without the gate"] > 0.3 * CASES
    assert not contacts, f"{len(contacts)} of {counts['passed']}: {contacts[:5]}"
