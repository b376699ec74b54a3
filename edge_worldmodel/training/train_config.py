"""Settings of a training run."""

from __future__ import annotations

from dataclasses import dataclass

from edge_worldmodel.core.config import Config, param

PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class TrainConfig(Config):
    """Settings of a training run; its length is given in minutes or, for runs that repeat exactly, in steps."""

    minutes: float = param(90.0, "wall time of all stages; ignored when steps is set", minimum=0.01, maximum=1e5)
    steps: int = param(0, "optimiser steps of all stages together; 0 trains by time", minimum=0, maximum=10**8)
    first_share: float = param(0.15, "share of the run for the auto-encoder", minimum=0.01, maximum=0.9)
    student_share: float = param(0.5, "share of the run for the student", minimum=0.01, maximum=0.9)
    batch_size: int = param(32, "clips in a step", minimum=1, maximum=4096)
    learning_rate: float = param(2e-3, "peak learning rate", minimum=1e-6, maximum=1.0)
    average_decay: float = param(0.998, "decay of the running average of the weights", minimum=0.0, maximum=0.99999)
    save_every_s: float = param(120.0, "time between checkpoints", minimum=0.0, maximum=1e5)
    threads: int = param(2, "compute threads", minimum=1, maximum=256)
    seed: int = param(0, "seed of weights, batches and noise", minimum=0, maximum=2**31 - 1)
    device: str = param("cpu", "where to train", choices=("cpu", "cuda"))
    precision: str = param(
        "fp32", "precision of the forward pass; bf16 is faster on GPUs and with AMX", choices=PRECISIONS
    )
    patience: int = param(
        0, "end a stage after so many validations without improvement; 0: never", minimum=0, maximum=1000
    )
    deterministic: bool = param(False, "train one forecast without noise instead of futures, to compare with")
    taught: bool = param(False, "train only the student, with the teacher of another run")
    alone: bool = param(False, "train the student without a teacher, by its scores alone, as after pruning")
