"""`edge-worldmodel compress search`: find the best widths of the networks within a time budget on this machine.

Each trial keeps the most important channels of the trained networks, quantises them and times them against the
reference. If it keeps the budget, it is fine-tuned and scored on validation clips. The study is kept in a journal, so
that a run that was stopped can be continued.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from edge_worldmodel.backends import open_backend
from edge_worldmodel.backends.timing import TICK, Workload, measure
from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.model.world_model import Backend, WorldModel
from edge_worldmodel.models.manifest import load_model
from edge_worldmodel.training.checkpoints import load
from edge_worldmodel.training.compression import comparison_report
from edge_worldmodel.training.compression.calibration_inputs import Inputs, collect_inputs, sample_clips
from edge_worldmodel.training.compression.channel_pruning import prune_channels
from edge_worldmodel.training.compression.fine_tuning import fine_tune, fine_tuning_config, load_clips
from edge_worldmodel.training.compression.model_folder import write_model
from edge_worldmodel.training.compression.ptq import brier, export_fused, quantise_all
from edge_worldmodel.training.data.splits import ClipSet
from edge_worldmodel.training.export import export_model
from edge_worldmodel.training.networks import Architecture, WorldNetworks
from edge_worldmodel.training.validation.examples import pick

State = optuna.trial.TrialState
_JOURNAL = "study.log"
_STEP = 16
"""Widths are multiples of this, because vector registers hold 16 channels."""
_NARROWEST = {"encoder_width": 32, "denoiser_width": 16, "deep_width": 32, "decoder_width": 16}
_CALIBRATION_CLIPS = 16
_ROUNDS, _FEW = 6, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--checkpoint", type=Path, required=True, help="checkpoint of the trained student, the widest networks to try"
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=Path("models/small"),
        help="its exported model, the reference for time; %(default)s",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of shards")
    parser.add_argument("--budget", type=float, default=0.3, help="largest time of a tick, as a share of the "
                        "reference's; %(default)s")  # fmt: skip
    parser.add_argument("--trials", type=int, default=12, help="trials in all, earlier runs included; %(default)s")
    parser.add_argument("--steps", type=int, default=100, help="fine-tuning steps per trial; %(default)s")
    parser.add_argument("--validation-clips", type=int, default=96, help="clips to score trials on; %(default)s")
    parser.add_argument(
        "--work", type=Path, help="folder of the study (default: OUT-study); an existing one is continued"
    )
    parser.add_argument("--variant", default="searched", help="name of the new variant; %(default)s")
    comparison_report.add_arguments(parser)


@dataclass
class SearchSetup:
    """Networks, data and options that all trials share."""

    widest: WorldNetworks
    facts: dict[str, Any]
    inputs: dict[str, Sequence[Inputs]]
    reference: Backend
    work: Path
    options: argparse.Namespace

    @cached_property
    def clips(self) -> tuple[ClipSet, ClipSet]:
        """Training and validation clips, read when first needed."""
        return load_clips(self.options.data)

    @cached_property
    def validation(self) -> ClipSet:
        """The validation clips that trials are scored on, spread evenly over the split."""
        last = len(self.clips[1]) - 1
        return pick(self.clips[1], np.unique(np.linspace(0, last, self.options.validation_clips).astype(int)))

    def time_share(self, files: dict[str, bytes]) -> float:
        """Return the CPU time of a tick as a share of the reference's; both are measured in turn."""
        backends = {"reference": self.reference, "tried": self.opened(files)}
        times = measure(backends, Workload(steps=4), min(_ROUNDS, self.options.rounds), time.process_time)
        return float(np.median(times["tried"][TICK]) / np.median(times["reference"][TICK]))

    def opened(self, files: dict[str, bytes]) -> Backend:
        """Return a backend with the networks loaded."""
        backend = open_backend("onnxruntime", self.options.threads)
        backend.load(files)
        return backend

    def folder(self, widths: Mapping[str, int]) -> Path:
        """Return the folder for checkpoint and export of these widths, so that a stopped trial can be continued."""
        return self.work / "_".join(f"{name.removesuffix('_width')}{width}" for name, width in sorted(widths.items()))


