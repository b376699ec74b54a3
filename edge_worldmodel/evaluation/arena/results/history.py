"""Results of many commits as one page: a line for each planner over the commits, with intervals as bands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from edge_worldmodel.evaluation.arena.results.page import render
from edge_worldmodel.evaluation.arena.results.result_file import ALL, ReportError, ResultFile, load

_COLOURS = 8
_FORMATS = {"success": "{:.0%}", "contact": "{:.0%}", "score": "{:.2f}", "tick": "{:.1f} ms"}


class Point(NamedTuple):
    """A figure of one commit; ``low`` and ``high`` are NaN where there is no interval."""

    commit: int
    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Line:
    """One planner in one plot, in percent of the plot's width and height from the lower left corner."""

    planner: str
    colour: int
    dots: Sequence[tuple[float, float, str]]
    """x, y and a text."""
    band: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Plot:
    """One figure over the commits."""

    title: str
    ticks: Sequence[tuple[float, str]]
    lines: Sequence[Line]


@dataclass(frozen=True)
class Section:
    """The results of one form, or of runs without one."""

    form: str
    commits: Sequence[str]
    planners: Mapping[str, int]
    """The planners and the numbers of their colours."""
    plots: Mapping[str, Sequence[Plot]]
    """Plots by scenario."""


def history_page(folder: Path) -> str:
    """Return a page of all results in a folder, in the order of their commits.

    Raises:
        ReportError: there is no result.
    """
    loaded = [_load(path) for path in sorted(folder.glob("*.json"))]
    files = [file for file in loaded if isinstance(file, ResultFile)]
    skipped = [error for error in loaded if isinstance(error, str)]
    if not files:
        raise ReportError(f"{folder}: no result of 'evaluate closed-loop' (*.json) in this folder")
    forms = sorted({_form(file) for file in files}, key=lambda form: (form not in ("short", "tiny"), form))
    sections = [_section(form, [file for file in files if _form(file) == form]) for form in forms]
    return render("history.html", sections=sections, skipped=skipped, all_scenarios=ALL)


def _load(path: Path) -> ResultFile | str:
    """Return a result, or the error of a file that is none."""
    try:
        return load(path)
    except ReportError as error:
        return str(error)


def _form(file: ResultFile) -> str:
    """Return the form of a run, with the settings that differ from those of the commit."""
    settings = ", ".join(f"{name}={value}" for name, value in file.content.get("settings", {}).items())
    return ", ".join(part for part in (str(file.content.get("form", "")), settings) if part)


def _date(file: ResultFile) -> str:
    """Return the date of the commit; of the run for old files, which do not record it."""
    return str(file.content.get("committed") or file.content["created"])


def _section(form: str, files: Sequence[ResultFile]) -> Section:
    newest = {
        str(file.content["commit"]): file for file in sorted(files, key=lambda file: str(file.content["created"]))
    }
    ordered = sorted(newest.values(), key=_date)
    colours = {name: i % _COLOURS for i, name in enumerate(dict.fromkeys(n for file in ordered for n in file.planners))}
    # Results of an earlier version of a scenario are left out.
    versions = {name: _version(file, name) for file in ordered for name in file.results}
    current = {
        name: [file.results.get(name, {}) if _version(file, name) == version else {} for file in ordered]
        for name, version in versions.items()
    }
    everywhere = [name for name, figures in current.items() if all(figures)]
    plots = {name: _plots(figures, ordered, colours) for name, figures in current.items()}
    if len(everywhere) > 1:
        totals = [_totals(_restricted(file, everywhere)) for file in ordered]
        plots = {ALL: _plots(totals, ordered, colours), **plots}
    return Section(form, [f"{_date(file)[:10]} {file.commit}" for file in ordered], colours, plots)


def _version(file: ResultFile, scenario: str) -> Any:
    return file.scenarios.get(scenario, {}).get("digest")


def _restricted(file: ResultFile, scenarios: Sequence[str]) -> ResultFile:
    """Return a result with some scenarios only."""
    content = dict(file.content)
    content["results"] = {name: file.results[name] for name in scenarios}
    content["episode_list"] = [row for row in file.content.get("episode_list", []) if row["scenario"] in scenarios]
    return ResultFile(file.path, content)


def _totals(file: ResultFile) -> dict[str, dict[str, Any]]:
    """Return the figures over all scenarios; the tick is the mean of the scenarios' medians."""
    found = {}
    for name, figures in file.totals.items():
        medians = [of[name]["tick_s"]["p50"] for of in file.results.values() if of[name]["tick_s"]["p50"] is not None]
        found[name] = {**figures, "tick_s": {"p50": sum(medians) / len(medians) if medians else None}}
    return found


def _plots(figures: Sequence[Mapping[str, Any]], files: Sequence[ResultFile], colours: Mapping[str, int]) -> list[Plot]:
    """Return the plots of the figures that each file has of its planners."""
    plots = []
    for key, form in _FORMATS.items():
        points = {
            name: [point for i, of in enumerate(figures) if name in of for point in _points(i, of[name], key)]
            for name in colours
        }
        known = {name: found for name, found in points.items() if found}
        if known:
            plots.append(_plot(key, form, known, files, colours))
    return plots


def _points(commit: int, figures: Mapping[str, Any], key: str) -> list[Point]:
    """Return the point of a planner at one commit, nothing where the figure is unknown."""
    if key == "tick":
        median_s = figures["tick_s"]["p50"]
        return [] if median_s is None else [Point(commit, 1e3 * median_s)]
    if figures.get(key) is None:
        return []
    bounds = figures["ci95"].get(key, (None, None))
    low, high = (math.nan if bound is None else float(bound) for bound in bounds)
    return [Point(commit, float(figures[key]), low, high)]


def _plot(
    key: str, form: str, points: Mapping[str, Sequence[Point]], files: Sequence[ResultFile], colours: Mapping[str, int]
) -> Plot:
    numbers = [number for found in points.values() for p in found for number in p[1:] if not math.isnan(number)]
    top = 1.0 if key in ("success", "contact") else _rounded_up(max(numbers))

    def place(commit: int, value: float) -> tuple[float, float]:
        x = 50.0 if len(files) == 1 else 100.0 * commit / (len(files) - 1)
        return round(x, 2), round(100.0 * value / top, 2)

    lines = []
    for name, found in points.items():
        dots = [(*place(p.commit, p.value), f"{name}, {files[p.commit].commit}: {_text(p, form)}") for p in found]
        bounded = [p for p in found if not math.isnan(p.low)]
        upper = [place(p.commit, p.high) for p in bounded]
        lines.append(Line(name, colours[name], dots, upper + [place(p.commit, p.low) for p in reversed(bounded)]))
    ticks = [(share * 100.0, form.format(share * top)) for share in (0.0, 0.5, 1.0)]
    return Plot({"tick": "tick (median)"}.get(key, key), ticks, lines)


def _text(point: Point, form: str) -> str:
    interval = "" if math.isnan(point.low) else f" ({form.format(point.low)} to {form.format(point.high)})"
    return form.format(point.value) + interval


def _rounded_up(value: float) -> float:
    """Return the next number of one digit, as the end of an axis."""
    if value <= 0.0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return math.ceil(value / unit - 1e-9) * unit
