"""`edge-worldmodel train`: fit the world model to a folder of shards, resumable at any moment."""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.tensors import LATENT
from edge_worldmodel.training import losses, stages
from edge_worldmodel.training.batches import take, training_batch
from edge_worldmodel.training.checkpoints import TrainingState, load, new_state, save
from edge_worldmodel.training.data.splits import ClipSet, dataset_facts, load_split
from edge_worldmodel.training.networks import VARIANTS, Architecture, WorldNetworks, widened
from edge_worldmodel.training.progress_log import ProgressLog
from edge_worldmodel.training.recalibration import recalibrate
from edge_worldmodel.training.train_config import PRECISIONS, STAGE_NAMES, STUDENT, TrainConfig

CHECKPOINT_NAME = "checkpoint.pt"
TEACHER_NAME = "teacher.pt"
_REPORT_EVERY = 50
_VALIDATE_EVERY = 10 * _REPORT_EVERY


class Trainer:
    """Runs the stages of one training run and keeps its checkpoint and log."""

    def __init__(self, config: TrainConfig, state: TrainingState, clips: tuple[ClipSet, ClipSet], out: Path) -> None:
        """Go on from ``state`` with training and validation ``clips``; files are written to the folder ``out``."""
        self._config, self._state = config, state
        # Convolutions are faster this way; the values stay the same.
        state.networks.to(config.device, memory_format=torch.channels_last)
        state.average.to(config.device)
        self._training, self._validation = clips
        self._out = out
        self._progress = ProgressLog(out)
        self._teacher: WorldNetworks | None = None
        self._last_save = time.monotonic()

    def run(self, report: Callable[[str], None] = print) -> TrainingState:
        """Train to the end of the last stage; writes the checkpoint on the way and at the end."""
        state = self._state
        while state.stage < len(STAGE_NAMES):
            if state.stage == STUDENT and not (self._config.deterministic or self._config.alone):
                self._teacher = load(self._out / TEACHER_NAME).average.to(self._config.device)
            self._run_stage(report)
            self._finish_stage(report)
            following = len(STAGE_NAMES) if self._config.deterministic else state.stage + 1
            state.stage, state.step, state.optimizer_state = following, 0, None
            state.best, state.without_gain = None, 0
            if state.stage == STUDENT:
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
        while config.progress(state) < 1.0 and not (config.patience and state.without_gain >= config.patience):
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
        batch = training_batch(self._training, config.clips_per_step(state.stage), seed).to(config.device)
        random = torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        with torch.autocast(config.device, torch.bfloat16, enabled=config.precision == "bf16"):
            loss, parts = stages.stage_loss(
                state.networks,
                state.stage,
                batch,
                random,
                teacher=self._teacher,
                progress=config.progress(state),
                deterministic=config.deterministic,
            )
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
        """Measure what the stage gave; the next one begins with the averaged weights."""
        state, device = self._state, self._config.device
        for networks in (state.networks, state.average):
            networks.to("cpu")
        if state.stage == 0:
            scale = stages.measure_latent_scale(state.average, self._training)
            state.average.decoder.latent_scale.copy_(scale)
            state.facts["reconstruction"] = stages.reconstruction_quality(state.average, self._validation)
            report(f"autoencoder done: reconstruction {state.facts['reconstruction']}")
        if state.stage == STUDENT or self._config.deterministic:
            noise = not self._config.deterministic
            state.facts["calibration"] = recalibrate(state.average, self._validation, noise=noise)
            report(f"calibrated: {state.facts['calibration']}")
        state.networks.load_state_dict(state.average.state_dict())
        for networks in (state.networks, state.average):
            networks.to(device)
        state.facts[f"steps_{STAGE_NAMES[state.stage]}"] = state.step

    def _log(self, parts: dict[str, float], report: Callable[[str], None]) -> None:
        state, config = self._state, self._config
        row: dict[str, float | str] = {"stage": STAGE_NAMES[state.stage], "step": state.step}
        row |= {"elapsed_s": round(state.elapsed_s[state.stage], 1), "rate": f"{config.rate(state):.2e}"}
        row |= {name: round(value, 5) for name, value in parts.items()}
        if state.step % _VALIDATE_EVERY == 0:
            row |= self._validate()
        report(f"{100 * min(1.0, config.progress(state)):5.1f} % " + " ".join(f"{k}={v}" for k, v in row.items()))
        self._progress.append(row)

    def _validate(self) -> dict[str, float]:
        """Score the averaged weights on validation clips, and count how often nothing was gained."""
        state, config = self._state, self._config
        if state.stage == 0:
            quality = stages.reconstruction_quality(state.average, self._validation, device=config.device)
            found, gain = {name: round(value, 4) for name, value in quality.items()}, quality["iou_near_moving"]
        else:
            noise = not config.deterministic
            loss = one_step_forecast_loss(state.average, self._validation, noise=noise, device=config.device)
            found, gain = {"validation_forecast": round(loss, 3)}, -loss
        better = state.best is None or gain > state.best
        state.best, state.without_gain = (gain, 0) if better else (state.best, state.without_gain + 1)
        return found


