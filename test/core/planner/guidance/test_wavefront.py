"""The wavefront equals a plain implementation."""

from __future__ import annotations

import heapq

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.planner.guidance.wavefront import MOVES, UNREACHED_M, following, spread

CELLS = 64


def _dijkstra(sources: np.ndarray, cell_cost: np.ndarray) -> np.ndarray:
    """Every price in float32, as the wavefront has it."""
    distance = np.full((CELLS, CELLS), UNREACHED_M)
    open_cells = [(sources[iy, ix], iy, ix) for iy, ix in np.argwhere(sources < UNREACHED_M).tolist()]
    heapq.heapify(open_cells)
    prices = [cell_cost * np.float32(np.sqrt(np.float32(dy * dy + dx * dx))) for dy, dx in MOVES.tolist()]
    while open_cells:
        value, iy, ix = heapq.heappop(open_cells)
        if value >= distance[iy, ix]:
            continue
        distance[iy, ix] = value
        for (dy, dx), price in zip(MOVES.tolist(), prices, strict=True):
            y, x = iy + dy, ix + dx
            if 0 <= y < CELLS and 0 <= x < CELLS and value + price[y, x] < distance[y, x]:
                heapq.heappush(open_cells, (value + price[y, x], y, x))
    return distance


def _map(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    cost = np.where(rng.random((CELLS, CELLS)) < rng.uniform(0.0, 0.4), 50.0, rng.uniform(1.0, 3.0, (CELLS, CELLS)))
    sources = np.full((CELLS, CELLS), UNREACHED_M)
    for iy, ix in rng.integers(0, CELLS, (rng.integers(1, 5), 2)):
        sources[iy, ix] = rng.uniform(0.0, 20.0)
    return sources, (0.2 * cost).astype(np.float32)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_distances_are_those_of_dijkstra(seed: int) -> None:
    sources, cost = _map(seed)
    np.testing.assert_array_equal(spread(sources, cost), _dijkstra(sources, cost))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_each_cell_hands_on_to_the_steepest_neighbour(seed: int) -> None:
    sources, cost = _map(seed)
    distance = spread(sources, cost)
    found = following(distance, sources)
    for cell in np.random.default_rng(seed).integers(0, CELLS * CELLS, 60).tolist():
        iy, ix = divmod(cell, CELLS)
        inside = [(iy + dy, ix + dx) for dy, dx in MOVES.tolist() if 0 <= iy + dy < CELLS and 0 <= ix + dx < CELLS]
        gains = {(y - iy) * CELLS + x - ix: (distance[iy, ix] - distance[y, x]) / np.hypot(y - iy, x - ix)
                 for y, x in inside}  # fmt: skip
        if distance[iy, ix] >= sources[iy, ix]:
            assert found[cell] == cell
        else:
            assert gains[int(found[cell]) - cell] >= max(gains.values()) - 1e-4


def test_nothing_leads_to_nowhere() -> None:
    nowhere = np.full((CELLS, CELLS), UNREACHED_M)
    np.testing.assert_array_equal(spread(nowhere, np.ones_like(nowhere)), nowhere)
