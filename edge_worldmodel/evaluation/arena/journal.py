"""The journal of a run: one line for each finished episode, so that an interrupted run can be continued."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import edge_worldmodel
from edge_worldmodel.evaluation.arena.live_episode import LIVE
from edge_worldmodel.evaluation.arena.outcome import EpisodeOutcome
from edge_worldmodel.evaluation.arena.results.statistics import plain
from edge_worldmodel.evaluation.arena.tasks import EpisodeResult, EpisodeTask
from edge_worldmodel.evaluation.controllers.ours.parameters import MODEL
from edge_worldmodel.evaluation.controllers.tuned import tuned_settings
from edge_worldmodel.models.shipped import shipped

_CODE_OF_EPISODES = ("backends", "core", "evaluation/arena", "evaluation/controllers", "models", "sim")
_CODE_OF_LIVE_EPISODES = (*_CODE_OF_EPISODES, "nodes")
_WITHOUT_EFFECT = ("evaluation/arena/results/", "evaluation/arena/closed_loop.py", "evaluation/arena/forms.py")
"""Code of the arena that chooses episodes or shows results and does not change how an episode goes."""


@lru_cache(maxsize=2)
def code_digest(live: bool = False) -> str:
    """Return a digest of the code that influences episodes, in one process or in the live graph."""
    package = Path(edge_worldmodel.__file__).parent
    digest = hashlib.sha256()
    for part in _CODE_OF_LIVE_EPISODES if live else _CODE_OF_EPISODES:
        for path in sorted((package / part).rglob("*.py")):
            name = path.relative_to(package).as_posix()
            if not name.startswith(_WITHOUT_EFFECT) and (live or path.stem != "live_episode"):
                digest.update(name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@lru_cache(maxsize=4)
def ours_digest(model_dir: str = "") -> str:
    """Return a digest of the model, which influences how our planner drives."""
    try:
        # The manifest holds the digests of the networks, which are verified when they are loaded.
        manifest = (Path(model_dir or shipped(MODEL)) / "manifest.json").read_bytes()
    except OSError:
        manifest = b""  # making our planner raises an error that names the missing files
    return hashlib.sha256(manifest).hexdigest()[:16]


def episode_key(task: EpisodeTask, scenario_digest: str) -> str:
    """Return a key that is the same for the same episode, planner, settings, code and model."""
    settings = tuned_settings(task.planner) if task.settings is None else dict(task.settings)
    parts = [task.scenario, scenario_digest, task.seed, task.planner, task.index, sorted(settings.items())]
    parts.append(code_digest(live=task.planner == LIVE))
    parts.append(ours_digest(str(settings.get("model_dir", ""))) if task.planner.startswith("ours") else "")
    return hashlib.sha256(json.dumps(plain(parts), default=str).encode()).hexdigest()[:24]


class Journal:
    """Finished episodes in a file of JSON lines, those of earlier runs included."""

    def __init__(self, path: Path) -> None:
        """Read the file; damaged lines are counted, and their episodes are driven again."""
        self._path = path
        self.damaged = 0
        self._done: dict[str, tuple[EpisodeOutcome | None, str]] = {}
        if path.exists():
            for line in path.read_bytes().splitlines():
                self._read(line)
            if not path.read_bytes().endswith(b"\n"):
                # The next episode must not continue a line that was cut off.
                self._end_line()

    def _read(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            row = json.loads(line)
            outcome = EpisodeOutcome.from_json(row["outcome"]) if row["outcome"] is not None else None
            self._done[str(row["key"])] = outcome, str(row["skipped"])
        except (ValueError, KeyError, TypeError, AttributeError):
            self.damaged += 1

    def _end_line(self) -> None:
        with self._path.open("ab") as file:
            file.write(b"\n")

    def __contains__(self, key: str) -> bool:
        """Return whether an episode is finished."""
        return key in self._done

    def get(self, key: str) -> tuple[EpisodeOutcome | None, str]:
        """Return the outcome of a finished episode, or None and the reason why it was skipped."""
        return self._done[key]

    def add(self, key: str, done: EpisodeResult) -> None:
        """Append one episode to the file."""
        task = done.task
        row: dict[str, Any] = {
            "key": key, "scenario": task.scenario, "planner": task.planner, "index": task.index, "seed": task.seed,
            "outcome": done.outcome.to_json() if done.outcome else None, "skipped": done.skipped,
        }  # fmt: skip
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(plain(row)) + "\n")
        self._done[key] = done.outcome, done.skipped

    def missing(self, keyed: Iterable[tuple[str, EpisodeTask]]) -> list[tuple[str, EpisodeTask]]:
        """Return the tasks that are not finished."""
        return [(key, task) for key, task in keyed if key not in self._done]
