"""`edge-worldmodel train`: train the networks on a folder of shards; a run that was killed can be resumed."""

from __future__ import annotations

import argparse
import copy
import csv
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.training.batches import training_batch
from edge_worldmodel.training.checkpoints import TrainingState, load, new_state, save
from edge_worldmodel.training.data.splits import ClipSet, dataset_facts, load_split
from edge_worldmodel.training.networks import VARIANTS, Architecture, WorldNetworks, widened
from edge_worldmodel.training.stages import STAGES, Flow, Regression, Stage, Student
from edge_worldmodel.training.train_config import PRECISIONS, TrainConfig

try:
    from torch.utils.tensorboard import SummaryWriter
except ImportError:  # tensorboard is optional
    SummaryWriter = None

LOG_NAME = "log.csv"
_LOG_COLUMNS = (
    "stage", "step", "elapsed_s", "rate", "reconstruction", "divergence", "flow", "forecast",
    "from_noise", "on_the_way", "energy", "brier", "iou_near_moving", "recall_moving", "validation_forecast",
)  # fmt: skip
CHECKPOINT_NAME = "checkpoint.pt"
TEACHER_NAME = "teacher.pt"
_REPORT_EVERY = 50
_VALIDATE_EVERY = 10 * _REPORT_EVERY


class ProgressLog:
    """The log of a training run: a CSV file, and TensorBoard events if TensorBoard is installed."""

    def __init__(self, out: Path) -> None:
        """Append to the log in ``out``, if there is one."""
        self._path = out / LOG_NAME
        self._board = SummaryWriter(str(out)) if SummaryWriter else None

    def append(self, row: Mapping[str, float | str]) -> None:
        """Append one row; missing columns stay empty."""
        fresh = not self._path.exists()
        with self._path.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, _LOG_COLUMNS)
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        if self._board is not None:
            for name, value in row.items():
                if name not in ("stage", "step"):
                    self._board.add_scalar(f"{row['stage']}/{name}", float(value), int(row["step"]))


class Trainer:
    """Runs the stages of one training run and keeps its checkpoint and log."""

    def __init__(self, config: TrainConfig, state: TrainingState, clips: tuple[ClipSet, ClipSet], out: Path) -> None:
        """Continue from ``state`` with training and validation ``clips``; writes to the folder ``out``."""
        self._config, self._state = config, state
        # Convolutions are faster in this memory layout, and the values are the same.
        state.networks.to(config.device, memory_format=torch.channels_last)
        state.average.to(config.device)
        self._training, self._validation = clips
        self._out = out
        self._progress = ProgressLog(out)
        self._last_save = time.monotonic()

    def run(self, report: Callable[[str], None] = print) -> TrainingState:
        """Train to the end of the last stage; writes checkpoints on the way and at the end."""
        state = self._state
        while state.stage < len(STAGES):
            stage = self._open_stage()
            self._run_stage(stage, report)
            self._finish_stage(stage, report)
            following = len(STAGES) if self._config.deterministic else stage.number + 1
            state.stage, state.step, state.optimizer_state = following, 0, None
            state.best, state.without_gain = None, 0
            if following < len(STAGES) and STAGES[following].needs_teacher:
                save(state, self._out / TEACHER_NAME)
            save(state, self._out / CHECKPOINT_NAME)
        return state

    def _open_stage(self) -> Stage:
        if self._config.deterministic:
            return Regression()
        kind = STAGES[self._state.stage]
        if not kind.needs_teacher or self._config.alone:
            return kind()
        return kind(load(self._out / TEACHER_NAME).average.to(self._config.device))

    def _run_stage(self, stage: Stage, report: Callable[[str], None]) -> None:
        state, config = self._state, self._config
        parameters = [parameter for module in stage.modules(state.networks) for parameter in module.parameters()]
        optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
        if state.optimizer_state is not None:
            optimizer.load_state_dict(state.optimizer_state)
        recent: list[dict[str, float]] = []
        while stage.progress(config, state) < 1.0 and not (config.patience and state.without_gain >= config.patience):
            started = time.monotonic()
            recent.append(self._step(stage, optimizer, parameters))
            state.step += 1
            state.elapsed_s[stage.number] += time.monotonic() - started
            if state.step % _REPORT_EVERY == 0:
                means = {name: sum(parts[name] for parts in recent) / len(recent) for name in recent[0]}
                self._log(stage, means, report)
                recent.clear()
            if time.monotonic() - self._last_save > config.save_every_s:
                state.optimizer_state = optimizer.state_dict()
                save(state, self._out / CHECKPOINT_NAME)
                self._last_save = time.monotonic()

    def _step(
        self, stage: Stage, optimizer: torch.optim.Optimizer, parameters: list[torch.nn.Parameter]
    ) -> dict[str, float]:
        state, config = self._state, self._config
        # Batch and noise follow from (seed, stage, step) alone, so a resumed run repeats an uninterrupted one.
        seed = (config.seed, stage.number, state.step)
        batch = training_batch(self._training, stage.clips_per_step(config), seed).to(config.device)
        random = torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        with torch.autocast(config.device, torch.bfloat16, enabled=config.precision == "bf16"):
            loss, parts = stage.loss(state.networks, batch, random, stage.progress(config, state))
        for group in optimizer.param_groups:
            group["lr"] = stage.learning_rate(config, state)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        decay = min(config.average_decay, (1.0 + state.step) / (10.0 + state.step))
        update_average(state.average, state.networks, decay)
        return parts

    def _finish_stage(self, stage: Stage, report: Callable[[str], None]) -> None:
        """Let the stage adjust the averaged weights; the next stage begins with them."""
        state, device = self._state, self._config.device
        for networks in (state.networks, state.average):
            networks.to("cpu")
        facts = stage.finish(state.average, self._training, self._validation)
        state.facts |= facts
        report(f"stage {stage.name} finished after {state.step} steps: {facts}")
        state.networks.load_state_dict(state.average.state_dict())
        for networks in (state.networks, state.average):
            networks.to(device)
        state.facts[f"steps_{stage.name}"] = state.step

    def _log(self, stage: Stage, parts: dict[str, float], report: Callable[[str], None]) -> None:
        state, config = self._state, self._config
        row: dict[str, float | str] = {"stage": stage.name, "step": state.step}
        rate = stage.learning_rate(config, state)
        row |= {"elapsed_s": round(state.elapsed_s[stage.number], 1), "rate": f"{rate:.2e}"}
        row |= {name: round(value, 5) for name, value in parts.items()}
        if state.step % _VALIDATE_EVERY == 0:
            row |= self._validate(stage)
        done = 100 * min(1.0, stage.progress(config, state))
        report(f"{done:5.1f} % " + " ".join(f"{k}={v}" for k, v in row.items()))
        self._progress.append(row)

    def _validate(self, stage: Stage) -> dict[str, float]:
        """Score the averaged weights on validation clips, and count the validations without improvement."""
        state = self._state
        figures, gain = stage.validate(state.average, self._validation, self._config.device)
        better = state.best is None or gain > state.best
        state.best, state.without_gain = (gain, 0) if better else (state.best, state.without_gain + 1)
        return figures


