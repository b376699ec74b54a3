"""Verb `report`: closed-loop results as one HTML page that needs no other file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from edge_worldmodel.core.errors import EdgeWorldModelError
from edge_worldmodel.evaluation.arena.results import animation, charts, failures
from edge_worldmodel.evaluation.controllers import CLAIRVOYANT

_COLUMNS = (
    ("success", "success", "{:.1%}"),
    ("contact", "contact", "{:.1%}"),
    ("contact_by_robot", "by robot", "{:.1%}"),
    ("contact_by_other", "by other", "{:.1%}"),
    ("avoidable_contact", "avoidable", "{:.1%}"),
    ("energy_j", "energy [J]", "{:.1f}"),
    ("timeout", "timeout", "{:.1%}"),
    ("time_s", "time [s]", "{:.1f}"),
    ("path_m", "path [m]", "{:.1f}"),
    ("min_distance_m", "clearance [m]", "{:.2f}"),
    ("intrusion_s", "intrusion [s]", "{:.2f}"),
    ("intrusion_by_robot_s", "by robot [s]", "{:.2f}"),
    ("near_s", "near [s]", "{:.2f}"),
    ("near_by_robot_s", "by robot [s]", "{:.2f}"),
    ("stops", "stops", "{:.1f}"),
    ("freezing_s", "freezing [s]", "{:.1f}"),
    ("jerk", "jerk [m/s³]", "{:.2f}"),
    ("score", "score", "{:.3f}"),
    ("regret_success", "regret", "{:.1%}"),
    ("regret_s", "regret [s]", "{:.1f}"),
)
"""Key of a figure in the result file, heading, format."""


class ReportError(EdgeWorldModelError):
    """A result file cannot be used."""


@dataclass(frozen=True)
class ResultFile:
    """A result file as the template reads it: its keys are attributes."""

    path: Path
    content: Mapping[str, Any]

    def __getattr__(self, key: str) -> Any:
        try:
            return self.content[key]
        except KeyError:
            raise AttributeError(key) from None

    @property
    def commit(self) -> str:
        """Short hash of the commit, marked where files had been changed."""
        whole = str(self.content["commit"])
        return whole[:12] + ("-dirty" if whole.endswith("-dirty") else "")

    @property
    def unfinished(self) -> int:
        """Number of missing episodes; 0 for old files, which do not record it."""
        return int(self.content.get("unfinished", 0))

    @property
    def planners(self) -> list[str]:
        """Names of the planners of any scenario."""
        return list(dict.fromkeys(planner for figures in self.content["results"].values() for planner in figures))

    def rows(self, scenario: str) -> list[Mapping[str, Any]]:
        """Return the episodes of a scenario."""
        return [row for row in self.content["episode_list"] if row["scenario"] == scenario]

    def failures(self, scenario: str) -> list[Path]:
        """Return the recorded failures of a scenario."""
        files = sorted(failures.folder_of(self.path).glob("*.npz"))
        return [file for file in files if file.stem.rsplit("-", 2)[0] == scenario]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("files", type=Path, nargs="+", metavar="F", help="results of evaluate closed-loop (JSON)")
    parser.add_argument("--out", type=Path, metavar="HTML", help="page to write (default: beside the first file)")


def run(options: argparse.Namespace) -> int:
    """Write the page."""
    reports = [load(path) for path in options.files]
    out = options.out or options.files[0].with_suffix(".html")
    out.parent.mkdir(parents=True, exist_ok=True)
    text = page(reports)
    out.write_text(text, encoding="utf-8")
    print(f"report: {out}, {len(text) / 1e6:.1f} MB")
    return 0


def load(path: Path) -> ResultFile:
    """Read a result file.

    Raises:
        ReportError: it cannot be read, or is something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReportError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict) or content.get("kind") != "closed_loop" or content.get("schema") != 1:
        raise ReportError(f"{path}: not a result of 'evaluate closed-loop' (kind closed_loop, schema 1)")
    return ResultFile(path, content)


def page(reports: Sequence[ResultFile]) -> str:
    """Return the whole page."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    template = environment.get_template("report.html")
    return template.render(
        reports=reports,
        columns=_COLUMNS,
        anchor=lambda report, scenario: f"{report.path.stem}-{scenario}",
        best=_best,
        comparison=charts.comparison,
        overview=charts.overview,
        read_failure=failures.read,
        animate=animation.animate,
    )


def _best(planners: Mapping[str, Any]) -> float | None:
    """Return the highest share of success of those that do not know the future; None if all of them have the same."""
    shares = {figures["success"] for planner, figures in planners.items() if planner != CLAIRVOYANT}
    return max(shares) if len(shares) > 1 else None
