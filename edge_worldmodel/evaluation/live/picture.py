"""Draws rollouts.png: one moment of planning in the robot's frame, and the whole run in odom."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch

from edge_worldmodel.core.geometry import inverse, relative, transform_points
from edge_worldmodel.core.types import Floats
from edge_worldmodel.recordings.snapshot import Moment, load

_OCCUPIED, _FREE, _UNKNOWN = "#30343b", "#ffffff", "#dfe2e6"
_IMAGINED, _SCAN, _CHOSEN, _PEOPLE, _GOAL, _STOP = "#ff8c1a", "#0b84c6", "#1747d1", "#8e44ad", "#e0218a", "#d62728"
_RISK = "RdYlGn_r"
_HALF_VIEW_M = 6.4
_IMAGINED_FROM = 0.2
_OCCUPIED_FROM = 0.5
_PERSON_RADIUS_M = 0.3
_ROBOT_RADIUS_M = 0.25


def draw(source: Path, target: Path, summary: Mapping[str, Any]) -> None:
    """Draw the picture.

    Args:
        source: file that ``recordings.snapshot.save`` wrote.
        target: PNG to write.
        summary: of the run, as in summary.json.
    """
    moment, overview = load(source)
    figure = Figure(figsize=(15.0, 8.4), dpi=110)
    # Drawn without pyplot, which chooses a backend for the whole process and may need a screen.
    FigureCanvasAgg(figure)
    # Fixed places: both views square, titles above them and legends below.
    left = figure.add_axes((0.04, 0.145, 0.4075, 0.7275))
    right = figure.add_axes((0.575, 0.145, 0.4075, 0.7275))
    if moment is None:
        left.set_title("There was no plan in this run")
        left.set_axis_off()
    else:
        _draw_moment(figure, left, moment)
    _draw_overview(right, overview, moment, summary)
    figure.savefig(target)


def _draw_moment(figure: Figure, axes: Axes, moment: Moment) -> None:
    to_robot = inverse(moment.ego)
    _draw_grid(axes, moment)
    _draw_imagined(axes, moment)
    points = transform_points(to_robot, moment.scan_points)
    axes.plot(points[:, 0], points[:, 1], ".", color=_SCAN, markersize=3, zorder=4)
    for x_m, y_m in transform_points(to_robot, moment.people):
        axes.add_patch(Circle((x_m, y_m), _PERSON_RADIUS_M, fill=False, color=_PEOPLE, lw=1.6, ls="--", zorder=5))
    _draw_candidates(figure, axes, moment)
    axes.add_patch(Circle((0.0, 0.0), _ROBOT_RADIUS_M, facecolor="#ffd54a", edgecolor="black", lw=1.2, zorder=9))
    axes.plot([0.0, _ROBOT_RADIUS_M], [0.0, 0.0], color="black", lw=1.6, zorder=10)
    if len(moment.goal):
        _draw_goal(axes, relative(moment.ego, moment.goal))
    axes.set(xlim=(-_HALF_VIEW_M, _HALF_VIEW_M), ylim=(-_HALF_VIEW_M, _HALF_VIEW_M), aspect="equal")
    axes.set(xlabel="ahead of the robot [m]", ylabel="left of the robot [m]")
    axes.set_title(_headline(moment), fontsize=12, loc="left")
    axes.legend(
        handles=_legend(moment), loc="upper center", bbox_to_anchor=(0.53, -0.065), ncols=4, fontsize=8.5, frameon=False
    )


def _headline(moment: Moment) -> str:
    name = str(moment.names[moment.selected]) if 0 <= moment.selected < len(moment.names) else "stop: none acceptable"
    imagined = f"{int(np.isfinite(moment.risks).sum())} of {len(moment.risks)} maneuvers imagined"
    lines = [
        f"t = {moment.time_s:.1f} s, {moment.speed_mps:.2f} m/s: {imagined}, "
        f"'{name}' chosen, risk {moment.plan_risk:.2f}"
    ]
    lines += [
        _shortened(text) for text in (moment.reason, f"supervisor {moment.verdict}" if moment.verdict else "") if text
    ]
    return "\n".join(lines)


def _shortened(text: str, most: int = 95) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _draw_grid(axes: Axes, moment: Moment) -> None:
    shown = np.where(np.isnan(moment.grid), 1, np.where(moment.grid > _OCCUPIED_FROM, 2, 0))
    colours = ListedColormap([_FREE, _UNKNOWN, _OCCUPIED])
    extent = _extent(moment, moment.grid, moment.grid_pose)
    axes.imshow(shown, cmap=colours, vmin=0, vmax=2, origin="lower", extent=extent, interpolation="nearest", zorder=0)


def _draw_imagined(axes: Axes, moment: Moment) -> None:
    """Draw cells imagined to be occupied later and not occupied now over the grid; more opaque is more probable."""
    probability = np.nan_to_num(moment.imagined)
    if moment.grid.shape == probability.shape:
        probability = np.where(moment.grid > _OCCUPIED_FROM, 0.0, probability)
    layer = np.zeros((*probability.shape, 4))
    layer[..., :3] = matplotlib.colors.to_rgb(_IMAGINED)
    layer[..., 3] = np.where(probability >= _IMAGINED_FROM, 0.35 + 0.5 * probability, 0.0)
    extent = _extent(moment, moment.imagined, moment.imagined_pose)
    axes.imshow(layer, origin="lower", extent=extent, interpolation="nearest", zorder=1)


def _extent(moment: Moment, grid: np.ndarray[Any, Any], corner_pose: Floats) -> tuple[float, float, float, float]:
    """Return left, right, bottom and top of a grid in the robot's frame; the small difference in heading is ignored."""
    x_m, y_m, _ = relative(moment.ego, corner_pose)
    rows, columns = grid.shape
    return (x_m, x_m + columns * moment.cell_size_m, y_m, y_m + rows * moment.cell_size_m)


