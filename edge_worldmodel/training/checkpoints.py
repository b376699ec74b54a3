"""Checkpoints: everything that a training run needs to continue after a kill, with the same result."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from edge_worldmodel.core.errors import ModelError
from edge_worldmodel.training.networks import Architecture, WorldNetworks

FORMAT = 2


@dataclass
class TrainingState:
    """Networks, the running average of their weights, and the progress of the run.

    Attributes:
        stage: index of the current stage in stages.STAGES; their number when the run is finished.
        step: optimiser steps in this stage.
        elapsed_s: time spent in each stage.
        best: best validation score in this stage.
        without_gain: validations since then.
        facts: facts about the training, for the manifest.
    """

    networks: WorldNetworks
    average: WorldNetworks
    stage: int = 0
    step: int = 0
    elapsed_s: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    optimizer_state: dict[str, Any] | None = None
    best: float | None = None
    without_gain: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


def new_state(architecture: Architecture, seed: int) -> TrainingState:
    """Return untrained networks, the same for the same seed."""
    torch.manual_seed(seed)
    networks, average = WorldNetworks(architecture), WorldNetworks(architecture)
    average.load_state_dict(networks.state_dict())
    return TrainingState(networks, average)


def save(state: TrainingState, path: Path) -> None:
    """Write the state; a kill at any moment leaves either the old or the new file."""
    partial = path.with_suffix(".partial")
    content = {
        "format": FORMAT,
        "architecture": state.networks.architecture.to_dict(),
        "networks": state.networks.state_dict(),
        "average": state.average.state_dict(),
        "stage": state.stage,
        "step": state.step,
        "elapsed_s": state.elapsed_s,
        "best": state.best,
        "without_gain": state.without_gain,
        "optimizer": state.optimizer_state,
        "facts": state.facts,
    }
    with partial.open("wb") as stream:
        torch.save(content, stream)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def load(path: Path) -> TrainingState:
    """Read a checkpoint that holds weights and plain values only.

    Raises:
        ModelError: the file does not exist, or is not a checkpoint of this program.
    """
    if not path.is_file():
        raise ModelError(f"{path} does not exist: train first with 'edge-worldmodel train --data DIR --out DIR'")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds of error for a damaged file
        raise ModelError(f"{path} is not a checkpoint: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ModelError(f"{path} is not a checkpoint of format {FORMAT}: train again")
    architecture = Architecture(**content["architecture"])
    state = TrainingState(WorldNetworks(architecture), WorldNetworks(architecture))
    state.networks.load_state_dict(content["networks"])
    state.average.load_state_dict(content["average"])
    state.stage, state.step = content["stage"], content["step"]
    state.best, state.without_gain = content.get("best"), content.get("without_gain", 0)
    state.elapsed_s, state.optimizer_state, state.facts = content["elapsed_s"], content["optimizer"], content["facts"]
    return state
