"""`edge-worldmodel compress search`: widths of the networks, within a latency budget measured on this machine.

Every trial takes the most important channels of the trained networks (compression.narrowing), is quantised and timed
beside the reference, and only if it keeps the budget is fine-tuned and scored on validation clips. The study lies in a
journal, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from edge_worldmodel.backends import open_backend
from edge_worldmodel.backends.timing import TICK, Workload, measure
from edge_worldmodel.compression import before_after
from edge_worldmodel.compression.fine_tuning import fine_tune, load_clips, short
from edge_worldmodel.compression.held_in import Inputs, collect, some_clips
from edge_worldmodel.compression.model_folder import write_model
from edge_worldmodel.compression.narrowing import narrow
from edge_worldmodel.compression.ptq import brier, floating, quantise_all
from edge_worldmodel.core.world_model import Backend, WorldModel
from edge_worldmodel.evaluation.forecast_data import pick
from edge_worldmodel.store.manifest import load_model
from edge_worldmodel.training.checkpoints import load
from edge_worldmodel.training.export import export_model
from edge_worldmodel.training.networks import Architecture, WorldNetworks
from edge_worldmodel.training.splits import Clips

_JOURNAL = "study.log"
_STEP = 16
"""Widths tried are multiples of it: vector registers hold 16 channels."""
_NARROWEST = {"encoder_width": 32, "denoiser_width": 16, "deep_width": 32, "decoder_width": 16}
_CALIBRATION_CLIPS = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--checkpoint", type=Path, required=True, help="of the trained student, the widest there is")
    parser.add_argument("--model", type=Path, default=Path("models/small"), help="its export, the reference for time")
    parser.add_argument("--data", type=Path, required=True, help="folder of shards")
    parser.add_argument("--budget", type=float, default=0.3, help="ticks may take this share of the reference's time "
                        "on this machine; %(default)s")  # fmt: skip
    parser.add_argument("--trials", type=int, default=12, help="in all, those of earlier runs included; %(default)s")
    parser.add_argument("--steps", type=int, default=100, help="of fine-tuning per trial; %(default)s")
    parser.add_argument("--validation-clips", type=int, default=96, help="that decide; %(default)s")
    parser.add_argument("--work", type=Path, help="folder of the study (default: OUT-study); run again to go on")
    parser.add_argument("--variant", default="searched", help="name of the variant that comes out; %(default)s")
    before_after.add_arguments(parser)


@dataclass(frozen=True)
class Bench:
    """What trials are measured with."""

    wide: WorldNetworks
    facts: dict[str, Any]
    clips: tuple[Clips, Clips]
    validation: Clips
    inputs: dict[str, Sequence[Inputs]]
    reference: Backend
    work: Path
    options: argparse.Namespace

    def time_share(self, files: dict[str, bytes]) -> float:
        """Return the time of a tick as a share of the reference's, both measured in turn, CPU time."""
        times = measure(
            {"reference": self.reference, "tried": self.opened(files)}, Workload(steps=4), 6, time.process_time
        )
        return float(np.median(times["tried"][TICK]) / np.median(times["reference"][TICK]))

    def opened(self, files: dict[str, bytes]) -> Backend:
        """Return a backend with the networks loaded."""
        backend = open_backend("onnxruntime", self.options.threads)
        backend.load(files)
        return backend

    def folder(self, number: int) -> Path:
        """Return where a trial keeps its checkpoint and its export."""
        return self.work / f"trial_{number:03d}"


def run(options: argparse.Namespace) -> int:
    """Search, go on or finish, and report on the best."""
    work = options.work or options.out.parent / f"{options.out.name}-study"
    work.mkdir(parents=True, exist_ok=True)
    bench = _bench(options, work)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(work / _JOURNAL)))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=options.seed, n_startup_trials=5)
    study = optuna.create_study(storage=storage, study_name="widths", sampler=sampler, load_if_exists=True)
    done = [trial for trial in study.trials if trial.state.is_finished()]
    study.optimize(lambda trial: objective(trial, bench), n_trials=max(0, options.trials - len(done)))
    table = [_row(trial) for trial in study.trials]
    (work / "trials.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    best = study.best_trial
    print(f"best of {len(table)} trials: {best.params}, Brier {best.value:.4f} on validation clips")
    _ship(bench, best.number, {"method": "architecture search", "trials": table, "budget": options.budget})
    return 0


def objective(trial: optuna.Trial, bench: Bench) -> float:
    """Return the Brier score on validation clips of one choice of widths, in INT8; too slow ones are pruned."""
    most = bench.wide.architecture.to_dict()
    widths = {name: trial.suggest_int(name, low, most[name], step=_STEP) for name, low in _NARROWEST.items()}
    networks = narrow(bench.wide, Architecture(**(most | widths)))
    share = bench.time_share(quantise_all(floating(networks), bench.inputs))
    trial.set_user_attr("time_share", share)
    if share > bench.options.budget:
        print(f"trial {trial.number}: {widths}, {share:.3f} of the reference's time: over the budget")
        raise optuna.TrialPruned
    folder, options = bench.folder(trial.number), bench.options
    tuned = fine_tune(networks, bench.clips, folder, short(options.steps, options.threads, options.seed), bench.facts)
    export_model(tuned, folder / "fp32", options.variant, bench.facts | {"steps_student": options.steps})
    found = brier(WorldModel(bench.opened(quantise_all(floating(tuned), bench.inputs)), "tried"), bench.validation)
    print(f"trial {trial.number}: {widths}, {share:.3f} of the reference's time, Brier {found:.4f}")
    return found


def _bench(options: argparse.Namespace, work: Path) -> Bench:
    state, source = load(options.checkpoint), load_model(options.model)
    reference = open_backend("onnxruntime", options.threads)
    reference.load(source.networks)
    clips = load_clips(options.data)
    inputs: dict[str, Sequence[Inputs]] = dict(
        collect(reference, some_clips(options.data, "train", _CALIBRATION_CLIPS), options.seed)
    )
    spread = np.unique(np.linspace(0, len(clips[1]) - 1, options.validation_clips).astype(int))
    return Bench(
        state.average, dict(state.facts), clips, pick(clips[1], spread), inputs, reference, work, options
    )


def _row(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    return {"number": trial.number, "state": trial.state.name, "brier": trial.value, **trial.params, **trial.user_attrs}


def _ship(bench: Bench, number: int, facts: dict[str, Any]) -> None:
    """Write the best trial as an INT8 model and compare it with the reference."""
    options = bench.options
    folder = bench.folder(number)
    networks = load(folder / "checkpoint.pt").average
    source = load_model(folder / "fp32")
    made = {name: facts[name] for name in ("method", "budget")}
    manifest = write_model(options.out, quantise_all(floating(networks), bench.inputs), source.manifest, "int8", made)
    print(f"wrote {options.out}: {manifest['model_id']}")
    before_after.report(options.model, options.out, options, facts)
