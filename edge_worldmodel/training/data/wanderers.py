"""Movers that do not walk: carts, cars and rolling bins that cross an area on smooth curves."""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.training.data.scenes import STEP_S, Movers, Raster, smooth

_BOX_KINDS = ((0.3, 0.6, 0.5, 2.5), (0.7, 1.6, 0.4, 2.0), (3.6, 4.8, 1.0, 7.0))
"""Range of length (m) and range of speed (m/s) of small vehicles, carts and cars."""
_BOX_SHARES = (0.35, 0.45, 0.2)
_TRIES = 12


def draw_curves(count: int, steps: int, speeds_mps: Floats, turn_radps: float, rng: np.random.Generator) -> Floats:
    """Return random smooth drives.

    Args:
        count: number of drives.
        steps: samples, ``STEP_S`` apart.
        speeds_mps: (count,) mean speed of each.
        turn_radps: usual yaw rate.
        rng: source of all random choices.

    Returns:
        Poses (steps, count, 3), all starting at the origin, facing +x.
    """
    speed = speeds_mps * np.clip(1.0 + smooth(rng.normal(0.0, 1.2, (steps, count)), 6.0), 0.0, 2.0)
    yaw_rate = smooth(rng.normal(0.0, turn_radps * 4.0, (steps, count)), 6.0)
    yaw = np.cumsum(yaw_rate, axis=0) * STEP_S
    yaw -= yaw[:1]
    step = speed[..., None] * np.stack((np.cos(yaw), np.sin(yaw)), axis=-1) * STEP_S
    position = np.cumsum(step, axis=0)
    return np.concatenate((position - position[:1], yaw[..., None]), axis=-1)


def draw_wanderers(clearance_m: Raster, steps: int, rng: np.random.Generator) -> Movers:
    """Return random vehicles and rolling discs that cross an area clear of static objects.

    Args:
        clearance_m: distance from static objects; there are none beyond the raster.
        steps: samples, ``STEP_S`` apart.
        rng: source of all choices.
    """
    boxes, discs = int(rng.integers(0, 5)), int(rng.integers(0, 6))
    boxes += boxes + discs == 0
    kinds = np.repeat(rng.choice(len(_BOX_KINDS), size=boxes, p=_BOX_SHARES), _TRIES)
    table = np.array(_BOX_KINDS)[kinds].reshape(-1, 4)
    lengths, speeds = rng.uniform(table[:, 0], table[:, 1]), rng.uniform(table[:, 2], table[:, 3])
    speeds = np.where(rng.random(len(speeds)) < 0.15, 0.0, speeds)
    sizes = np.stack((lengths, lengths * rng.uniform(0.4, 0.6, len(lengths))), axis=-1)
    radii: Floats = rng.uniform(0.15, 0.6, (discs * _TRIES,))
    reach_m = np.concatenate((0.5 * np.hypot(*sizes.T), radii))
    speeds = np.concatenate((speeds, rng.uniform(0.3, 2.5, len(radii))))
    poses = _cross(draw_curves(len(speeds), steps, speeds, 0.25, rng), clearance_m, rng)
    clear = (np.asarray(clearance_m.at(poses[..., :2], np.inf)) > reach_m).all(axis=0)
    # The first clear try of each mover, if any.
    first = [np.flatnonzero(clear[i : i + _TRIES])[:1] + i for i in range(0, len(clear), _TRIES)]
    kept = np.concatenate(first)
    vehicles, discs_kept = kept[kept < len(sizes)], kept[kept >= len(sizes)]
    radii = radii[discs_kept - len(sizes)]
    return Movers(poses[:, discs_kept, :2], radii, np.ones(len(radii), bool), poses[:, vehicles], sizes[vehicles])


def _cross(curves: Floats, area: Raster, rng: np.random.Generator) -> Floats:
    """Turn and move curves so that each one crosses the inner part of the area at some time."""
    steps, count = curves.shape[:2]
    turn, when = rng.uniform(-np.pi, np.pi, (count,)), rng.integers(0, steps, count)
    cos, sin = np.cos(turn), np.sin(turn)
    x, y = cos * curves[..., 0] - sin * curves[..., 1], sin * curves[..., 0] + cos * curves[..., 1]
    position = np.stack((x, y), axis=-1)
    size_m = np.array(area.values.shape[::-1]) * area.cell_size_m
    place = area.origin_m + size_m * rng.uniform(0.35, 0.65, (count, 2))
    position += place - position[when, np.arange(count)]
    return np.concatenate((position, curves[..., 2:] + turn[:, None]), axis=-1)
