"""Figures are judged as written: a missed, unknown or senseless level never passes; reports are compared fairly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_worldmodel import cli
from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.evaluation.bench import bench
from edge_worldmodel.evaluation.bench.service_levels import differing_conditions, judge, read_levels, slower

CONFIG = Path(__file__).resolve().parents[3] / "config" / "slo.yaml"
FIGURES = {"tick": {"p50_s": 0.05, "p95_s": 0.08}, "memory": {"peak_mb": 120.0}}


def _levels(tmp_path: Path, text: str) -> dict[str, dict[str, float]]:
    path = tmp_path / "slo.yaml"
    path.write_text(text)
    return read_levels(path)


def test_levels_are_kept_up_to_the_limit() -> None:
    kept, missed = judge(FIGURES, {"tick": {"p95_s": 0.08}, "memory": {"peak_mb": 119.0}})
    assert kept.kept and kept.line() == "kept    tick.p95_s: 0.08, at most 0.08"
    assert not missed.kept and missed.line().startswith("MISSED  memory.peak_mb: 120")
    assert not judge({"tick": {"p95_s": float("nan")}}, {"tick": {"p95_s": 0.08}})[0].kept


def test_a_level_that_nobody_measures_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"tick.p95: not measured; there are tick.p50_s, tick.p95_s, memory.peak_mb"):
        judge(FIGURES, {"tick": {"p95": 0.08}})


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "holds no service levels"),
        ("- tick", "holds no service levels"),
        ("tick: 0.1", "tick.None = 0.1"),
        ("tick: {p95_s: fast}", "tick.p95_s = 'fast', must be a number above 0"),
        ("tick: {p95_s: 0}", "tick.p95_s = 0"),
        ("tick: {p95_s: true}", "tick.p95_s = True"),
        ("tick: {p95_s: .nan}", "tick.p95_s = nan"),
        ("tick: [", "cannot be read"),
    ],
)
def test_nonsense_is_refused(tmp_path: Path, text: str, cause: str) -> None:
    with pytest.raises(ConfigError, match=cause):
        _levels(tmp_path, text)


def test_slower_names_medians_and_memory_beyond_the_tolerance() -> None:
    before = {"tick": {"p50_s": 0.04, "p95_s": 0.01}, "memory": {"peak_mb": 119.0}}
    assert slower(FIGURES, before, 0.2) == ["tick.p50_s: 0.05, 1.25 times the 0.04 before"]
    assert not slower(FIGURES, before, 0.3)
    told = differing_conditions({"machine": "a", "threads": 2}, {"machine": "b", "threads": 2})
    assert told == ["machine: 'b' before, 'a' now"]


def test_the_verb_measures_and_judges_the_shipped_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    easy, hard, report = tmp_path / "easy.yaml", tmp_path / "hard.yaml", tmp_path / "report.json"
    # The very parts and names of the shipped file, so that none of them can go unmeasured.
    shipped = read_levels(CONFIG)
    easy.write_text(json.dumps({part: {name: 1e6 for name in wanted} for part, wanted in shipped.items()}))
    hard.write_text("tick: {p95_s: 0.000001}")
    few = ["bench", "--rounds", "2", "--maneuvers", "3", "--futures", "1", "--steps", "1", "--threads", "1"]
    assert cli.main([*few, "--slo", str(easy), "--json", str(report)]) == 0
    told = json.loads(report.read_text())
    assert told["figures"]["tick"]["samples"] == 2 and told["figures"]["plan"]["p50_s"] > 0
    assert all(verdict["kept"] for verdict in told["service_levels"])
    assert cli.main([*few, "--slo", str(hard)]) == 1
    assert "MISSED  tick.p95_s" in capsys.readouterr().out
    assert cli.main([*few, "--slo", str(hard), "--cpu-time"]) == 2


def test_against_an_earlier_report(capsys: pytest.CaptureFixture[str]) -> None:
    now = {"machine": "a", "figures": FIGURES}
    quick = {"machine": "a", "commit": "c", "figures": {"tick": {"p50_s": 0.01}}}
    assert bench._compare(now, quick, 0.2) and "SLOWER  tick.p50_s" in capsys.readouterr().out
    assert not bench._compare(now, {**quick, "machine": "b"}, 0.2)
    assert "not comparable, so not judged: machine" in capsys.readouterr().out
    assert not bench._compare(now, now, 0.2)
