"""How long and how to train."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.training.checkpoints import TrainingState

STAGE_NAMES = ("autoencoder", "flow", "student")
STUDENT = STAGE_NAMES.index("student")
PRECISIONS = ("fp32", "bf16")
_WARMUP_STEPS = 200
_STAGE_RATES = (1.0, 1.0, 0.5)
"""The student begins with the teacher's weights."""


@dataclass(frozen=True)
class TrainConfig(Config):
    """How long and how to train; the length is given in minutes or, for exact repeats, in steps."""

    minutes: float = param(90.0, "wall time of all stages; ignored when steps is set", minimum=0.01, maximum=1e5)
    steps: int = param(0, "optimiser steps of all stages together; 0 trains by time", minimum=0, maximum=10**8)
    first_share: float = param(0.15, "share of the auto-encoder", minimum=0.01, maximum=0.9)
    student_share: float = param(0.5, "share of the student", minimum=0.01, maximum=0.9)
    batch_size: int = param(32, "clips in a step", minimum=1, maximum=4096)
    learning_rate: float = param(2e-3, "peak learning rate", minimum=1e-6, maximum=1.0)
    average_decay: float = param(0.998, "decay of the running average of the weights", minimum=0.0, maximum=0.99999)
    save_every_s: float = param(120.0, "time between checkpoints", minimum=0.0, maximum=1e5)
    threads: int = param(2, "compute threads", minimum=1, maximum=256)
    seed: int = param(0, "seed of weights, batches and noise", minimum=0, maximum=2**31 - 1)
    device: str = param("cpu", "where to train", choices=("cpu", "cuda"))
    precision: str = param("fp32", "of the forward pass; bf16 pays on GPUs and on CPUs with AMX", choices=PRECISIONS)
    patience: int = param(0, "validations without a gain after which a stage ends; 0 never", minimum=0, maximum=1000)
    deterministic: bool = param(False, "one forecast without noise instead of futures, to compare with")
    taught: bool = param(False, "only the last stage, with the teacher of another run")
    alone: bool = param(False, "the last stage without a teacher, by the scores alone, as after pruning")

    def stage_share(self, stage: int) -> float:
        """Return the share of the whole run that a stage gets."""
        if self.deterministic or self.taught:
            return 1.0
        return (self.first_share, 1.0 - self.first_share - self.student_share, self.student_share)[stage]

    def clips_per_step(self, stage: int) -> int:
        """Return how many clips a step takes; the student imagines several futures of each."""
        return self.batch_size if stage < STUDENT else max(1, self.batch_size // 2)

    def progress(self, state: TrainingState) -> float:
        """Return how far the present stage is, 0 to 1 and beyond."""
        share = self.stage_share(state.stage)
        if self.steps:
            return state.step / max(1, round(self.steps * share))
        return state.elapsed_s[state.stage] / (self.minutes * 60.0 * share)

    def rate(self, state: TrainingState) -> float:
        """Return the learning rate: a short rise, then a cosine down to a fiftieth."""
        progress = min(1.0, self.progress(state))
        cosine = 0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * progress))
        return self.learning_rate * _STAGE_RATES[state.stage] * min(1.0, (state.step + 1) / _WARMUP_STEPS) * cosine
