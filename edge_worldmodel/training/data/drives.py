"""The robot's motion in a clip: a random smooth unicycle path, or the robot that the crowd reacted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.geometry import compose
from edge_worldmodel.core.tensors import HISTORY_FRAMES, HISTORY_INTERVAL_S, HORIZON_S
from edge_worldmodel.core.types import Floats
from edge_worldmodel.training.data.scenes import STEP_S, TrainingScene, smooth

BEFORE_STEPS = round((HISTORY_FRAMES - 1) * HISTORY_INTERVAL_S / STEP_S) + 2
"""Samples of a drive before its reference time."""
AFTER_STEPS = round(HORIZON_S / STEP_S) + 3
"""Samples of a drive after its reference time."""
ROBOT_RADIUS_M = 0.28
FASTEST_MPS = 2.0
_GHOST_SHARE = 0.25
_TRIES_PER_DRIVE = 5


@dataclass(frozen=True)
class EgoDrive:
    """Motion of the robot in one clip.

    Attributes:
        poses: (BEFORE_STEPS + 1 + AFTER_STEPS, 3) in the scene's frame; sample BEFORE_STEPS is the reference time.
        reference_step: the reference time as a sample of the scene.
        robot: column among the scene's robots; None if people do not react to this robot.
    """

    poses: Floats
    reference_step: int
    robot: int | None


def draw_drives(scene: TrainingScene, count: int, rng: np.random.Generator) -> list[EgoDrive]:
    """Return up to ``count`` drives: the robots of the scene, or random paths if it has none.

    A random path is clear of people up to the reference time and ignores them afterwards; one in four then ignores
    walls, too. People do not react to such a robot, and its path must not depend on where they will be.
    """
    if scene.robots.shape[1]:
        return _simulated(scene, count, rng)
    return _random_drives(scene, count, rng)


def _reference_steps(scene: TrainingScene, count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    first, last = BEFORE_STEPS, scene.movers.steps - AFTER_STEPS - 1
    return rng.integers(first, last + 1, count)


def _window(reference: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.asarray(reference)[..., None] + np.arange(-BEFORE_STEPS, AFTER_STEPS + 1)


def _simulated(scene: TrainingScene, count: int, rng: np.random.Generator) -> list[EgoDrive]:
    drives = []
    for reference in _reference_steps(scene, count, rng):
        robot = int(rng.integers(scene.robots.shape[1]))
        poses = scene.robots[_window(reference), robot]
        if np.isfinite(poses).all():
            drives.append(EgoDrive(poses, int(reference), robot))
    return drives


def _random_drives(scene: TrainingScene, count: int, rng: np.random.Generator) -> list[EgoDrive]:
    tries = count * _TRIES_PER_DRIVE
    references = _reference_steps(scene, tries, rng)
    starts = _starts(scene, references, rng)
    poses = compose(starts[:, None], _unicycles(tries, rng))
    avoids_walls = rng.random(tries) >= _GHOST_SHARE
    clearance_m = np.asarray(scene.statics.clearance_m.at(poses[..., :2], 0.0))
    in_the_way = clearance_m < ROBOT_RADIUS_M
    in_the_way[~avoids_walls, BEFORE_STEPS + 1 :] = False
    good = np.flatnonzero(~in_the_way.any(axis=1))
    drives = []
    for index in good:
        if not _touches_mover(scene, poses[index], int(references[index])):
            drives.append(EgoDrive(poses[index], int(references[index]), None))
        if len(drives) == count:
            break
    return drives


def _starts(scene: TrainingScene, references: NDArray[np.intp], rng: np.random.Generator) -> Floats:
    """Return random poses (n, 3) for the reference times, most of them within a few metres of a mover."""
    count = len(references)
    clearance = scene.statics.clearance_m
    clear = np.argwhere(np.asarray(clearance.values) > ROBOT_RADIUS_M)
    if len(clear) == 0:
        return np.full((count, 3), np.inf)
    picked = clear[rng.integers(0, len(clear), count)][:, ::-1]
    places = np.asarray(clearance.origin_m) + (picked + rng.random((count, 2))) * clearance.cell_size_m
    movers = np.concatenate((scene.movers.people, scene.movers.boxes[..., :2]), axis=1)
    near_mover = rng.random(count) < 0.8
    for index in np.flatnonzero(near_mover):
        present = movers[references[index]]
        present = present[np.isfinite(present[:, 0])]
        if len(present):
            bearing, away = rng.uniform(-np.pi, np.pi), rng.uniform(0.8, 5.0)
            places[index] = present[rng.integers(len(present))] + away * np.array((np.cos(bearing), np.sin(bearing)))
    return np.concatenate((places, rng.uniform(-np.pi, np.pi, (count, 1))), axis=1)


def _unicycles(count: int, rng: np.random.Generator) -> Floats:
    """Return smooth drives (count, samples, 3) with the reference pose at the origin."""
    samples = BEFORE_STEPS + 1 + AFTER_STEPS
    mean_mps = rng.uniform(0.0, 1.0, count) * rng.choice((0.0, 0.6, 1.5, FASTEST_MPS), count, p=(0.2, 0.25, 0.45, 0.1))
    restless = mean_mps[:, None] * rng.choice((0.0, 2.0), (count, 1))
    speed = mean_mps[:, None] + restless * smooth(rng.normal(0.0, 1.0, (samples, count)), 5.0).T
    turn_radps = rng.choice((0.0, 0.3, 1.0), (count, 1), p=(0.35, 0.4, 0.25)) * rng.normal(0.0, 1.0, (count, 1))
    yaw_rate = turn_radps * (1.0 + 2.0 * smooth(rng.normal(0.0, 1.0, (samples, count)), 6.0).T)
    change = rng.integers(BEFORE_STEPS - 5, samples, count)
    braking = (rng.random(count) < 0.3)[:, None] & (np.arange(samples) > change[:, None])
    since_s = np.maximum(np.arange(samples) - change[:, None], 0) * STEP_S
    speed = np.clip(np.where(braking, speed - 1.2 * since_s, speed), 0.0, FASTEST_MPS)
    return _integrate(speed, yaw_rate)


def _integrate(speed_mps: Floats, yaw_rate_radps: Floats) -> Floats:
    yaw = np.cumsum(yaw_rate_radps, axis=1) * STEP_S
    yaw -= yaw[:, BEFORE_STEPS, None]
    step = speed_mps[..., None] * np.stack((np.cos(yaw), np.sin(yaw)), axis=-1) * STEP_S
    position = np.cumsum(step, axis=1)
    position -= position[:, BEFORE_STEPS, None]
    return np.concatenate((position, yaw[..., None]), axis=-1)


def _touches_mover(scene: TrainingScene, poses: Floats, reference: int) -> bool:
    """Return whether the robot overlaps a mover up to the reference time."""
    window = slice(reference - BEFORE_STEPS, reference + 1)
    robot = poses[: BEFORE_STEPS + 1, None, :2]
    people, boxes = scene.movers.people[window], scene.movers.boxes[window, :, :2]
    gap_m = np.linalg.norm(people - robot, axis=-1) - scene.movers.radii
    box_gap_m = np.linalg.norm(boxes - robot, axis=-1) - 0.5 * np.hypot(*scene.movers.box_sizes.T)
    return bool((gap_m < ROBOT_RADIUS_M + 0.05).any() or (box_gap_m < ROBOT_RADIUS_M).any())
