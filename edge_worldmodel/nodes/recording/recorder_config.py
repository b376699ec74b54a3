"""Parameters of the recorder node."""

from __future__ import annotations

from dataclasses import dataclass

from edge_worldmodel.core.config import Config, param


@dataclass(frozen=True)
class RecorderConfig(Config):
    """Where to record and what."""

    output_dir: str = param("", "Folder for run.mcap, statistics.json and moment.npz.", read_only=True)
    extra_topics: tuple[str, ...] = param((), "More topics to record, for example second scanners.", read_only=True)
    base_frame: str = param("base_link", "Robot base frame (REP-105).", read_only=True)
