"""Verb `report`: closed-loop results as one HTML page that needs nothing beside it."""

from __future__ import annotations

import argparse
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_worldmodel.core.errors import EdgeWorldModelError
from edge_worldmodel.evaluation.arena.results import animation, charts, failures

_COLUMNS = (
    ("success", "success", "{:.1%}"),
    ("contact", "contact", "{:.1%}"),
    ("avoidable_contact", "avoidable by braking", "{:.1%}"),
    ("timeout", "timeout", "{:.1%}"),
    ("time_s", "time [s]", "{:.1f}"),
    ("path_m", "path [m]", "{:.1f}"),
    ("min_distance_m", "nearest [m]", "{:.2f}"),
    ("intrusion_s", "intrusion [s]", "{:.2f}"),
    ("jerk", "jerk [m/s³]", "{:.2f}"),
    ("score", "score", "{:.3f}"),
)
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 78rem; margin: 2rem auto; padding: 0 1rem; color: #1c2128 }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums; font-size: 13px }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #d8dee4; text-align: right; vertical-align: top }
th:first-child, td:first-child { text-align: left }
tr.best td, td.best { background: #eef7ee } small { color: #59636e; white-space: nowrap; display: block }
figure { display: inline-block; margin: .5rem .7rem .5rem 0; width: 290px; vertical-align: top }
figure img { border: 1px solid #d8dee4 } figcaption { font-size: 12px; color: #59636e } img { max-width: 100% }
.touched { white-space: nowrap } summary { cursor: pointer; font-weight: 600 }
.person { color: #4a78b5 } .robot { color: #e67e22 } .goal { color: #3a9a5b }
h2 { margin-top: 2.2rem; border-top: 2px solid #d8dee4; padding-top: .8rem } nav a { margin-right: 1rem }
"""
_LEGEND = """<p>Small print under each figure: 95 % confidence interval (Wilson for shares, bootstrap for means).
Success: within the goal tolerance before the time limit, never having touched anything; contact is what the physics
says, and ends the episode. Avoidable by braking: contacts with people before which the robot, braking hard from the
first scan that shows the person, would have come to rest. Time and path: means over successful episodes. Nearest:
smallest gap between the footprint and anything. Intrusion: time with less than 0.45 m to a person.
Score: BARN's, success &times; OT / clip(time, 2 OT,
8 OT), OT at 2 m/s. Tick: wall time of one decision on the machine below.</p>"""


class ReportError(EdgeWorldModelError):
    """A result file cannot be used."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("files", type=Path, nargs="+", metavar="F", help="results of evaluate closed-loop (JSON)")
    parser.add_argument("--out", type=Path, metavar="HTML", help="page to write (default: beside the first file)")


def run(options: argparse.Namespace) -> int:
    """Write the page."""
    reports = [(path, load(path)) for path in options.files]
    out = options.out or options.files[0].with_suffix(".html")
    out.parent.mkdir(parents=True, exist_ok=True)
    text = page(reports)
    out.write_text(text, encoding="utf-8")
    print(f"report: {out}, {len(text) / 1e6:.1f} MB")
    return 0


def load(path: Path) -> dict[str, Any]:
    """Read a result file.

    Raises:
        ReportError: it is not one.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReportError(f"{path}: cannot be read: {error}") from error
    if not isinstance(report, dict) or report.get("kind") != "closed_loop" or report.get("schema") != 1:
        raise ReportError(f"{path}: not a result of 'evaluate closed-loop' (kind closed_loop, schema 1)")
    return report


def page(reports: Sequence[tuple[Path, Mapping[str, Any]]]) -> str:
    """Return the whole page."""
    parts = ["<h1>Closed-loop arena</h1>", _LEGEND]
    links = [f"<a href='#{_anchor(path, name)}'>{_text(name)}</a>" for path, r in reports for name in r["results"]]
    parts.append(f"<nav>{' '.join(links)}</nav>")
    for path, report in reports:
        if len(report["results"]) > 1:
            parts += [f"<h2>All scenarios: {_text(path.name)}</h2>", _summary(report)]
            parts.append(f"<img alt='success and contact' src='{charts.comparison(report['results'])}'>")
    for path, report in reports:
        parts.append(_origin(path, report))
        kept = _failures(path)
        for name, planners in report["results"].items():
            parts += _scenario(path, report, name, planners)
            parts += _animations(path, kept, name)
        parts.append(_skipped(report))
    head = f"<meta charset='utf-8'><title>Closed-loop arena</title><style>{_STYLE}</style>"
    body = "\n".join(parts)
    return f"<!doctype html>\n<html lang='en'><head>{head}</head><body>\n{body}\n</body></html>\n"


def _summary(report: Mapping[str, Any]) -> str:
    """Return one table of all scenarios and planners: share of success and of contact, and how many episodes."""
    results = report["results"]
    planners = list(dict.fromkeys(planner for figures in results.values() for planner in figures))
    lines = ["<tr><th>success / contact</th>" + "".join(f"<th>{_text(name)}</th>" for name in planners) + "</tr>"]
    for name, by_planner in results.items():
        best = _best(by_planner)
        cells = [_share(by_planner.get(planner), best) for planner in planners]
        lines.append(f"<tr><td>{_text(name)}</td>{''.join(cells)}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _best(planners: Mapping[str, Any]) -> float | None:
    """Return the highest share of success; None where all have the same, and nothing is to be marked."""
    shares = {figures["success"] for figures in planners.values()}
    return max(shares) if len(shares) > 1 else None


def _share(figures: Mapping[str, Any] | None, best: float | None) -> str:
    if figures is None:
        return "<td>–</td>"
    low, high = figures["ci95"]["success"]
    mark = " class='best'" if figures["success"] == best else ""
    return (
        f"<td{mark}>{figures['success']:.0%} / {figures['contact']:.0%}"
        f"<small>{low:.0%} … {high:.0%}, n = {figures['episodes']}</small></td>"
    )


def _text(value: object) -> str:
    return html.escape(str(value))


def _anchor(path: Path, name: str) -> str:
    return _text(f"{path.stem}-{name}")


def _origin(path: Path, report: Mapping[str, Any]) -> str:
    commit = str(report["commit"])[:12] + ("-dirty" if str(report["commit"]).endswith("-dirty") else "")
    return (
        f"<p><b>{_text(path.name)}</b>: {report['episodes']} episodes each"
        f"{_unfinished(report)}, seed {report['seed']}, commit"
        f" {_text(commit)}, code {_text(report['code'])}, {_text(report['machine'])}, {_text(report['created'])}</p>"
    )


def _unfinished(report: Mapping[str, Any]) -> str:
    missing = report.get("unfinished", 0)
    return f" were asked for, {missing} in all not driven yet" if missing else ""


def _scenario(path: Path, report: Mapping[str, Any], name: str, planners: Mapping[str, Any]) -> list[str]:
    about = report["scenarios"].get(name, {})
    rows = [row for row in report["episode_list"] if row["scenario"] == name]
    parts = [
        f"<h2 id='{_anchor(path, name)}'>{_text(name)}</h2>",
        f"<p>{_text(about.get('about', ''))}. Robot {_text(about.get('robot'))}, at most"
        f" {about.get('max_speed_mps')} m/s, {about.get('time_limit_s'):g} s, goal tolerance"
        f" {about.get('goal_tolerance_m')} m.</p>",
        _table(planners),
        f"<img alt='outcomes and times' src='{charts.overview(planners, rows)}'>",
    ]
    differences = report["differences"].get(name, {})
    if differences:
        said = (
            f"{_text(planner)} {100 * d['success']:+.1f} points"
            + (f" [{100 * d['ci95'][0]:+.1f}, {100 * d['ci95'][1]:+.1f}]" if d["ci95"][0] is not None else "")
            for planner, d in differences.items()
        )
        parts.append(f"<p>Success of <i>ours</i> on the same episodes against: {'; '.join(said)}.</p>")
    return parts


def _table(planners: Mapping[str, Any]) -> str:
    head = "".join(f"<th>{_text(title)}</th>" for _, title, _ in _COLUMNS)
    best = _best(planners)
    lines = [f"<tr><th>planner</th>{head}<th>tick p50 / p99 [ms]</th><th>touched</th><th>episodes</th></tr>"]
    for planner, figures in planners.items():
        cells = "".join(f"<td>{_figure(figures, key, form)}</td>" for key, _, form in _COLUMNS)
        ticks = " / ".join("–" if v is None else f"{1e3 * v:.1f}" for v in figures["tick_s"].values())
        touched = ", ".join(f"{what}: {count}" for what, count in figures["touched"].items()) or "–"
        broken = f"<small>broke down: {figures['error']:.1%}</small>" if figures["error"] else ""
        mark = " class='best'" if figures["success"] == best else ""
        lines.append(
            f"<tr{mark}><td>{_text(planner)}{broken}</td>{cells}<td>{ticks}</td>"
            f"<td class='touched'>{_text(touched)}</td><td>{figures['episodes']}</td></tr>"
        )
    return f"<table>{''.join(lines)}</table>"


def _figure(figures: Mapping[str, Any], key: str, form: str) -> str:
    if figures.get(key) is None:  # not known to an older run, or nothing to measure
        return "–"
    low, high = figures["ci95"][key]
    interval = "" if low is None else f"<small>{form.format(low)} … {form.format(high)}</small>"
    return form.format(figures[key]) + interval


def _failures(path: Path) -> list[Path]:
    return sorted(failures.folder_of(path).glob("*.npz"))


def _animations(path: Path, kept: Sequence[Path], name: str) -> list[str]:
    mine = [file for file in kept if file.stem.rsplit("-", 2)[0] == name]
    if not mine:
        return []
    parts = [
        f"<details><summary>Failures kept, as animations: {len(mine)}</summary><p>Three times as fast as real time:"
        " <b class='robot'>robot</b> with its way, <b class='person'>people</b>, <b class='goal'>goal</b>, walls grey;"
        f" the MCAP files lie in <code>{_text(failures.folder_of(path).name)}/</code>.</p>"
    ]
    for file in mine:
        failure = failures.read(file)
        picture = animation.animate(failure)
        title = "&nbsp;".join(_text(failure.title).rsplit(" ", 1))  # the unit stays beside its number
        mcap = f"{failures.folder_of(path).name}/{file.stem}.mcap"
        parts.append(
            f"<figure><img alt='animation' src='{picture}'><figcaption>{title}<br>"
            f"<a href='{_text(mcap)}'>{_text(file.stem)}.mcap</a></figcaption></figure>"
        )
    return [*parts, "</details>"]


def _skipped(report: Mapping[str, Any]) -> str:
    if not report["skipped"]:
        return ""
    lines = "".join(f"<li>{_text(entry['what'])}: {_text(entry['why'])}</li>" for entry in report["skipped"])
    return f"<h2>Skipped: {len(report['skipped'])}</h2><ul>{lines}</ul>"
