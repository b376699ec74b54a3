"""The model card: README.md of a model directory, written from its manifest and a forecast report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_worldmodel.models.manifest import totals

_SHOWN_STEPS = (0, 3, 7)
_DETAILED_METHODS = ("ours", "ours_teacher", "deterministic", "persistence_calibrated", "constant_velocity_calibrated")
"""Methods shown per horizon with intervals; the others are shown by their means only."""

_INTRODUCTION = """# Model card: {variant}

`{model_id}`, precision {precision}, exported {created} from commit `{commit}`.
This file is written by `edge-worldmodel evaluate forecast --card`; do not edit it by hand.

## What it is
{summary}

## What it does
From the last second of ego-centric occupancy grids (5 frames, 64 x 64 cells of 0.2 m) and a maneuver of the robot
it draws futures of the next 3.2 s (8 frames) as occupancy probabilities. Each future is one possible course of
events; the mean over futures is the probability that a cell will be occupied.

## How
Rectified flow in a latent of 8 x 16 x 16 numbers for the whole clip, made to imagine in {denoise_steps} step(s).
Movers are tracked, and their positions at constant velocity are an input: the networks imagine the deviations
from them. Three small convolutional networks without normalisation layers (3 x 3 convolutions, ReLU):
"""

_LIMITS = """
## Limits
- Planar: it knows what a grid of one height slab shows. Nothing about glass, drop-offs or overhanging things.
- People, carts and cars at up to about 2 m/s, at up to 6.4 m, seen by a scanner at 5 Hz or more. Faster ones are
  imagined too slow.
- What was never observed is imagined from what is common in the training data; its spread says so, but a place
  unlike all of them may be imagined wrongly with confidence.
- Futures of one scene differ less than real outcomes do where a choice is to be made (compare best_of_n, each_of_n).
- People react to the maneuver as far as the simulated ones do. It is no evidence of how a person will react.
- The probabilities are recalibrated per horizon on simulated validation clips; elsewhere the table shows what error is
  left. No safety function may rest on them: the supervisor checks the raw sensors on its own.

