"""Outlines given by people: read from text, and checked before they are used."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np

from edge_worldmodel.core.geometry import signed_distance
from edge_worldmodel.core.types import Floats, Mask, Points

_LARGEST_ROBOT_M = 5.0
_SMALLEST_AREA_M2 = 1e-4


def read_polygon(value: Any) -> Any:
    """Return the numbers x1, y1, x2, y2, ... of a polygon in Nav2's text form, "[[x1, y1], [x2, y2], ...]".

    Any other value is returned unchanged, also a text that cannot be read: checking types is the configuration's task.
    """
    if not isinstance(value, str):
        return value
    try:
        corners = ast.literal_eval(value.strip() or "[]")
        return tuple(float(number) for x, y in corners for number in (x, y))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return value


def footprint_problem(numbers: tuple[float, ...]) -> str:
    """Return what is wrong with the outline of a robot in its base frame, and what to do; empty if nothing is."""
    if problem := polygon_problem(numbers):
        return problem
    outline = corners_of(numbers)
    width_m = float(np.abs(outline).max())
    if width_m > _LARGEST_ROBOT_M:
        return f"a corner is {width_m:g} m from the base, more than {_LARGEST_ROBOT_M:g} m: give metres"
    if signed_distance(outline, np.zeros(2)) > 0.0:
        return "the base frame's origin lies outside the outline: give the corners in the base frame"
    return ""


def polygon_problem(numbers: tuple[float, ...]) -> str:
    """Return what is wrong with a polygon x1, y1, x2, y2, ..., and what to do; empty if nothing is."""
    if not all(isinstance(number, (int, float)) for number in numbers) or len(numbers) < 6 or len(numbers) % 2:
        return "give at least three points as x, y pairs"
    corners = corners_of(numbers)
    if _crosses_itself(corners):
        return "the outline crosses or touches itself: give the corners in their order along the outline"
    x, y = corners.T
    if abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) < 2.0 * _SMALLEST_AREA_M2:
        return "the outline encloses no area: give the corners of a polygon in metres"
    return ""


def corners_of(numbers: tuple[float, ...]) -> Points:
    """Return the corners (n, 2) of a polygon x1, y1, x2, y2, ...; a first corner repeated at the end is left out."""
    corners = np.array(numbers, dtype=np.float64).reshape(-1, 2)
    return corners[:-1] if len(corners) > 3 and np.array_equal(corners[0], corners[-1]) else corners


def self_filters_problem(texts: tuple[str, ...], sensors: int) -> str:
    """Return what is wrong with the outlines of the robot's body given for its sensors; empty if nothing is."""
    if len(texts) not in (0, sensors):
        return f"give one outline for each of the {sensors} topics, '' for none"
    problems = (polygon_problem(numbers) for text in texts if (numbers := read_polygon(text)))
    return next(filter(None, problems), "")


def self_filters(texts: tuple[str, ...], topics: tuple[str, ...]) -> dict[str, Points]:
    """Return the outline (n, 2) of the robot's body for each sensor, by topic; empty for none."""
    given = texts or ("",) * len(topics)
    return {topic: corners_of(read_polygon(text)) for topic, text in zip(topics, given, strict=True)}


def is_within(outline: Points, points: Points) -> Mask:
    """Return whether each of many points (n, 2) lies in an outline (m, 2), of which most are far away."""
    within = np.zeros(len(points), dtype=np.bool_)
    if len(outline):
        near = np.flatnonzero(((points >= outline.min(axis=0)) & (points <= outline.max(axis=0))).all(axis=1))
        within[near] = signed_distance(outline, points[near]) <= 0.0
    return within


def is_inside(inner: Points, outer: Points) -> Mask:
    """Return whether each of the polygons (..., n, 2) lies completely in the polygon (m, 2); all of them are simple."""
    corners_inside = (signed_distance(outer, inner) <= 0.0).all(axis=-1)
    inside: Mask = corners_inside & ~_edges_meet(inner, outer, crossing=True).any(axis=(-2, -1))
    return inside


def _crosses_itself(corners: Points) -> bool:
    """Return whether two edges that are not neighbours have a point in common, or neighbours fold onto each other."""
    count = len(corners)
    apart = (np.arange(count)[:, None] - np.arange(count)) % count
    strangers = (apart > 1) & (apart < count - 1)
    edges = np.roll(corners, -1, axis=0) - corners
    following = np.roll(edges, -1, axis=0)
    turn = edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0]
    folded = (turn == 0.0) & ((edges * following).sum(axis=1) <= 0.0)
    return bool(folded.any() or (_edges_meet(corners, corners) & strangers).any())


def _edges_meet(a: Points, b: Points, *, crossing: bool = False) -> Mask:
    """Return whether edges of polygons have a point in common, or with ``crossing`` pass through each other.

    Args:
        a: (..., n, 2).
        b: (m, 2).
        crossing: whether edges that only touch are left out.

    Returns:
        (..., n, m).
    """
    a, a_end = a[..., None, :], np.roll(a, -1, axis=-2)[..., None, :]
    b_end = np.roll(b, -1, axis=0)
    sides_of_b, sides_of_a = _side(a, a_end, b) * _side(a, a_end, b_end), _side(b, b_end, a) * _side(b, b_end, a_end)
    if crossing:
        return (sides_of_b < 0.0) & (sides_of_a < 0.0)
    # Edges on one line meet only if their bounding boxes do.
    low_m, high_m = (
        np.maximum(np.minimum(a, a_end), np.minimum(b, b_end)),
        np.minimum(np.maximum(a, a_end), np.maximum(b, b_end)),
    )
    meet: Mask = (sides_of_b <= 0.0) & (sides_of_a <= 0.0) & (low_m <= high_m).all(axis=-1)
    return meet


def _side(start: Points, end: Points, points: Points) -> Floats:
    """Return on which side of the line from start to end the points lie: 1 left, -1 right, 0 on it."""
    along, offset = end - start, points - start
    side: Floats = np.sign(along[..., 0] * offset[..., 1] - along[..., 1] * offset[..., 0])
    return side
