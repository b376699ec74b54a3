"""`edge-worldmodel compress prune`: remove the least important channels, then fine-tune briefly."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.training.checkpoints import load
from edge_worldmodel.training.compression import comparison_report
from edge_worldmodel.training.compression.channel_pruning import count_channels, narrower_architecture, prune_channels
from edge_worldmodel.training.compression.fine_tuning import fine_tune, fine_tuning_config, load_clips
from edge_worldmodel.training.export import export_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--checkpoint", type=Path, required=True, help="checkpoint of the trained student")
    parser.add_argument(
        "--model", type=Path, default=Path("models/small"), help="exported model of that student, to compare with"
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of shards to fine-tune on")
    parser.add_argument("--share", type=float, default=0.3, help="share of the channels to remove; %(default)s")
    parser.add_argument("--multiple", type=int, default=16, help="round widths to multiples of this; %(default)s")
    parser.add_argument("--steps", type=int, default=400, help="fine-tuning steps; %(default)s")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="peak learning rate; %(default)s")
    parser.add_argument("--work", type=Path, help="folder for checkpoint and log (default: OUT-training)")
    parser.add_argument("--variant", default="nano", help="name of the new variant; %(default)s")
    comparison_report.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Prune, fine-tune and export the networks, and report on them."""
    state = load(options.checkpoint)
    wide = state.average
    architecture = narrower_architecture(wide.architecture, options.share, options.multiple)
    if architecture == wide.architecture:
        raise ConfigError(f"--share {options.share}: rounded to {options.multiple} channels, this removes nothing")
    narrow_networks = prune_channels(wide, architecture)
    facts = {
        "method": "structured pruning", "from": str(state.facts.get("data", {}).get("sha256", ""))[:16],
        "share_asked": options.share, "steps": options.steps,
        "channels": [count_channels(wide), count_channels(narrow_networks)], "architecture": architecture.to_dict(),
    }  # fmt: skip
    print(f"{facts['channels'][0]} -> {facts['channels'][1]} channels: {architecture}")
    work = options.work or options.out.parent / f"{options.out.name}-training"
    training = fine_tuning_config(options.steps, options.threads, options.seed, options.learning_rate)
    kept = dict(state.facts) | {"pruned": facts}
    tuned = fine_tune(narrow_networks, load_clips(options.data), work, training, kept)
    training_facts = kept | {"steps_student": options.steps}
    manifest = export_model(tuned, options.out, options.variant, training_facts)
    print(f"wrote {options.out}: {manifest['model_id']}")
    comparison_report.report(options.model, options.out, options, facts)
    return 0