## Licence
Apache-2.0 like the project. Trained on simulated crowds (JuPedSim, LGPL, a tool and not a part of the weights), on
pedestrian tracks of ETH (Pellegrini et al. 2009) and UCY (Lerner et al. 2007, free with credit), and on building
maps of bwi_common (BSD).
"""


def write_card(directory: Path, manifest: Mapping[str, Any], report: Mapping[str, Any]) -> None:
    """Write README.md into a model directory."""
    shown = ("variant", "model_id", "precision", "created", "commit", "denoise_steps")
    summary = "\n".join(_summary(manifest, report))
    text = _INTRODUCTION.format(**{name: manifest[name] for name in shown}, summary=summary)
    text += _networks(manifest) + _training(manifest["training"]) + _figures(report) + _LIMITS
    (directory / "README.md").write_text(text, encoding="utf-8")


def _summary(manifest: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    """Return the summary table: size, latency and quality."""
    whole, latency = totals(manifest), manifest.get("latency_s", {})
    rows = {
        "parameters": f"{whole['parameters']:,}",
        "files": f"{whole['bytes'] / 1e6:.2f} MB",
        "MFLOP": f"{whole['mflop_scene']:.0f} a scene, {whole['mflop_future']:.0f} each future at most "
        f"({manifest['denoise_steps']} step(s))",
    }
    if "tick" in latency:
        rows["latency"] = f"{1e3 * latency['tick']:.1f} ms, {_how_measured(latency)}"
    if "processor_s" in latency:
        rows["processor time"] = f"{1e3 * latency['processor_s']['tick']:.1f} ms with one thread"
    for data, methods in report["results"].items():
        if "ours" in methods:
            brier, path = (float(np.nanmean(methods["ours"][name][1:])) for name in ("brier_moving", "path_brier"))
            errors = " and ".join(f"{np.nanmax(methods['ours'][name]):.3f}" for name in ("ece", "path_ece"))
            rows[f"on {data}"] = (
                f"Brier {brier:.3f} on moving cells, {path:.3f} on paths; calibration error at most {errors}"
            )
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]


def _how_measured(latency: Mapping[str, Any]) -> str:
    steps = f", {latency['steps']} step(s)" if "steps" in latency else ""
    where = f", {latency['machine']}, load {latency['load']}" if "machine" in latency else ""
    return f"{latency['futures']} futures{steps}, {latency['backend']}{where}"


def _networks(manifest: Mapping[str, Any]) -> str:
    lines = ["", "| network | parameters | MFLOP, one call for one future | file |", "|---|---|---|---|"]
    for name, entry in manifest["networks"].items():
        lines.append(f"| {name} | {entry['parameters']:,} | {entry['mflop']} | {entry['bytes'] / 1e6:.2f} MB |")
    latency = manifest.get("latency_s", {})
    if latency:
        parts = ", ".join(f"{name} {1e3 * latency[name]:.1f} ms" for name in manifest["networks"])
        lines += ["", f"Median of one call: {parts} ({_how_measured(latency)})."]
        lines[-1] += " The machine was not free of other work, so rather too slow than too fast."
    return "\n".join(lines) + "\n"


def _training(training: Mapping[str, Any]) -> str:
    data = training.get("data", {})
    clips = ", ".join(f"{count:,} {split}" for split, count in data.get("clips", {}).items()) or "unknown"
    tracks = data.get("recordings", {})
    lines = [
        "",
        "## Training data",
        f"Clips: {clips}. Hash of the training shards: `{data.get('sha256', 'unknown')[:16]}`.",
    ]
    for split, names in tracks.items():
        lines.append(f"Recordings for {split}: {', '.join(names['tracks'] + names['maps']) or 'none'}.")
    steps = ", ".join(f"{k.removeprefix('steps_')} {v} steps" for k, v in training.items() if k.startswith("steps_"))
    lines.append(f"Training: {steps or 'none'}, {training.get('minutes', 0)} minutes on two shared CPU cores,")
    lines.append(f"settings {training.get('config', {})}.")
    if "reconstruction" in training:
        lines.append(f"The latent keeps of moving things (validation): {training['reconstruction']}.")
    return "\n".join(lines) + "\n"


def _figures(report: Mapping[str, Any]) -> str:
    lines = [
        "",
        "## Forecast quality",
        f"{report['futures']} futures, commit `{report['commit']}`, seed {report['seed']}.",
    ]
    lines += [
        "`ours` takes the steps named above; `ours_unconditioned` does not get the maneuver; `ours_teacher` is the "
        "model before distillation, in 16 steps, `deterministic` one of the same size trained as a plain regression. "
        "Moving cells: known cells "
        "that something moving occupies at that horizon or occupies now. Reach: known cells within 1.5 m/s of what "
        "moves now, a mask that does not know the outcome. Brackets: 95 % bootstrap interval over scenes. Calibrated "
        "baselines: blur and logistic regression, fitted on validation clips. path_brier: will something come onto a "
        "random path that is clear now. energy: how far imagined clips are from the truth, beyond how far they are "
        "from each other. ece, path_ece: gap between probability and frequency, of cells in reach and of paths, at the "
        "worst of the eight horizons. walls_lost, free_called_occupied: shares of static cells forecast below 0.5 and "
        "of free cells forecast above; always_free: of cells that are occupied at no horizon.",
    ]
    for data, methods in report["results"].items():
        lines += [
            "",
            f"### {data} ({report['clips'][data]} clips)",
            "Brier score on moving cells (lower is better)",
            "",
        ]
        shown = {name: methods[name] for name in _DETAILED_METHODS if name in methods}
        lines += _table(shown, report["horizons_s"], "brier_moving", 3)
        lines += ["", "Mean over 0.8 to 3.2 s; calibration errors: the worst horizon", "", *_means(methods)]
    if "junction_both_branches" in report:
        shares = ", ".join(f"{name} {share:.2f}" for name, share in report["junction_both_branches"].items())
        lines += ["", f"T-junctions in whose {report['futures']} futures both branches are taken: {shares}."]
    for name, scores in report.get("junctions", {}).items():
        best, mean = scores["best_of_n"], scores["mean"]
        lines.append(f"Squared error there, {name}: best future {best:.3f}, mean of all {mean:.3f}.")
    command = " ".join(f"--data {name}" for name in report["results"])
    lines += [
        "",
        f"Command: `edge-worldmodel evaluate forecast {command} --json out/forecast.json --card`",
        "(folders by name)",
    ]
    return "\n".join(lines) + "\n"


def _table(methods: Mapping[str, Any], horizons_s: list[float], metric: str, digits: int) -> list[str]:
    head = " | ".join(f"{horizons_s[step]} s" for step in _SHOWN_STEPS)
    lines = [f"| method | {head} |", "|---|" + "---|" * len(_SHOWN_STEPS)]
    for method, metrics in methods.items():
        cells = []
        for step in _SHOWN_STEPS:
            low, high = metrics[f"{metric}_low"][step], metrics[f"{metric}_high"][step]
            cells.append(f"{metrics[metric][step]:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return lines


def _means(methods: Mapping[str, Any]) -> list[str]:
    names = ("brier_moving", "brier_reach", "nll_moving", "iou", "ap", "path_brier", "energy", "best_of_n", "each_of_n",
             "ece", "path_ece", "walls_lost", "free_called_occupied", "always_free_called_occupied")  # fmt: skip
    lines = ["| method | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for method, metrics in methods.items():
        lines.append(f"| {method} | " + " | ".join(_table_cell(metrics, name) for name in names) + " |")
    return lines


def _table_cell(metrics: Mapping[str, list[float]], name: str) -> str:
    if name not in metrics:
        return ""
    return f"{np.nanmax(metrics[name]) if name.endswith('ece') else np.nanmean(metrics[name][1:]):.3f}"
