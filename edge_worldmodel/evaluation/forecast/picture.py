"""A picture of forecasts: what was observed, what happened, and what was imagined."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure

from edge_worldmodel.core.tensors import GRID_CHANNELS, HORIZON_STEP_S
from edge_worldmodel.core.types import Mask, Tensor

if TYPE_CHECKING:
    from edge_worldmodel.training.validation.examples import Example
    from edge_worldmodel.training.validation.methods import Method

_SHOWN_STEPS = (1, 3, 5, 7)
_SHOWN_FUTURES = 3
_OBSERVED = ListedColormap(["#ffffff", "#aaaaaa", "#000000"])
_PROBABILITY = LinearSegmentedColormap.from_list("occupancy", ["#ffffff", "#fa9628", "#000000"], N=21)
_MOVERS, _ROBOT = "#e63c3c", "#1e5adc"
_TILE_INCH = 1.35


def draw_strips(path: Path, clips: list[Example], method: Method) -> None:
    """Draw past, truth, mean forecast and single futures of each clip, one row each.

    Past: black occupied, white free, grey unknown. Others: from white over orange to black with probability.
    Red outline: cells that movers really occupy. Blue cross: the robot, which looks to the right.

    Args:
        path: PNG to write.
        clips: to show, at least one.
        method: forecasts futures of a clip.
    """
    rows, columns = 2 + _SHOWN_FUTURES, 2 + len(_SHOWN_STEPS)
    size = (_TILE_INCH * columns + 0.9, (_TILE_INCH * rows + 0.25) * len(clips))
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    for block, clip in zip(figure.subfigures(len(clips), 1, squeeze=False)[:, 0], clips, strict=True):
        _draw_clip(block.subplots(rows, columns), clip, method(clip))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _draw_clip(panels: np.ndarray, clip: Example, futures: Tensor) -> None:
    """Fill one block of panels from futures (N, H, 64, 64)."""
    grids = {"truth": clip.truth.occupied.astype(np.float32), f"mean of {len(futures)}": futures.mean(axis=0)}
    grids |= {f"future {index + 1}": futures[index] for index in range(min(_SHOWN_FUTURES, len(futures)))}
    past = {"-0.8 s": clip.history[:GRID_CHANNELS], "now": clip.history[-GRID_CHANNELS:]}
    for panel in panels.flat:
        panel.set_axis_off()
    for panel, (title, frame) in zip(panels[0], past.items(), strict=False):
        occupied, free = frame
        _draw_grid(panel, np.where(occupied > 0, 2, np.where(free > 0, 0, 1)), _OBSERVED, 2)
        panel.set_title(title, fontsize=9)
    for number, (line, (label, steps)) in enumerate(zip(panels, grids.items(), strict=False)):
        for panel, step in zip(line[2:], _SHOWN_STEPS, strict=True):
            _draw_grid(panel, steps[step], _PROBABILITY, 1)
            if number == 0:
                panel.set_title(f"+{HORIZON_STEP_S * (step + 1):.1f} s", fontsize=9)
            else:
                _outline(panel, clip.truth.movers[step])
        line[2].text(-0.08, 0.5, label, transform=line[2].transAxes, rotation=90, ha="center", va="center", fontsize=9)


def _draw_grid(panel: Axes, cells: np.ndarray, colours: matplotlib.colors.Colormap, top: int) -> None:
    """Draw cells (64, 64), y upwards, with a frame around them."""
    side = len(cells)
    extent = (0, side, 0, side)
    panel.imshow(cells, cmap=colours, vmin=0, vmax=top, origin="lower", extent=extent, interpolation="nearest")
    panel.plot(side / 2, side / 2, "+", color=_ROBOT, markersize=7, markeredgewidth=1.6)
    panel.set_axis_on()
    panel.set(xticks=[], yticks=[], xlim=(0, side), ylim=(0, side))


def _outline(panel: Axes, cells: Mask) -> None:
    """Outline cells along their edges."""
    if cells.any():
        fine = np.kron(cells, np.ones((8, 8)))
        side = len(cells)
        panel.contour(fine, levels=[0.5], colors=_MOVERS, linewidths=0.8, extent=(0, side, 0, side))
