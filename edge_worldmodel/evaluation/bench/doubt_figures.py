"""How unsure the model is where nothing was observed, and of input unlike anything that it was trained on.

python -m edge_worldmodel.evaluation.bench.doubt_figures --data data/v1 --model models/small --clips 16
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.perception.uncertainty import entropy_bits, surprise_bits
from edge_worldmodel.core.tensors import GRID_CELLS, GRID_CHANNELS, HISTORY_FRAMES
from edge_worldmodel.training.data.shards import unpack
from edge_worldmodel.training.data.splits import load_split
from edge_worldmodel.training.validation.methods import Forecaster, open_model

_BLOCK = 8
_STRIPE, _PERIOD, _CELLS_PER_FRAME = 4, 16, 5

Tensor = NDArray[np.float32]
Change = Callable[[Tensor, np.random.Generator], Tensor]
"""Frames (F, 2, 64, 64), the last of them what comes after the history, to others of the same shape."""


def as_it_is(frames: Tensor, rng: np.random.Generator) -> Tensor:
    """Change nothing."""
    return frames


def salted(share: float) -> Change:
    """Take a share of the free cells for occupied, others in each frame."""

    def change(frames: Tensor, rng: np.random.Generator) -> Tensor:
        hit = (rng.random(frames[:, 1].shape) < share) & (frames[:, 1] > 0)
        return np.stack([np.maximum(frames[:, 0], hit), frames[:, 1] * ~hit], axis=1).astype(np.float32)

    return change


def scrambled(frames: Tensor, rng: np.random.Generator) -> Tensor:
    """Cut each frame into blocks of 1.6 m and mix them."""
    side = GRID_CELLS // _BLOCK
    cut = frames.reshape(-1, GRID_CHANNELS, side, _BLOCK, side, _BLOCK).transpose(0, 2, 4, 1, 3, 5)
    mixed = np.stack([blocks[rng.permutation(side**2)] for blocks in cut.reshape(len(frames), side**2, -1)])
    whole = mixed.reshape(-1, side, side, GRID_CHANNELS, _BLOCK, _BLOCK).transpose(0, 3, 1, 4, 2, 5)
    return whole.reshape(frames.shape)


def shuffled(frames: Tensor, rng: np.random.Generator) -> Tensor:
    """Put the past into another order."""
    return frames[[*rng.permutation(len(frames) - 1), -1]]


def striped(frames: Tensor, rng: np.random.Generator) -> Tensor:
    """Put diagonal stripes in their place that move by 1 m a frame."""
    rows, columns = np.indices((GRID_CELLS, GRID_CELLS))
    place = rows + columns + int(rng.integers(_PERIOD))
    stripes = [(place + _CELLS_PER_FRAME * age) % _PERIOD < _STRIPE for age in range(len(frames))]
    return np.stack([np.stack([stripe, ~stripe]) for stripe in stripes]).astype(np.float32)


CHANGES: dict[str, Change] = {
    "as it is": as_it_is,
    "past in another order": shuffled,
    "1 % salt": salted(0.01),
    "5 % salt": salted(0.05),
    "20 % salt": salted(0.2),
    "blocks mixed": scrambled,
    "moving stripes": striped,
}


def bits(probability: Tensor) -> Tensor:
    """Return the entropy of probabilities."""
    p = np.clip(probability, 1e-6, 1.0 - 1e-6)
    return np.asarray(-(p * np.log2(p) + (1.0 - p) * np.log2(1.0 - p)), np.float32)


def doubt(forecaster: Forecaster, frames: Tensor, maneuver: Tensor) -> dict[str, float]:
    """Return how unsure a forecast is.

    Args:
        forecaster: draws futures.
        frames: (6, 2, 64, 64), the history and what is seen 0.4 s later.
        maneuver: (H, 3).

    Returns:
        Entropy [bits per cell] and standard deviation of futures over cells never observed, always seen free, and
        observed at all (NaN where there is none); surprise by the last frame and entropy of the belief about the
        present, as perception reports them.
    """
    past, later = frames[:-1], frames[-1]
    futures = forecaster.imagine(past.reshape(-1, GRID_CELLS, GRID_CELLS), maneuver)
    mean = futures.mean(axis=0)
    seen = past.any(axis=(0, 1))
    found = {}
    for name, cells in (("never", ~seen), ("free", past[:, 1].all(axis=0)), ("seen", seen)):
        some = bool(cells.any())
        found[f"entropy_{name}"] = float(bits(mean)[:, cells].mean()) if some else np.nan
        found[f"spread_{name}"] = float(futures.std(axis=0)[:, cells].mean()) if some else np.nan
    found["surprise"] = surprise_bits(mean[0], np.zeros(3), later, np.zeros(3))
    found["belief"] = entropy_bits(past)
    return found


def _frames(data: Path, count: int) -> list[tuple[Tensor, Tensor]]:
    """Return (6, 2, 64, 64) and the maneuver of clips; the sixth frame is what happens where the fifth observes."""
    clips = load_split(data, "val")
    found = []
    for index in np.linspace(0, len(clips) - 1, count).astype(int):
        past = unpack(clips.history[index]).reshape(HISTORY_FRAMES, GRID_CHANNELS, GRID_CELLS, GRID_CELLS)
        observed, occupied = past[-1].any(axis=0), unpack(clips.future[index])[0]
        later = np.stack([occupied & observed, ~occupied & observed])
        found.append((np.concatenate([past, later[None]]).astype(np.float32), clips.maneuver[index]))
    return found


def _mean(values: list[float]) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else np.nan


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table: each way to change the input, and the means over clips."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of shards")
    parser.add_argument("--model", type=Path, default=Path("models/small"))
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--steps", type=int, help="denoising steps; the model's own if left out")
    options = parser.parse_args(arguments)
    model, manifest = open_model(options.model, threads=1)
    forecaster = Forecaster(model, options.steps or int(manifest["denoise_steps"]))
    clips = _frames(options.data, options.clips)
    for number, (name, change) in enumerate(CHANGES.items()):
        rng = np.random.default_rng(1)
        found = [doubt(forecaster, change(frames, rng), maneuver) for frames, maneuver in clips]
        means = {key: _mean([one[key] for one in found]) for key in found[0]}
        if number == 0:
            print("| input | " + " | ".join(means) + " |\n|---|" + "---|" * len(means))
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in means.values()) + " |", flush=True)


if __name__ == "__main__":
    main()