def run(options: argparse.Namespace) -> int:
    """Run the trials that are still missing, and report on the best."""
    work = options.work or options.out.parent / f"{options.out.name}-study"
    work.mkdir(parents=True, exist_ok=True)
    setup = _setup(options, work)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(work / _JOURNAL)))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=options.seed, n_startup_trials=5)
    study = optuna.create_study(storage=storage, study_name="widths", sampler=sampler, load_if_exists=True)
    _requeue_stopped_trials(study)
    done = study.get_trials(states=(State.COMPLETE, State.PRUNED))
    study.optimize(lambda trial: objective(trial, setup), n_trials=max(0, options.trials - len(done)))
    if not study.get_trials(states=(State.COMPLETE,)):
        raise ConfigError(
            f"none of {len(study.trials)} trials kept --budget {options.budget}: raise --budget or --trials"
        )
    table = [_row(trial) for trial in study.trials if trial.state.is_finished()]
    (work / "trials.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    best = study.best_trial
    print(f"best of {len(table)} trials: {best.params}, Brier score {best.value:.4f} on reach of validation clips")
    _write_best(setup, best.params, {"method": "architecture search", "trials": table, "budget": options.budget})
    return 0


def objective(trial: optuna.Trial, setup: SearchSetup) -> float:
    """Return the Brier score of a trial's widths in INT8, on the reach mask of validation clips; prune slow trials."""
    most = setup.widest.architecture.to_dict()
    widths = {name: trial.suggest_int(name, low, most[name], step=_STEP) for name, low in _NARROWEST.items()}
    networks = prune_channels(setup.widest, Architecture(**(most | widths)))
    # The time does not depend on the calibrated ranges, so a few inputs are enough.
    few = {name: each[:_FEW] for name, each in setup.inputs.items()}
    share = setup.time_share(quantise_all(export_fused(networks), few))
    trial.set_user_attr("time_share", share)
    if share > setup.options.budget:
        print(f"trial {trial.number}: {widths}, {share:.3f} of the reference's time: over the budget", flush=True)
        raise optuna.TrialPruned
    folder, options = setup.folder(widths), setup.options
    tuned = fine_tune(
        networks, setup.clips, folder, fine_tuning_config(options.steps, options.threads, options.seed), setup.facts
    )
    export_model(tuned, folder / "fp32", options.variant, setup.facts | {"steps_student": options.steps})
    model = WorldModel(setup.opened(quantise_all(export_fused(tuned), setup.inputs)), "tried")
    # The mask of moving cells depends on the true future, so it would reward calling more cells occupied.
    score = brier(model, setup.validation, options.seed, "reach")
    print(f"trial {trial.number}: {widths}, {share:.3f} of the reference's time, Brier {score:.4f}", flush=True)
    return score


def _setup(options: argparse.Namespace, work: Path) -> SearchSetup:
    state, source = load(options.checkpoint), load_model(options.model)
    reference = open_backend("onnxruntime", options.threads)
    reference.load(source.networks)
    inputs: dict[str, Sequence[Inputs]] = dict(
        collect_inputs(reference, sample_clips(options.data, "train", _CALIBRATION_CLIPS), options.seed)
    )
    return SearchSetup(state.average, dict(state.facts), inputs, reference, work, options)


def _row(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    return {"number": trial.number, "state": trial.state.name, "brier": trial.value, **trial.params, **trial.user_attrs}


def _requeue_stopped_trials(study: optuna.Study) -> None:
    """Put trials that were stopped half way at the front of the queue."""
    for trial in study.get_trials(states=(State.RUNNING,)):
        study.tell(trial.number, state=State.FAIL)
        study.enqueue_trial(trial.params)


def _write_best(setup: SearchSetup, widths: Mapping[str, int], facts: dict[str, Any]) -> None:
    """Write the best trial as an INT8 model and compare it with the reference."""
    options = setup.options
    folder = setup.folder(widths)
    networks = load(folder / "checkpoint.pt").average
    source = load_model(folder / "fp32")
    made = {name: facts[name] for name in ("method", "budget")}
    manifest = write_model(
        options.out, quantise_all(export_fused(networks), setup.inputs), source.manifest, "int8", made
    )
    print(f"wrote {options.out}: {manifest['model_id']}")
    comparison_report.report(options.model, options.out, options, facts)
