"""A result file of the arena with all that the page derives from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from edge_worldmodel.core.errors import EdgeWorldModelError
from edge_worldmodel.evaluation.arena.outcome import EpisodeOutcome
from edge_worldmodel.evaluation.arena.results import failures
from edge_worldmodel.evaluation.arena.results.pairs import Comparison, compare
from edge_worldmodel.evaluation.arena.results.statistics import summarize
from edge_worldmodel.evaluation.controllers import CLAIRVOYANT

OURS = "ours"
ALL = "all scenarios"
_PRIVILEGED = frozenset({CLAIRVOYANT, "orca"})
"""Planners that know where people are; no incumbent for a robot that has to see them."""
_ROLES = "ours", "incumbent", "privileged"
_NEEDED = ("results", "commit", "code", "created", "machine", "seed", "episodes", "skipped")
_MAX_EPISODES_LISTED = 20_000


class ReportError(EdgeWorldModelError):
    """A result file cannot be used."""


class PairedRow(NamedTuple):
    """A row of the paired chart: `ours` minus ``other`` on one scenario, or on all of them."""

    scenario: str
    other: str
    comparison: Comparison


class Replayed(NamedTuple):
    """A recorded failure that the page shows."""

    file: Path
    scenario: str
    planner: str
    episode: int
    ending: str
    touched: str
    about: str


def role(planner: str) -> str:
    """Return whether a planner is "ours", an "incumbent", or "privileged" because it knows more than a robot can."""
    if planner in _PRIVILEGED or "oracle" in planner:
        return "privileged"
    return "ours" if planner.startswith(OURS) else "incumbent"


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
        return (whole[:12] or "unknown") + ("-dirty" if whole.endswith("-dirty") else "")

    @property
    def scenarios(self) -> Mapping[str, Any]:
        """Details of the scenarios by name."""
        details: Mapping[str, Any] = self.content.get("scenarios", {})
        return details

    @property
    def unfinished(self) -> int:
        """Number of missing episodes; 0 for old files, which do not record it."""
        return int(self.content.get("unfinished", 0))

    @property
    def cost(self) -> str:
        """Time of the run that drove the episodes, in words; empty for old files and runs that drove nothing."""
        wall_s, driven = self.content.get("wall_s"), self.content.get("driven")
        if not wall_s or not driven:
            return ""
        processes = self.content.get("processes", 1)
        return f"{driven} episodes in {wall_s / 60:.1f} min with {processes} process{'es' * (processes > 1)}"

    @cached_property
    def outcomes(self) -> Mapping[tuple[str, str], Mapping[int, EpisodeOutcome]]:
        """Outcomes by scenario and planner, and by the index of the episode."""
        found: dict[tuple[str, str], dict[int, EpisodeOutcome]] = {}
        for row in self.content.get("episode_list", []):
            outcome = EpisodeOutcome.from_json(row)
            found.setdefault((row["scenario"], row["planner"]), {})[row["index"]] = outcome
        return found

    @cached_property
    def totals(self) -> Mapping[str, Mapping[str, Any]]:
        """Figures over all scenarios, of the planners that have driven each of them."""
        found = {}
        for name in self._names:
            cells = [self.outcomes.get((scenario, name), {}) for scenario in self.content["results"]]
            if all(cells):
                found[name] = summarize([outcome for cell in cells for outcome in cell.values()])
        return found

    @property
    def _names(self) -> list[str]:
        return list(dict.fromkeys(planner for figures in self.content["results"].values() for planner in figures))

    @cached_property
    def planners(self) -> list[str]:
        """Names of the planners: `ours`, its variants, incumbents and others, each by their success."""

        def place(name: str) -> tuple[bool, int, bool, float]:
            success = self.totals[name]["success"] if name in self.totals else 0.0
            return name != OURS, _ROLES.index(role(name)), name == CLAIRVOYANT, -success

        return sorted(self._names, key=place)

    @property
    def tiles(self) -> list[tuple[str, str, Mapping[str, Any]]]:
        """Planner, note and figures over all scenarios of `ours`, the best incumbent and the clairvoyant."""
        incumbents = [name for name in self.planners if role(name) == "incumbent" and name in self.totals][:1]
        chosen = {
            OURS: "", **dict.fromkeys(incumbents, "best incumbent over all"), CLAIRVOYANT: "knows the future"
        }  # fmt: skip
        return [(name, note, self.totals[name]) for name, note in chosen.items() if name in self.totals]

    def counts(self, scenario: str) -> str:
        """Return the number of episodes of each planner on a scenario."""
        counts = sorted({figures["episodes"] for figures in self.content["results"][scenario].values()})
        return "–".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))

    @cached_property
    def paired(self) -> Mapping[str, Sequence[PairedRow]]:
        """`ours` minus the best incumbent of each scenario, and minus each other planner."""
        results = self.content["results"]
        rows = {"the best incumbent": self._paired_rows(self._best_incumbents())}
        for name in self.planners:
            if name not in (OURS, CLAIRVOYANT):
                rows[name] = self._paired_rows(dict.fromkeys(results, name))
        return {name: found for name, found in rows.items() if found}

    def _best_incumbents(self) -> Mapping[str, str]:
        chosen: dict[str, str] = {}
        for scenario, figures in self.content["results"].items():
            success = {name: figures[name]["success"] for name in self.planners if name in figures}
            incumbents = [name for name in success if role(name) == "incumbent"]
            if incumbents:
                chosen[scenario] = max(incumbents, key=success.__getitem__)
        return chosen

    def _paired_rows(self, others: Mapping[str, str]) -> list[PairedRow]:
        """Return the comparison on each scenario with the planner named for it; if several, first over all of them."""
        rows = []
        ours: dict[tuple[str, int], EpisodeOutcome] = {}
        theirs: dict[tuple[str, int], EpisodeOutcome] = {}
        for scenario, other in others.items():
            a, b = (self.outcomes.get((scenario, name), {}) for name in (OURS, other))
            comparison = compare(a, b)
            if comparison is not None:
                rows.append(PairedRow(scenario, other, comparison))
                ours |= {(scenario, index): outcome for index, outcome in a.items()}
                theirs |= {(scenario, index): outcome for index, outcome in b.items()}
        total = compare(ours, theirs) if len(rows) > 1 else None
        return rows if total is None else [PairedRow(ALL, "", total), *rows]

    def power(self, scenario: str) -> PairedRow | None:
        """Return the comparison with the best incumbent of a scenario, None if it detects nothing."""
        rows = self.paired.get("the best incumbent", ())
        found = next((row for row in rows if row.scenario == scenario), None)
        return found if found is not None and found.comparison.detectable > 0.0 else None

    def replays(self, limit: int) -> list[Replayed]:
        """Return the worst recorded failures: the worst of every planner and scenario, then the second worst."""
        found = []
        for file in sorted(failures.folder_of(self.path).glob("*.npz")):
            scenario, planner, number = file.stem.rsplit("-", 2)
            outcome = self.outcomes.get((scenario, planner), {}).get(int(number))
            if outcome is not None:
                shown = Replayed(
                    file=file,
                    scenario=scenario,
                    planner=planner,
                    episode=int(number),
                    ending=outcome.ending,
                    touched=outcome.touched,
                    about=_about(outcome, int(number)),
                )
                found.append((failures.severity(outcome), shown))
        found.sort(key=lambda entry: entry[0], reverse=True)
        places: dict[tuple[str, str], int] = {}
        ranked = []
        for _, shown in found:
            cell = shown.scenario, shown.planner
            places[cell] = places.get(cell, -1) + 1
            ranked.append((places[cell], role(shown.planner) != "ours", shown))
        return [shown for _, _, shown in sorted(ranked, key=lambda entry: entry[:2])[:limit]]

    def episode_rows(self) -> list[list[Any]]:
        """Return scenario, planner, index, ending, touched, by whom, avoidable, time and energy of the episodes."""
        keys = ("scenario", "planner", "index", "ending", "touched", "contact_by", "avoidable", "time_s", "energy_j")
        rows = sorted(self.content.get("episode_list", []), key=lambda row: row["ending"] == "success")
        return [
            [round(value, 1) if isinstance(value, float) else value for value in map(row.get, keys)]
            for row in rows[:_MAX_EPISODES_LISTED]
        ]


def _about(outcome: EpisodeOutcome, index: int) -> str:
    """Return how an episode ended, in words."""
    how = {"timeout": "time over", "error": outcome.error or "planner failed"}.get(outcome.ending, "")
    if outcome.ending == "contact":
        moved = {"robot": "robot moved in", "other": "was moved into"}.get(outcome.contact_by, "")
        energy = "" if outcome.energy_j != outcome.energy_j else f"{outcome.energy_j:.0f} J"
        avoidable = {1.0: "avoidable", 0.0: "not avoidable"}.get(outcome.avoidable, "")
        how = ", ".join(part for part in (f"contact with a {outcome.touched}", moved, avoidable, energy) if part)
    return f"episode {index}, {how} after {outcome.time_s:.1f} s"


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
    missing = [key for key in _NEEDED if key not in content]
    if missing:
        raise ReportError(f"{path}: incomplete: {', '.join(missing)} missing; write it again with evaluate closed-loop")
    return ResultFile(path, content)