@torch.no_grad()
def one_step_forecast_loss(
    networks: WorldNetworks, clips: ClipSet, count: int = 256, *, noise: bool = True, device: str = "cpu"
) -> float:
    """Return the forecast loss of a single denoising step, from noise or from nothing, on the first clips."""
    batch = take(clips, torch.arange(min(count, len(clips))).numpy()).to(device)
    start = torch.randn(len(batch.history), *LATENT.shape[1:], generator=torch.Generator().manual_seed(0))
    start = start.to(device) * noise
    context = networks.encoder(batch.history, batch.motion)
    return float(losses.forecast_loss(networks.in_one_step(start, context, batch.maneuver), batch).mean())


@torch.no_grad()
def update_average(average: WorldNetworks, networks: WorldNetworks, decay: float) -> None:
    """Move the running average of the weights towards the present ones."""
    torch._foreach_lerp_(list(average.parameters()), list(networks.parameters()), 1.0 - decay)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `edge-worldmodel train`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of shards made by 'edge-worldmodel generate'")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint and log")
    parser.add_argument("--minutes", type=float, default=90.0, help="wall time of the whole training")
    parser.add_argument("--steps", type=int, default=0, help="train this many steps instead of by time")
    parser.add_argument("--batch-size", type=int, default=32, help="clips in a step")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--variant", choices=VARIANTS, default="small", help="size of the networks")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to train")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="precision of the forward pass")
    parser.add_argument("--patience", type=int, default=0, help="end a stage after this many validations without gain")
    parser.add_argument("--threads", type=int, default=2, help="compute threads")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, batches and noise")
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="train one forecast without noise, for comparison; not to be driven",
    )
    parser.add_argument(
        "--start-from",
        type=Path,
        help="checkpoint of another run: keep its autoencoder, go on with its flow; a larger --variant is begun with "
        "what the smaller one knows",
    )
    parser.add_argument(
        "--teacher",
        type=Path,
        help="teacher.pt of another run: train only the student's stage, by its futures; --start-from says with which "
        "weights (default: the teacher's, or untrained ones for a smaller --variant)",
    )
    parser.add_argument(
        "--leave-out",
        nargs="*",
        default=[],
        metavar="SOURCE",
        help="sources of clips not to learn from, by how they begin, such as 'tracks' or 'tracks:students'",
    )
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")


def _first_state(args: argparse.Namespace, config: TrainConfig) -> TrainingState:
    """Return untrained networks, or another run's: with the flow to be trained again, or only with its teacher."""
    architecture = VARIANTS[args.variant]
    if args.start_from is None and args.teacher is None:
        state = new_state(architecture, config.seed)
        # the plain regression needs no latent, and so no auto-encoder
        state.stage = int(config.deterministic)
        return state
    state = load(args.start_from or args.teacher)
    state.networks = _begun_with(state.average, architecture, config.seed, untrained=args.start_from is None)
    state.average = copy.deepcopy(state.networks)
    state.stage, state.step, state.elapsed_s, state.optimizer_state = 1, 0, [0.0, 0.0, 0.0], None
    state.facts["started_from"] = {name: state.facts.get(name) for name in ("steps_flow", "steps_student", "data")}
    if args.teacher is not None:
        save(load(args.teacher), args.out / TEACHER_NAME)
        state.stage = STUDENT
    return state


def _begun_with(networks: WorldNetworks, architecture: Architecture, seed: int, *, untrained: bool) -> WorldNetworks:
    """Return networks that go on from others; narrower ones than a teacher's begin ``untrained``, in its latent."""
    torch.manual_seed(seed)
    if untrained and architecture.narrower_than(networks.architecture):
        fresh = WorldNetworks(architecture)
        fresh.decoder.latent_scale.copy_(networks.decoder.latent_scale)
        return fresh
    return widened(networks, architecture)


def run(args: argparse.Namespace) -> int:
    """Train; returns the exit status."""
    names = ("minutes", "steps", "batch_size", "learning_rate", "threads", "seed", "deterministic", "device",
             "precision", "patience")  # fmt: skip
    config = TrainConfig(**{name: getattr(args, name) for name in names}, taught=args.teacher is not None)
    path: Path = args.out / CHECKPOINT_NAME
    if path.exists() and not args.resume:
        raise ConfigError(f"{path} exists: add --resume to go on with it, or choose another --out")
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(config.threads)
    state = load(path) if path.exists() else _first_state(args, config)
    state.facts["data"] = dataset_facts(args.data) | ({"left_out": args.leave_out} if args.leave_out else {})
    state.facts["config"] = {
        name: getattr(config, name) for name in ("seed", "batch_size", "learning_rate", "deterministic")
    }
    without = tuple(args.leave_out)
    clips = load_split(args.data, "train", without), load_split(args.data, "val", without)
    Trainer(config, state, clips, args.out).run(lambda line: print(line, flush=True))
    print(f"trained: {path}; next: edge-worldmodel export --checkpoint {path} --out models/small")
    return 0
