"""Fine-tuning of changed networks: a short student stage, without a teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.training.checkpoints import TrainingState, load
from edge_worldmodel.training.data.splits import ClipSet, load_split
from edge_worldmodel.training.networks import WorldNetworks
from edge_worldmodel.training.stages import Student
from edge_worldmodel.training.train import CHECKPOINT_NAME, Trainer
from edge_worldmodel.training.train_config import TrainConfig


def load_clips(data: Path) -> tuple[ClipSet, ClipSet]:
    """Return training and validation clips of a folder of shards."""
    return load_split(data, "train"), load_split(data, "val")


def fine_tune(
    networks: WorldNetworks, clips: tuple[ClipSet, ClipSet], out: Path, config: TrainConfig, facts: dict[str, Any]
) -> WorldNetworks:
    """Train the student's stage and return the averaged, recalibrated networks.

    Args:
        networks: networks to begin with; changed in place.
        clips: training and validation clips.
        out: folder for checkpoint and log; a run that was begun there is continued.
        config: from fine_tuning_config().
        facts: facts for the checkpoint and later for the manifest.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(config.threads)
    state = _begin_or_resume(networks, out / CHECKPOINT_NAME, facts)
    tuned = Trainer(config, state, clips, out).run(lambda line: print(line, flush=True)).average
    return tuned.eval()


def _begin_or_resume(networks: WorldNetworks, checkpoint: Path, facts: dict[str, Any]) -> TrainingState:
    """Return the state to train from; a run that was stopped is continued in ``networks`` themselves."""
    average = WorldNetworks(networks.architecture)
    if not checkpoint.exists():
        average.load_state_dict(networks.state_dict())
        return TrainingState(networks, average, stage=Student.number, facts=dict(facts))
    state = load(checkpoint)
    if state.networks.architecture != networks.architecture:
        raise ConfigError(f"{checkpoint} has {state.networks.architecture}: remove it, or choose another --work")
    networks.load_state_dict(state.networks.state_dict())
    state.networks = networks
    return state


def fine_tuning_config(
    steps: int, threads: int, seed: int, learning_rate: float = 1e-3, batch_size: int = 32
) -> TrainConfig:
    """Return the settings for fine-tuning in ``steps`` steps."""
    # The student's stage gets only a share of all steps.
    total = round(steps / TrainConfig().student_share)
    return TrainConfig(
        steps=total,
        threads=threads,
        seed=seed,
        learning_rate=learning_rate,
        batch_size=batch_size,
        average_decay=0.99,
        alone=True,
    )