def _draw_candidates(figure: Figure, axes: Axes, moment: Moment) -> None:
    to_robot = inverse(moment.ego)
    colours = ScalarMappable(Normalize(0.0, max(0.5, float(np.nanmax(moment.risks, initial=0.0)))), _RISK)
    for index in np.argsort(-moment.risks):
        points = transform_points(to_robot, moment.candidates[index][:, :2])
        colour = colours.to_rgba(moment.risks[index : index + 1])[0]
        axes.plot(points[:, 0], points[:, 1], color="black", lw=4.6, alpha=0.55, zorder=6, solid_capstyle="round")
        axes.plot(points[:, 0], points[:, 1], color=colour, lw=3.2, zorder=7, solid_capstyle="round")
        axes.plot(points[-1, 0], points[-1, 1], "o", color=colour, markeredgecolor="black", markersize=6, zorder=7)
    plan = transform_points(to_robot, moment.plan[:, :2])
    axes.plot(plan[:, 0], plan[:, 1], color="white", lw=8.5, zorder=8, solid_capstyle="round")
    axes.plot(plan[:, 0], plan[:, 1], color=_CHOSEN, lw=5.0, zorder=8, solid_capstyle="round")
    bar = figure.colorbar(colours, cax=figure.add_axes((0.455, 0.2, 0.011, 0.62)))
    bar.set_label("risk: CVaR of the imagined collision probability")


def _draw_goal(axes: Axes, goal: Floats) -> None:
    """Draw the goal, or an arrow at the edge towards it with the distance."""
    inside = np.abs(goal[:2]).max() < _HALF_VIEW_M - 0.3
    if inside:
        axes.plot(goal[0], goal[1], "*", color=_GOAL, markersize=20, markeredgecolor="black", zorder=9)
        return
    direction = goal[:2] / np.abs(goal[:2]).max()
    tip, tail = direction * (_HALF_VIEW_M - 0.15), direction * (_HALF_VIEW_M - 1.1)
    axes.annotate("", xy=tip, xytext=tail, arrowprops={"arrowstyle": "-|>", "color": _GOAL, "lw": 3}, zorder=9)
    side = "right" if direction[0] > 0 else "left"
    label = f"goal {np.hypot(*goal[:2]):.1f} m"
    axes.annotate(
        label,
        tail,
        xytext=(0, 9),
        textcoords="offset points",
        color=_GOAL,
        ha=side,
        weight="bold",
        fontsize=10,
        zorder=9,
    )


def _legend(moment: Moment) -> list[Line2D | Patch]:
    return [
        Line2D([], [], color=_CHOSEN, lw=5, label="chosen plan"),
        Line2D(
            [], [], color="#7cb342", lw=3.2, marker="o", markeredgecolor="black", label="candidate, coloured by risk"
        ),
        Patch(facecolor=_OCCUPIED, label="occupied now"),
        Patch(facecolor=_IMAGINED, alpha=0.8, label=f"imagined to be occupied in {moment.imagined_after_s:.1f} s"),
        Patch(facecolor=_UNKNOWN, edgecolor="#aaaaaa", label="unknown"),
        Patch(facecolor=_FREE, edgecolor="#aaaaaa", label="observed free"),
        Line2D([], [], color=_SCAN, marker=".", ls="", label="scan"),
        Line2D([], [], color="#ffd54a", marker="o", markeredgecolor="black", markersize=9, ls="", label="robot"),
        *([_mark("*", _GOAL, "goal", 14)] if len(moment.goal) else []),
        *([Line2D([], [], color=_PEOPLE, ls="--", label="person (true place)")] if len(moment.people) else []),
    ]


