"""A failed episode as a small animated GIF, as a data URL."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from PIL import Image

from edge_worldmodel.core.geometry import transform_points
from edge_worldmodel.evaluation.arena.results.failures import Failure

_SIZE_IN = 3.0
_DPI = 100
_BORDER_M = 2.0
_STRIDE = 3
"""Control periods per picture: every third, shown for 0.1 s, is three times as fast as real time."""
_MOST_PICTURES = 100
_SHOWN_MS, _LAST_SHOWN_MS = 100, 1500


def animate(failure: Failure) -> str:
    """Return the animation: robot orange with its path, people blue, goal green, walls grey; red at the end."""
    trace = failure.trace
    figure, axis = _backdrop(failure)
    canvas = FigureCanvasAgg(figure)
    people = EllipseCollection(
        2 * failure.radii_m, 2 * failure.radii_m, 0.0, units="xy", offsets=np.zeros((0, 2)),
        offset_transform=axis.transData, color="#4a78b5",
    )  # fmt: skip
    axis.add_collection(people, autolim=False)
    (path,) = axis.plot([], [], color="#e67e22", linewidth=1.0)
    robot = Polygon(failure.footprint, color="#e67e22")
    axis.add_patch(robot)
    (heading,) = axis.plot([], [], color="black", linewidth=1.0)
    clock = axis.text(0.02, 0.97, "", transform=axis.transAxes, va="top", fontsize=8, bbox={"color": "white", "pad": 1})
    pictures = []
    stride, last = max(_STRIDE, math.ceil(len(trace.poses) / _MOST_PICTURES)), len(trace.poses) - 1
    for moment in [*range(0, last, stride), last]:
        pose = trace.poses[moment]
        people.set_offsets(trace.people[moment].reshape(-1, 2))  # absent people are NaN and not drawn
        path.set_data(*trace.poses[: moment + 1, :2].T)
        robot.set_xy(transform_points(pose, failure.footprint))
        robot.set_color("#d1495b" if moment == last else "#e67e22")
        heading.set_data(*transform_points(pose, np.array([[0.0, 0.0], [0.3, 0.0]])).T)
        clock.set_text(f"{(trace.stamps_ns[moment] - trace.stamps_ns[0]) * 1e-9:.1f} s")
        canvas.draw()
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        # Maximum coverage keeps rare colours, such as those of the robot.
        pictures.append(picture.quantize(64, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE))
    return _gif(pictures)


def _backdrop(failure: Failure) -> tuple[Figure, Axes]:
    """Return a picture of the walls and the goal, as large as the path needs."""
    points = np.concatenate([failure.trace.poses[:, :2], failure.goal[None, :2]])
    low, high = points.min(axis=0) - _BORDER_M, points.max(axis=0) + _BORDER_M
    half_m = max((high - low).max(), 8.0) / 2
    centre = (low + high) / 2
    figure = Figure(figsize=(_SIZE_IN, _SIZE_IN), dpi=_DPI)
    axis = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axis.set(xlim=centre[0] + (-half_m, half_m), ylim=centre[1] + (-half_m, half_m), aspect="equal")
    axis.axis("off")
    walls = [outline[~np.isnan(outline[:, 0])] for outline in failure.outlines]
    axis.add_collection(PolyCollection(walls, color="#828282"), autolim=False)
    axis.plot(*failure.goal[:2], "*", color="#3a9a5b", markersize=10)
    return figure, axis


def _gif(pictures: list[Image.Image]) -> str:
    buffer = io.BytesIO()
    shown_ms = [_SHOWN_MS] * (len(pictures) - 1) + [_LAST_SHOWN_MS]
    pictures[0].save(
        buffer, "GIF", save_all=True, append_images=pictures[1:], duration=shown_ms, loop=0, optimize=True
    )  # fmt: skip
    return "data:image/gif;base64," + base64.b64encode(buffer.getvalue()).decode()
