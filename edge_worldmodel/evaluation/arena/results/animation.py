"""A failed episode as a small animated GIF, as a data URL."""

from __future__ import annotations

import base64
import io
import math

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.arena.results.failures import Failure

_SIZE_PX = 300
_NARROWEST = 0.65
"""Least height (or width) of a picture, as a share of the other side."""
_AROUND_M = 2.0
_LEAST_M = 8.0
_STRIDE = 3
"""Looks per picture: every third, shown 0.1 s long, is three times as fast as real time."""
_MOST_FRAMES = 120
_WHITE, _GREY, _BLUE, _ORANGE, _GREEN, _RED = (
    (255, 255, 255), (130, 130, 130), (74, 120, 181), (230, 126, 34), (58, 154, 91), (209, 73, 91),
)  # fmt: skip


class _View:
    """From metres to pixels, y up."""

    def __init__(self, points: Floats) -> None:
        low, high = points.min(axis=0) - _AROUND_M, points.max(axis=0) + _AROUND_M
        longest_m = max(float((high - low).max()), _LEAST_M)
        sides_m = np.maximum(high - low, _NARROWEST * longest_m)
        self._centre = (low + high) / 2
        self.scale = _SIZE_PX / longest_m
        self.size_px = np.minimum(np.round(sides_m * self.scale).astype(int), _SIZE_PX)

    def __call__(self, points: Floats) -> NDArray[np.int32]:
        offset = (np.asarray(points) - self._centre) * self.scale * (1, -1) + self.size_px / 2
        return np.asarray(np.round(np.clip(offset, -1e4, 1e4)), np.int32)


def animate(failure: Failure) -> str:
    """Return the animation: robot orange with its way, people blue, goal green, the last picture longest."""
    trace = failure.trace
    view = _View(np.concatenate([trace.poses[:, :2], failure.goal[None, :2]]))
    stride = max(_STRIDE, math.ceil(len(trace.poses) / _MOST_FRAMES))
    moments = [*range(0, len(trace.poses) - 1, stride), len(trace.poses) - 1]
    backdrop = _backdrop(failure, view)
    pictures = [Image.fromarray(_draw(backdrop.copy(), failure, view, moment)) for moment in moments]
    pictures = [picture.quantize(32, dither=Image.Dither.NONE) for picture in pictures]
    buffer = io.BytesIO()
    shown_ms = [100] * (len(pictures) - 1) + [1500]
    pictures[0].save(
        buffer, "GIF", save_all=True, append_images=pictures[1:], duration=shown_ms, loop=0, optimize=True
    )  # fmt: skip
    return "data:image/gif;base64," + base64.b64encode(buffer.getvalue()).decode()


def _backdrop(failure: Failure, view: _View) -> NDArray[np.uint8]:
    width, height = view.size_px
    image = np.full((height, width, 3), _WHITE, np.uint8)
    for outline in failure.outlines:
        cv2.fillPoly(image, [view(outline[~np.isnan(outline[:, 0])])], _GREY, cv2.LINE_AA)
    cv2.drawMarker(image, _pixel(view, failure.goal[:2]), _GREEN, cv2.MARKER_STAR, 12, 2)
    return image


def _draw(image: NDArray[np.uint8], failure: Failure, view: _View, moment: int) -> NDArray[np.uint8]:
    trace = failure.trace
    people = trace.people[moment].reshape(-1, 2)
    for place, radius_m in zip(people, failure.radii_m, strict=True):
        if np.isfinite(place).all():
            cv2.circle(image, _pixel(view, place), max(round(radius_m * view.scale), 1), _BLUE, -1, cv2.LINE_AA)
    cv2.polylines(image, [view(trace.poses[: moment + 1, :2])], False, _ORANGE, 1, cv2.LINE_AA)
    x, y, yaw = trace.poses[moment]
    c, s = math.cos(yaw), math.sin(yaw)
    corners = failure.footprint @ np.array([[c, s], [-s, c]]) + (x, y)
    last = moment == len(trace.poses) - 1
    cv2.fillPoly(image, [view(corners)], _RED if last else _ORANGE, cv2.LINE_AA)
    nose = np.array([x, y]) + 0.3 * np.array([c, s])
    cv2.line(image, _pixel(view, np.array([x, y])), _pixel(view, nose), (0, 0, 0), 1, cv2.LINE_AA)
    seconds = (trace.stamps_ns[moment] - trace.stamps_ns[0]) * 1e-9
    cv2.rectangle(image, (0, 0), (56, 21), _WHITE, -1)
    cv2.putText(image, f"{seconds:.1f} s", (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (40, 40, 40), 1, cv2.LINE_AA)
    return image


def _pixel(view: _View, point: Floats) -> tuple[int, int]:
    x, y = view(point).tolist()
    return x, y
