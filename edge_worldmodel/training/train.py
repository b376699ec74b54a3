"""`edge-worldmodel train`: fit the world model to a folder of shards, resumable at any moment."""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.tensors import LATENT
from edge_worldmodel.training import losses, stages
from edge_worldmodel.training.batches import take, training_batch
from edge_worldmodel.training.calibration import calibrate
from edge_worldmodel.training.checkpoints import TrainingState, load, new_state, save
from edge_worldmodel.training.networks import Architecture, WorldNetworks
from edge_worldmodel.training.splits import Clips, dataset_facts, load_split

CHECKPOINT_NAME = "checkpoint.pt"
LOG_NAME = "log.csv"
TEACHER_NAME = "teacher.pt"
STAGE_NAMES = ("autoencoder", "flow", "student")
_STUDENT = STAGE_NAMES.index("student")
_WARMUP_STEPS = 200
_STAGE_RATES = (1.0, 1.0, 0.5)
"""The student begins with the teacher's weights."""
_REPORT_EVERY = 50


@dataclass(frozen=True)
class TrainConfig(Config):
    """How long and how to train; the length is given in minutes or, for exact repeats, in steps."""

    minutes: float = param(90.0, "wall time of all stages; ignored when steps is set", minimum=0.01, maximum=1e5)
    steps: int = param(0, "optimiser steps of all stages together; 0 trains by time", minimum=0, maximum=10**8)
    first_share: float = param(0.2, "share of the auto-encoder", minimum=0.01, maximum=0.9)
    student_share: float = param(0.35, "share of the student", minimum=0.01, maximum=0.9)
    batch_size: int = param(32, "clips in a step", minimum=1, maximum=4096)
    learning_rate: float = param(2e-3, "peak learning rate", minimum=1e-6, maximum=1.0)
    average_decay: float = param(0.998, "decay of the running average of the weights", minimum=0.0, maximum=0.99999)
    save_every_s: float = param(120.0, "time between checkpoints", minimum=0.0, maximum=1e5)
    threads: int = param(2, "compute threads", minimum=1, maximum=256)
    seed: int = param(0, "seed of weights, batches and noise", minimum=0, maximum=2**31 - 1)
    deterministic: bool = param(False, "one forecast without noise instead of futures, to compare with")

    def stage_share(self, stage: int) -> float:
        """Return the share of the whole run that a stage gets."""
        if self.deterministic:
            return 1.0
        return (self.first_share, 1.0 - self.first_share - self.student_share, self.student_share)[stage]

    def clips_per_step(self, stage: int) -> int:
        """Return how many clips a step takes; the student imagines several futures of each."""
        return self.batch_size if stage < _STUDENT else max(1, self.batch_size // 2)

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


class Trainer:
    """Runs the stages of one training run and keeps its checkpoint and log."""

    def __init__(self, config: TrainConfig, state: TrainingState, clips: tuple[Clips, Clips], out: Path) -> None:
        """Go on from ``state`` with training and validation ``clips``; files are written to the folder ``out``."""
        self._config, self._state = config, state
        # Convolutions on CPUs are faster this way; the values stay the same.
        state.networks.to(memory_format=torch.channels_last)
        self._training, self._validation = clips
        self._out = out
        self._last_save = time.monotonic()

    def run(self, report: Callable[[str], None] = print) -> TrainingState:
        """Train to the end of the last stage; writes the checkpoint on the way and at the end."""
        state = self._state
        while state.stage < len(STAGE_NAMES):
            self._run_stage(report)
            self._finish_stage(report)
            following = len(STAGE_NAMES) if self._config.deterministic else state.stage + 1
            state.stage, state.step, state.optimizer_state = following, 0, None
            if state.stage == _STUDENT:
                save(state, self._out / TEACHER_NAME)
            save(state, self._out / CHECKPOINT_NAME)
        return state

    def _run_stage(self, report: Callable[[str], None]) -> None:
        state, config = self._state, self._config
        modules = stages.trained_modules(state.networks, state.stage)
        parameters = [parameter for module in modules for parameter in module.parameters()]
        optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
        if state.optimizer_state is not None:
            optimizer.load_state_dict(state.optimizer_state)
        recent: list[dict[str, float]] = []
        while config.progress(state) < 1.0:
            started = time.monotonic()
            recent.append(self._step(optimizer, parameters))
            state.step += 1
            state.elapsed_s[state.stage] += time.monotonic() - started
            if state.step % _REPORT_EVERY == 0:
                self._log({name: sum(parts[name] for parts in recent) / len(recent) for name in recent[0]}, report)
                recent.clear()
            if time.monotonic() - self._last_save > config.save_every_s:
                state.optimizer_state = optimizer.state_dict()
                save(state, self._out / CHECKPOINT_NAME)
                self._last_save = time.monotonic()

    def _step(self, optimizer: torch.optim.Optimizer, parameters: list[torch.nn.Parameter]) -> dict[str, float]:
        state, config = self._state, self._config
        # Batch and noise follow from (seed, stage, step) alone, so a resumed run repeats what a whole one does.
        seed = (config.seed, state.stage, state.step)
        batch = training_batch(self._training, config.clips_per_step(state.stage), seed)
        random = torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        loss, parts = stages.stage_loss(state.networks, state.stage, batch, random, deterministic=config.deterministic)
        for group in optimizer.param_groups:
            group["lr"] = config.rate(state)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        decay = min(config.average_decay, (1.0 + state.step) / (10.0 + state.step))
        update_average(state.average, state.networks, decay)
        return parts

    def _finish_stage(self, report: Callable[[str], None]) -> None:
        state = self._state
        if state.stage == 0:
            state.networks.load_state_dict(state.average.state_dict())
            scale = stages.measure_latent_scale(state.networks, self._training)
            for networks in (state.networks, state.average):
                networks.decoder.latent_scale.copy_(scale)
            quality = stages.reconstruction_quality(state.networks, self._validation)
            state.facts["reconstruction"] = quality
            report(f"autoencoder done: latent scale {scale.flatten().tolist()}, reconstruction {quality}")
        if state.stage == _STUDENT or self._config.deterministic:
            noise = not self._config.deterministic
            state.facts["calibration"] = calibrate(state.average, self._validation, noise=noise)
            report(f"calibrated: {state.facts['calibration']}")
        state.facts[f"steps_{STAGE_NAMES[state.stage]}"] = state.step

    def _log(self, parts: dict[str, float], report: Callable[[str], None]) -> None:
        state, config = self._state, self._config
        row: dict[str, float | str] = {"stage": STAGE_NAMES[state.stage], "step": state.step}
        row |= {"elapsed_s": round(state.elapsed_s[state.stage], 1), "rate": f"{config.rate(state):.2e}"}
        row |= {name: round(value, 5) for name, value in parts.items()}
        if state.step % (10 * _REPORT_EVERY) == 0:
            row |= self._validate()
        report(f"{100 * min(1.0, config.progress(state)):5.1f} % " + " ".join(f"{k}={v}" for k, v in row.items()))
        _append(self._out / LOG_NAME, row)

    def _validate(self) -> dict[str, float]:
        state = self._state
        if state.stage == 0:
            return {k: round(v, 4) for k, v in stages.reconstruction_quality(state.average, self._validation).items()}
        return {
            "validation_forecast": round(
                one_step_forecast_loss(state.average, self._validation, noise=not self._config.deterministic), 3
            )
        }


@torch.no_grad()
def one_step_forecast_loss(networks: WorldNetworks, clips: Clips, count: int = 256, *, noise: bool = True) -> float:
    """Return the forecast loss of a single denoising step, from noise or from nothing, on the first clips."""
    batch = take(clips, torch.arange(min(count, len(clips))).numpy())
    start = torch.randn(len(batch.history), *LATENT.shape[1:], generator=torch.Generator().manual_seed(0)) * noise
    context = networks.encoder(batch.history, batch.motion)
    velocity = networks.denoiser(start, context, batch.maneuver, torch.ones(len(start)))
    logits = networks.decoder.logits(start - velocity, context)
    return float(losses.forecast_loss(logits, batch).mean())


@torch.no_grad()
def update_average(average: WorldNetworks, networks: WorldNetworks, decay: float) -> None:
    """Move the running average of the weights towards the present ones."""
    torch._foreach_lerp_(list(average.parameters()), list(networks.parameters()), 1.0 - decay)


def _append(path: Path, row: dict[str, float | str]) -> None:
    columns = [
        "stage",
        "step",
        "elapsed_s",
        "rate",
        "reconstruction",
        "divergence",
        "flow",
        "forecast",
        "ensemble",
        "mixture",
    ]
    columns += ["iou_near_moving", "recall_moving", "validation_forecast"]
    fresh = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns)
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `edge-worldmodel train`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of shards made by 'edge-worldmodel generate'")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint and log")
    parser.add_argument("--minutes", type=float, default=90.0, help="wall time of the whole training")
    parser.add_argument("--steps", type=int, default=0, help="train this many steps instead of by time")
    parser.add_argument("--batch-size", type=int, default=32, help="clips in a step")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--threads", type=int, default=2, help="compute threads")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, batches and noise")
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="train one forecast without noise, for comparison; not to be driven",
    )
    parser.add_argument(
        "--start-from", type=Path, help="checkpoint of another run: keep its autoencoder, go on with its flow"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")


def _first_state(start_from: Path | None, config: TrainConfig) -> TrainingState:
    """Return untrained networks, or another run's weights with the flow stage to be trained again."""
    if start_from is None:
        state = new_state(Architecture(), config.seed)
        # the plain regression needs no latent, and so no auto-encoder
        state.stage = int(config.deterministic)
        return state
    state = load(start_from)
    state.networks.load_state_dict(state.average.state_dict())
    state.stage, state.step, state.elapsed_s, state.optimizer_state = 1, 0, [0.0, 0.0, 0.0], None
    state.facts["started_from"] = {name: state.facts.get(name) for name in ("steps_flow", "data")}
    return state


def run(args: argparse.Namespace) -> int:
    """Train; returns the exit status."""
    config = TrainConfig(
        minutes=args.minutes, steps=args.steps, batch_size=args.batch_size, learning_rate=args.learning_rate,
        threads=args.threads, seed=args.seed, deterministic=args.deterministic,
    )  # fmt: skip
    path: Path = args.out / CHECKPOINT_NAME
    if path.exists() and not args.resume:
        raise ConfigError(f"{path} exists: add --resume to go on with it, or choose another --out")
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(config.threads)
    state = load(path) if path.exists() else _first_state(args.start_from, config)
    state.facts["data"] = dataset_facts(args.data)
    state.facts["config"] = {
        name: getattr(config, name) for name in ("seed", "batch_size", "learning_rate", "deterministic")
    }
    clips = load_split(args.data, "train"), load_split(args.data, "val")
    Trainer(config, state, clips, args.out).run(lambda line: print(line, flush=True))
    print(f"trained: {path}; next: edge-worldmodel export --checkpoint {path} --out models/small")
    return 0