@torch.no_grad()
def update_average(average: WorldNetworks, networks: WorldNetworks, decay: float) -> None:
    """Move the running average of the weights towards the current ones."""
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
    parser.add_argument(
        "--patience", type=int, default=0, help="end a stage after this many validations without improvement; 0: never"
    )
    parser.add_argument("--threads", type=int, default=2, help="compute threads")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, batches and noise")
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="train one forecast without noise, for comparison only",
    )
    parser.add_argument(
        "--start-from",
        type=Path,
        help="checkpoint of another run: keep its auto-encoder and train from its weights; a larger --variant takes "
        "the weights of the smaller one over",
    )
    parser.add_argument(
        "--teacher",
        type=Path,
        help="teacher.pt of another run: train only the student; --start-from names its first weights (default: the "
        "teacher's, or untrained ones for a smaller --variant)",
    )
    parser.add_argument(
        "--leave-out",
        nargs="*",
        default=[],
        metavar="SOURCE",
        help="leave out clips from sources whose names begin with SOURCE, such as 'tracks' or 'tracks:students'",
    )
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in --out")


def _first_state(args: argparse.Namespace, config: TrainConfig) -> TrainingState:
    """Return the state to begin with: untrained networks, or those of another run (--start-from, --teacher)."""
    architecture = VARIANTS[args.variant]
    if args.start_from is None and args.teacher is None:
        state = new_state(architecture, config.seed)
        # The regression needs no latent, and so no auto-encoder.
        state.stage = Regression.number if config.deterministic else 0
        return state
    state = load(args.start_from or args.teacher)
    state.networks = _networks_from(state.average, architecture, config.seed, allow_untrained=args.start_from is None)
    state.average = copy.deepcopy(state.networks)
    state.stage, state.step, state.elapsed_s, state.optimizer_state = Flow.number, 0, [0.0, 0.0, 0.0], None
    state.facts["started_from"] = {name: state.facts.get(name) for name in ("steps_flow", "steps_student", "data")}
    if args.teacher is not None:
        save(load(args.teacher), args.out / TEACHER_NAME)
        state.stage = Student.number
    return state


def _networks_from(
    networks: WorldNetworks, architecture: Architecture, seed: int, *, allow_untrained: bool
) -> WorldNetworks:
    """Return networks of ``architecture`` with the weights of others.

    Weights cannot be carried over to narrower networks: these begin untrained, with the scale of the latents.
    """
    torch.manual_seed(seed)
    if allow_untrained and architecture.narrower_than(networks.architecture):
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
        raise ConfigError(f"{path} exists: add --resume to continue it, or choose another --out")
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
