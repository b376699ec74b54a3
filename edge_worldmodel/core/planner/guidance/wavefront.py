"""The wavefront behind the cost-to-go: distances spread from their sources until they no longer change.

Each pass takes the cheapest of 16 neighbours for the whole grid at once. Straight, diagonal and knight's moves keep the
distances within 3 % of the Euclidean ones in free space. The grid lies in one flat array with an impassable rim of two
cells, so that the neighbours of all cells are the same array, shifted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.types import Tensor

UNREACHED_M = np.float32(1e6)
"""Distance of cells that cannot be reached."""
MOVES = np.array([(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if np.gcd(dy, dx) == 1], dtype=np.intp)
"""4 straight, 4 diagonal and 8 knight's moves as (rows, columns)."""
_CELLS = EGO_GRID.cells
_RIM = 2
_WIDTH = _CELLS + 2 * _RIM
_INNER = slice(_RIM, _RIM + _CELLS)
_MAX_PASSES = 192
"""Cells whose way needs more passes keep too high a distance; a pass spreads over up to two cells."""
_PASSES_PER_CHECK = 4


def spread(sources: Tensor, cell_cost: Tensor, up_to: tuple[int, int] | None = None) -> Tensor:
    """Return the cost (64, 64) of the cheapest way from any source.

    Args:
        sources: (64, 64) distances at the sources, UNREACHED_M elsewhere.
        cell_cost: (64, 64) cost of entering each cell by a straight move.
        up_to: cell (iy, ix). The search stops when its distance and all smaller ones are final, which takes half the
            time; larger ones are then too high. None: all distances become final.
    """
    distance = _with_rim(sources)
    straight, diagonal, knight = (_with_rim(cell_cost * np.float32(np.sqrt(s)))[_wave(0)] for s in (1.0, 2.0, 5.0))
    # For all cells: the cheaper neighbour of above and below, and of left and right.
    column, row = np.full_like(distance, UNREACHED_M), np.full_like(distance, UNREACHED_M)
    up, down, left, right = distance[: -2 * _WIDTH], distance[2 * _WIDTH :], distance[:-2], distance[2:]
    columns, rows = column[_WIDTH:-_WIDTH], row[1:-1]
    at = {shift: column[_wave(shift)] for shift in (-2, -1, 0, 1, 2)}
    level, above, below = (row[_wave(shift * _WIDTH)] for shift in (0, -2, 2))
    wave = distance[_wave(0)]
    before, way, other = np.empty_like(wave), np.empty_like(wave), np.empty_like(wave)
    for done in range(1, _MAX_PASSES + 1):
        check = done % _PASSES_PER_CHECK == 0
        if check:
            np.copyto(before, wave)
        np.minimum(up, down, out=columns)
        np.minimum(left, right, out=rows)
        _improve(wave, np.minimum(at[0], level, out=way), straight)
        _improve(wave, np.minimum(at[-1], at[1], out=way), diagonal)
        np.minimum(above, below, out=other)
        np.minimum(at[-2], at[2], out=way)
        _improve(wave, np.minimum(way, other, out=way), knight)
        if check and _settled(before, wave, np.inf if up_to is None else distance[_flat(*up_to)]):
            break
    return distance.reshape(_WIDTH, _WIDTH)[_INNER, _INNER].copy()


def following(distance: Tensor, sources: Tensor) -> NDArray[np.intp]:
    """Return the flat index (4096,) of the next cell on the way from each cell; the last cell is its own next one."""
    padded = np.full((_WIDTH, _WIDTH), UNREACHED_M)
    padded[_INNER, _INNER] = distance
    best_gain, offset = np.full_like(distance, -np.inf), np.zeros(distance.shape, np.int32)
    gain, better = np.empty_like(distance), np.empty(distance.shape, bool)
    # Divided by the length of the move; otherwise knight's moves would win because they are the longest.
    for dy, dx in MOVES.tolist():
        neighbour = padded[_RIM + dy : _RIM + dy + _CELLS, _RIM + dx : _RIM + dx + _CELLS]
        np.divide(np.subtract(distance, neighbour, out=gain), np.float32(np.hypot(dy, dx)), out=gain)
        np.copyto(offset, dy * _CELLS + dx, where=np.greater(gain, best_gain, out=better))
        np.maximum(best_gain, gain, out=best_gain)
    offset[distance >= sources] = 0
    return np.arange(_CELLS * _CELLS) + offset.reshape(-1)


def _wave(shift: int) -> slice:
    """Return the slice of the flat array from the first to the last cell of the grid, shifted."""
    first = _RIM * _WIDTH + _RIM
    return slice(first + shift, _WIDTH * _WIDTH - first + shift)


def _settled(before: Tensor, now: Tensor, below: float) -> bool:
    """Return whether no distance below ``below`` has changed; changes farther away have no effect on those."""
    return np.array_equal(before, now) if np.isinf(below) else not ((now < below) & (now != before)).any()


def _flat(iy: int, ix: int) -> int:
    return (iy + _RIM) * _WIDTH + ix + _RIM


def _with_rim(values: Tensor) -> Tensor:
    framed = np.full((_WIDTH, _WIDTH), UNREACHED_M)
    framed[_INNER, _INNER] = values
    return framed.reshape(-1)


def _improve(wave: Tensor, way: Tensor, cost: Tensor) -> None:
    np.add(way, cost, out=way)
    np.minimum(wave, way, out=wave)
