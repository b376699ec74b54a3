"""Verb `report`: closed-loop results as one HTML page that needs no other file."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edge_worldmodel.evaluation.arena.results import failures
from edge_worldmodel.evaluation.arena.results.history import history_page
from edge_worldmodel.evaluation.arena.results.page import render
from edge_worldmodel.evaluation.arena.results.replay import replay
from edge_worldmodel.evaluation.arena.results.result_file import ALL, ReportError, ResultFile, load, role
from edge_worldmodel.evaluation.controllers import CLAIRVOYANT


class Column(NamedTuple):
    """A column of a table: key of the figure in the result file, heading, format, factor of the shown number."""

    key: str
    title: str
    format: str
    factor: float = 1.0


MAIN = (
    Column("success", "success [%]", "{:.0f}", 100.0),
    Column("contact", "contact [%]", "{:.0f}", 100.0),
    Column("contact_by_robot", "robot moved in [%]", "{:.0f}", 100.0),
    Column("contact_by_other", "other moved in [%]", "{:.0f}", 100.0),
    Column("avoidable_contact", "avoidable contact [%]", "{:.0f}", 100.0),
    Column("time_s", "time [s]", "{:.1f}"),
    Column("regret_success", "regret [%]", "{:.0f}", 100.0),
    Column("regret_s", "regret [s]", "{:+.1f}"),
)
MORE = (
    Column("timeout", "timeout [%]", "{:.0f}", 100.0),
    Column("energy_j", "contact energy [J]", "{:.1f}"),
    Column("path_m", "path [m]", "{:.1f}"),
    Column("min_distance_m", "clearance [m]", "{:.2f}"),
    Column("intrusion_s", "intrusion [s]", "{:.2f}"),
    Column("intrusion_by_robot_s", "intrusion by robot [s]", "{:.2f}"),
    Column("near_s", "near [s]", "{:.1f}"),
    Column("near_by_robot_s", "near by robot [s]", "{:.1f}"),
    Column("stops", "stops", "{:.1f}"),
    Column("freezing_s", "freezing [s]", "{:.1f}"),
    Column("jerk", "jerk [m/s³]", "{:.2f}"),
    Column("score", "score", "{:.3f}"),
)
MEASURES = {
    "success": "success",
    "contact": "contact",
    "contact_by_robot": "robot moved in",
    "avoidable_contact": "avoidable contact",
}
"""Shares that the small charts can show, with their names."""
_ANIMATIONS = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("files", type=Path, nargs="*", metavar="F", help="results of evaluate closed-loop (JSON)")
    parser.add_argument("--history", type=Path, metavar="DIR", help="draw all results of a folder over their commits")
    parser.add_argument("--out", type=Path, metavar="HTML", help="page to write (default: beside the results)")
    parser.add_argument(
        "--animations", type=int, default=_ANIMATIONS, metavar="N", help="failures to show (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Write the page."""
    if bool(options.files) == bool(options.history):
        raise ReportError("give either result files, or --history with a folder of them")
    if options.history:
        out, text = options.out or options.history / "history.html", history_page(options.history)
    else:
        out = options.out or options.files[0].with_suffix(".html")
        text = page([load(path) for path in options.files], options.animations)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    print(f"report: {out}, {len(text) / 1e6:.1f} MB")
    return 0


def page(reports: Sequence[ResultFile], animations: int = _ANIMATIONS) -> str:
    """Return the whole page; ``animations``: how many failures of each file it shows at most."""
    return render(
        "report.html",
        reports=reports,
        scenarios=dict.fromkeys(name for report in reports for name in report.results),
        planners=dict.fromkeys(name for report in reports for name in report.planners),
        main_columns=MAIN,
        more_columns=MORE,
        measures=MEASURES,
        clairvoyant=CLAIRVOYANT,
        all_scenarios=ALL,
        anchor=lambda report, scenario: f"{report.path.stem}-{scenario}",
        role=role,
        best=_best,
        animations=animations,
        replay=lambda shown: replay(failures.read(shown.file)),
    )


def _best(planners: Mapping[str, Any]) -> float | None:
    """Return the highest share of success of planners that could run on a robot; None if all of them have the same."""
    shares = {figures["success"] for planner, figures in planners.items() if role(planner) != "privileged"}
    return max(shares) if len(shares) > 1 else None