def _mark(marker: str, colour: str, label: str, size: float = 8.0) -> Line2D:
    return Line2D([], [], color=colour, marker=marker, ls="", markersize=size, markeredgecolor="black", label=label)


def _draw_overview(
    axes: Axes, overview: Mapping[str, Floats], moment: Moment | None, summary: Mapping[str, Any]
) -> None:
    walls, people, path, stops = (overview[name] for name in ("walls", "people", "path", "stops"))
    handles: list[Line2D | Patch] = []
    if len(walls):
        axes.plot(walls[:, 0], walls[:, 1], "s", color=_OCCUPIED, markersize=1.6, zorder=1)
        handles.append(
            Line2D([], [], color=_OCCUPIED, marker="s", markersize=4, ls="", label="obstacles (scans of the run)")
        )
    if len(people):
        axes.plot(people[:, 0], people[:, 1], ".", color=_PEOPLE, markersize=2.2, alpha=0.35, zorder=2)
        handles.append(Line2D([], [], color=_PEOPLE, marker=".", ls="", label="people's tracks"))
    if len(path):
        axes.plot(path[:, 1], path[:, 2], color=_CHOSEN, lw=2.5, zorder=3)
        axes.plot(path[0, 1], path[0, 2], "o", color="white", markeredgecolor=_CHOSEN, markersize=9, zorder=4)
        axes.plot(path[-1, 1], path[-1, 2], "o", color="#ffd54a", markeredgecolor="black", markersize=9, zorder=5)
        handles.append(Line2D([], [], color=_CHOSEN, lw=2.5, label="path driven"))
        handles.append(
            Line2D([], [], color="white", marker="o", markeredgecolor=_CHOSEN, ls="", markersize=8, label="start")
        )
        handles.append(
            Line2D([], [], color="#ffd54a", marker="o", markeredgecolor="black", ls="", markersize=8, label="end")
        )
    if len(stops):
        axes.plot(stops[:, 0], stops[:, 1], "X", color=_STOP, markersize=10, markeredgecolor="white", zorder=6)
        handles.append(_mark("X", _STOP, "stopped by the supervisor"))
    if moment is not None:
        axes.plot(*moment.ego[:2], "o", color="none", markeredgecolor=_GOAL, markersize=16, mew=2, zorder=6)
        handles.append(
            Line2D(
                [], [], color="none", marker="o", markeredgecolor=_GOAL, ls="", markersize=10, label="moment shown left"
            )
        )
        if len(moment.goal):
            axes.plot(
                moment.goal[0], moment.goal[1], "*", color=_GOAL, markersize=18, markeredgecolor="black", zorder=6
            )
            handles.append(_mark("*", _GOAL, "goal at that moment", 12))
    _frame(axes, path, moment)
    axes.set(aspect="equal", xlabel="x in odom [m]", ylabel="y in odom [m]")
    axes.grid(color="#e6e6e6", lw=0.6, zorder=0)
    axes.set_title(_summary_lines(summary), fontsize=11, loc="left")
    if handles:
        axes.legend(
            handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.065), ncols=3, fontsize=8.5, frameon=False
        )


def _frame(axes: Axes, path: Floats, moment: Moment | None) -> None:
    """Limit the view to the path with a margin; far scan points stay outside."""
    points = [path[:, 1:3]] if len(path) else []
    if moment is not None:
        points.append(moment.ego[None, :2])
        if len(moment.goal):
            points.append(moment.goal[None, :2])
    if not points:
        return
    shown = np.concatenate(points)
    low, high = shown.min(axis=0), shown.max(axis=0)
    centre, half_m = (low + high) / 2.0, max(_HALF_VIEW_M, 0.6 * float((high - low).max()))
    axes.set(xlim=(centre[0] - half_m, centre[0] + half_m), ylim=(centre[1] - half_m, centre[1] + half_m))


def _summary_lines(summary: Mapping[str, Any]) -> str:
    """Return the summary of the run in two lines."""
    rate, p95 = summary.get("plan_rate_hz"), (summary.get("sensor_to_command_s") or {}).get("p95")
    rates = [f"{summary.get('plans', 0)} plans"]
    rates += [f"{rate:.1f} plans/s"] if rate is not None else []
    rates += [f"scan to command p95 {p95 * 1e3:.0f} ms"] if p95 is not None else []
    reached = summary.get("goal_reached")
    outcome = (
        []
        if reached is None
        else ["goal reached" if reached else "goal NOT reached", f"{summary['contacts']} contacts"]
    )
    stops = len(summary.get("stops", []))
    outcome.append(f"{stops} stop{'' if stops == 1 else 's'}")
    return f"The whole run: {', '.join(outcome)}\n{', '.join(rates)}"
