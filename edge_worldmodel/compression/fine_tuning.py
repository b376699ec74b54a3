"""A short last stage of training for networks that were changed: the student's own losses, on the same clips."""

from __future__ import annotations

from pathlib import Path

import torch

from edge_worldmodel.training.checkpoints import TrainingState
from edge_worldmodel.training.networks import WorldNetworks
from edge_worldmodel.training.splits import Clips, load_split
from edge_worldmodel.training.train import Trainer
from edge_worldmodel.training.train_config import STUDENT, TrainConfig


def load_clips(data: Path) -> tuple[Clips, Clips]:
    """Read training and validation clips of a folder of shards."""
    return load_split(data, "train"), load_split(data, "val")


def fine_tune(
    networks: WorldNetworks, clips: tuple[Clips, Clips], out: Path, config: TrainConfig, facts: dict[str, object]
) -> WorldNetworks:
    """Train the student's stage for ``config.steps`` steps and return the averaged, recalibrated networks.

    Args:
        networks: to go on from, with a trained posterior; changed.
        clips: training and validation clips.
        out: folder for checkpoint and log.
        config: of the training; its steps are all steps of this stage.
        facts: kept in the checkpoint, for the manifest.
    """
    average = WorldNetworks(networks.architecture)
    average.load_state_dict({name: value for name, value in networks.state_dict().items() if name in average.state_dict()})
    state = TrainingState(networks, average, stage=STUDENT, facts=dict(facts))
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(config.threads)
    return Trainer(config, state, clips, out).run(lambda line: print(line, flush=True)).average


def short(steps: int, threads: int, seed: int, learning_rate: float = 1e-3, batch_size: int = 32) -> TrainConfig:
    """Return the settings of a fine-tuning of ``steps`` steps."""
    share = TrainConfig().student_share
    # by the trainer's own rule the last stage gets its share of all steps
    return TrainConfig(
        steps=round(steps / share), threads=threads, seed=seed, learning_rate=learning_rate, batch_size=batch_size,
        average_decay=0.99,
    )  # fmt: skip
