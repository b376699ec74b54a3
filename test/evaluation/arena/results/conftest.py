"""Result files made of synthetic outcomes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge_worldmodel.evaluation.arena.outcome import EpisodeOutcome
from edge_worldmodel.evaluation.arena.results import result_file
from edge_worldmodel.evaluation.arena.results.statistics import summarize


def write_result(path: Path, cells: dict[tuple[str, str], list[EpisodeOutcome]], **more: Any) -> result_file.ResultFile:
    """Write and load the result of outcomes by scenario and planner; ``more`` replaces other contents."""
    results: dict[str, Any] = {}
    rows = []
    for (scenario, planner), outcomes in cells.items():
        results.setdefault(scenario, {})[planner] = summarize(outcomes)
        rows += [
            {"scenario": scenario, "planner": planner, "index": index, **outcome.to_json()}
            for index, outcome in enumerate(outcomes)
        ]
    content = {
        "kind": "closed_loop", "schema": 1, "results": results, "episode_list": rows, "episodes": 4, "seed": 0,
        "commit": "c", "code": "", "machine": "", "created": "", "scenarios": {}, "skipped": [], **more,
    }  # fmt: skip
    path.write_text(json.dumps(content))
    return result_file.load(path)
