"""Strips of past, truth and imagined futures, drawn with OpenCV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.tensors import GRID_CELLS, GRID_CHANNELS, HORIZON_STEP_S

if TYPE_CHECKING:
    from edge_worldmodel.training.validation.examples import Example
    from edge_worldmodel.training.validation.methods import Method

_SHOWN_STEPS = (1, 3, 5, 7)
_SCALE = 3
_GAP = 6
_TITLE = 20
_MARGIN = 92
_GREY = (90, 90, 90)

Image = NDArray[np.uint8]


def draw_strips(path: Path, chosen: list[Example], method: Method, futures: int = 3) -> None:
    """Draw what was seen, what happened, the mean forecast and some single futures of each clip.

    Colours: black occupied, white free, grey not seen; in forecasts from white over orange to black with
    probability; red outline: cells that something moving really occupies; blue cross: the robot.
    """
    blocks = [_clip_block(example, method, futures) for example in chosen]
    gap = np.full((4 * _GAP, blocks[0].shape[1], 3), 255, np.uint8)
    rows = [part for block in blocks for part in (block, gap)][:-1]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.concatenate(rows), [cv2.IMWRITE_PNG_COMPRESSION, 9])


def _clip_block(example: Example, method: Method, futures: int) -> Image:
    imagined = method(example)
    rows = [("truth", example.truth.occupied.astype(np.float32)), ("mean of 16", imagined.mean(axis=0))]
    rows += [(f"future {index + 1}", imagined[index]) for index in range(futures)]
    past = _observed(example.history[-GRID_CHANNELS:])
    older = _observed(example.history[:GRID_CHANNELS])
    lines = []
    for number, (label, grids) in enumerate(rows):
        left = (older, past) if number == 0 else (np.full_like(past, 255),) * 2
        titles = ["-0.8 s", "now"] + [f"+{HORIZON_STEP_S * (step + 1):.1f} s" for step in _SHOWN_STEPS]
        tiles = [*left, *(_forecast(grids[step], example, step, label) for step in _SHOWN_STEPS)]
        lines.append(_line(label, tiles, titles if number == 0 else None))
    return np.concatenate(lines)


def _line(label: str, tiles: list[Image], titles: list[str] | None) -> Image:
    head = _TITLE if titles else 0
    side = tiles[0].shape[0]
    width = _MARGIN + len(tiles) * (side + _GAP)
    line = np.full((head + side + _GAP, width, 3), 255, np.uint8)
    cv2.putText(line, label, (2, head + side // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    for number, tile in enumerate(tiles):
        x = _MARGIN + number * (side + _GAP)
        line[head : head + side, x : x + side] = tile
        if titles:
            cv2.putText(line, titles[number], (x + 2, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return line


def _observed(frame: NDArray[np.float32]) -> Image:
    """Colour an observed frame (2, 64, 64)."""
    image = np.full((GRID_CELLS, GRID_CELLS, 3), 170, np.uint8)
    image[frame[1] > 0] = 255
    image[frame[0] > 0] = 0
    return _finish(image)


def _forecast(probability: NDArray[np.float32], example: Example, step: int, label: str) -> Image:
    """Colour a probability (64, 64), with the true movers' outline where it is a forecast."""
    # Twenty shades are as good to the eye as all of them, and the file is half as large.
    p = np.round(20.0 * np.clip(probability, 0.0, 1.0)[..., None].astype(np.float64)) / 20.0
    orange, black, white = (np.array(c, float) for c in ((40, 150, 250), (0, 0, 0), (255, 255, 255)))
    low = white + (orange - white) * np.minimum(p * 2, 1)
    image = np.where(p < 0.5, low, orange + (black - orange) * (2 * p - 1)).astype(np.uint8)
    tile = _finish(image)
    if label != "truth":
        movers = example.truth.movers[step][::-1].astype(np.uint8)
        big = movers.repeat(_SCALE, axis=0).repeat(_SCALE, axis=1)
        contours, _ = cv2.findContours(big, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(tile, contours, -1, (60, 60, 230), 1)
    return tile


def _finish(image: Image) -> Image:
    """Scale up with y pointing up and the robot in the middle looking right."""
    big = np.ascontiguousarray(image[::-1].repeat(_SCALE, axis=0).repeat(_SCALE, axis=1))
    centre = big.shape[0] // 2
    cv2.drawMarker(big, (centre, centre), (220, 90, 30), cv2.MARKER_CROSS, 9, 2)
    cv2.rectangle(big, (0, 0), (big.shape[1] - 1, big.shape[0] - 1), _GREY, 1)
    return np.asarray(big)
