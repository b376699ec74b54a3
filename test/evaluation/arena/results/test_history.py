from __future__ import annotations

from dataclasses import replace

import pytest

from edge_worldmodel.evaluation.arena.results import history
from edge_worldmodel.evaluation.arena.results.result_file import ALL, ReportError

from .conftest import write_result
from .test_report import CONTACT, SUCCESS


@pytest.fixture
def folder(tmp_path):
    def write(commit, date, created, crowd, **more):
        cells = {("crowd", "ours"): crowd, ("circle", "ours"): [replace(SUCCESS, tick_bins={"-200": 3})]}
        path = tmp_path / f"{commit}-{created}.json"
        write_result(path, cells | more, commit=commit, committed=date, created=created, form="short")

    write("new", "2026-02-02", "1", [SUCCESS, SUCCESS])
    write("old", "2026-01-01", "2", [CONTACT, SUCCESS])
    write("new", "2026-02-02", "0", [CONTACT, CONTACT])
    (tmp_path / "other.json").write_text("{}")
    return tmp_path


def section_of(folder):
    files = [history.load(path) for path in sorted(folder.glob("[no]*-*.json"))]
    return history._section("short", files)


def test_the_lines_go_through_the_commits_by_date(folder):
    section = section_of(folder)
    assert section.commits == ["2026-01-01 old", "2026-02-02 new"]
    success, contact, score, tick = section.plots["crowd"] + section.plots["circle"][3:]
    (line,) = success.lines
    assert [dot[:2] for dot in line.dots] == [(0.0, 50.0), (100.0, 100.0)], "the newest result of a commit counts"
    assert [point[0] for point in line.band] == [0.0, 100.0, 100.0, 0.0]
    assert line.band[0][1] > 50.0 > line.band[3][1]
    assert [dot[1] for dot in contact.lines[0].dots] == [50.0, 0.0]
    assert score.title == "score" and tick.title == "tick (median)"
    assert tick.lines[0].dots[0][2].endswith("18.3 ms") and not tick.lines[0].band


def test_all_scenarios_are_those_that_every_result_has(folder):
    cells = {("crowd", "ours"): [SUCCESS], ("carts", "ours"): [CONTACT]}
    write_result(folder / "next-0.json", cells, commit="next", committed="2026-03-03", created="3", form="short")
    assert ALL not in section_of(folder).plots, "only the crowd is in all of them"
    (folder / "next-0.json").unlink()
    success, *_, tick = section_of(folder).plots[ALL]
    assert tick.lines[0].dots[0][2].endswith("18.3 ms"), "where the time is known"
    dots = success.lines[0].dots
    assert [dot[1] for dot in dots] == [pytest.approx(200 / 3, abs=0.01), 100.0]


def test_results_of_an_earlier_version_of_a_scenario_are_left_out(folder):
    cells = {("crowd", "ours"): [SUCCESS], ("circle", "ours"): [SUCCESS]}
    more = {"commit": "next", "committed": "2026-03-03", "created": "3", "form": "short"}
    write_result(folder / "next-0.json", cells, **more, scenarios={"crowd": {"digest": "another"}})
    plots = section_of(folder).plots
    assert [len(plots[name][0].lines[0].dots) for name in ("crowd", "circle")] == [1, 3]


def test_results_with_other_settings_are_another_form(tmp_path):
    file = write_result(tmp_path / "a.json", {}, form="short", settings={"dwa.margin_m": 0.1})
    assert history._form(file) == "short, dwa.margin_m=0.1"


def test_forms_have_sections_of_their_own_and_other_files_are_named(folder):
    write_result(folder / "x.json", {("crowd", "dwa"): [SUCCESS]}, created="9", form="tiny")
    page = history.history_page(folder)
    assert page.index("Short form") < page.index("Tiny form")
    assert "other.json" in page
    assert page.count("<polyline") == 4 + 4 + 3 + 3, "the two crowds have no times of ticks"


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(ReportError, match="no result"):
        history.history_page(tmp_path)


def test_an_axis_ends_at_a_round_number():
    assert [history._rounded_up(value) for value in (0.0, 0.32, 1.0, 23.0)] == pytest.approx([1.0, 0.4, 1.0, 30.0])
