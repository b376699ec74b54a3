from __future__ import annotations

import base64
import io
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edge_worldmodel.evaluation.arena.outcome import EpisodeOutcome, Trace
from edge_worldmodel.evaluation.arena.results import report, result_file
from edge_worldmodel.evaluation.arena.results.failures import Failure, folder_of, severity
from edge_worldmodel.evaluation.arena.results.pairs import compare
from edge_worldmodel.evaluation.arena.results.replay import replay

from .conftest import write_result

SUCCESS = EpisodeOutcome(
    ending="success", label="", time_s=9.0, path_m=8.0, min_distance_m=0.3, person_distance_m=0.4, intrusion_s=0.0,
    jerk=1.0, score=0.4, goal_distance_m=0.1,
)  # fmt: skip
CONTACT = replace(
    SUCCESS, ending="contact", touched="person", avoidable=1.0, contact_by="robot", energy_j=20.0, relative_mps=1.0
)
TIMEOUT = replace(SUCCESS, ending="timeout")


@pytest.fixture
def results(tmp_path):
    cells = {
        ("crowd", "dwa"): [SUCCESS, CONTACT, CONTACT, TIMEOUT],
        ("crowd", "ours"): [SUCCESS, SUCCESS, SUCCESS, TIMEOUT],
        ("crowd", "orca"): [SUCCESS] * 4,
        ("crowd", "clairvoyant"): [SUCCESS] * 4,
        ("circle", "ours"): [CONTACT, CONTACT],
        ("circle", "dwa"): [SUCCESS, CONTACT],
        ("circle", "mppi_cv"): [SUCCESS, SUCCESS],
    }
    return write_result(tmp_path / "f.json", cells, commit="<i>", skipped=[{"what": "<script>", "why": "&"}])


def test_ours_is_compared_with_the_best_incumbent_that_has_to_see(results):
    total, *rows = results.paired["the best incumbent"]
    assert [(row.scenario, row.other) for row in rows] == [("crowd", "dwa"), ("circle", "mppi_cv")]
    assert rows[0].comparison == compare(results.outcomes["crowd", "ours"], results.outcomes["crowd", "dwa"])
    assert [row.comparison.success for row in rows] == [0.5, -1.0]
    assert (total.scenario, total.comparison.episodes, total.comparison.success) == (result_file.ALL, 6, 0.0)
    assert "clairvoyant" not in results.paired
    assert [row.scenario for row in results.paired["mppi_cv"]] == ["circle"]


def test_totals_are_over_planners_that_drove_everywhere(results):
    assert set(results.totals) == {"ours", "dwa"}
    assert results.planners[0] == "ours" and results.planners[-1] == "clairvoyant"
    assert [(name, figures["success"]) for name, _, figures in results.tiles] == [("ours", 0.5), ("dwa", 1 / 3)]


def test_the_page_has_every_part(results):
    page = report.page([results])
    assert page.count('class="panel"') == 2
    assert page.count('class="paired"') == 1 + 3, "the best incumbent, and each planner but the clairvoyant"
    assert page.count("<summary>More measures</summary>") == 2
    assert "<option>mppi_cv</option>" in page
    assert '["crowd","dwa",1,"contact","person","robot",1.0,9.0,20.0]' in page
    assert "http" not in page and "src=" not in page.replace(".src=", "").replace("picture.src =", "")


def test_texts_of_a_result_are_not_taken_as_html(results):
    page = report.page([results])
    assert "&lt;script&gt;: &amp;" in page and "commit &lt;i&gt;" in page
    assert "<script>:" not in page


def test_a_file_without_results_gives_a_page(tmp_path):
    assert "Closed-loop arena" in report.page([write_result(tmp_path / "f.json", {})])


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "other.json"
    for text, reason in (("{}", "not a result"), ('{"kind": "closed_loop", "schema": 1}', "results, commit")):
        path.write_text(text)
        with pytest.raises(result_file.ReportError, match=f"other.json.*{reason}"):
            result_file.load(path)


def test_nobody_is_marked_best_where_all_are_equal():
    assert report._best({"a": {"success": 0.5}, "b": {"success": 0.25}}) == 0.5
    assert report._best({"a": {"success": 0.0}, "b": {"success": 0.0}}) is None
    assert report._best({"a": {"success": 0.5}, "b": {"success": 0.2}, "ours_oracle": {"success": 0.9}}) == 0.5


def test_the_worst_failure_is_an_avoidable_contact_with_much_energy():
    mild, hit = replace(CONTACT, energy_j=5.0), replace(CONTACT, contact_by="other", energy_j=90.0)
    unavoidable, unknown = replace(CONTACT, avoidable=0.0), replace(CONTACT, avoidable=0.0, energy_j=math.nan)
    ordered = sorted([TIMEOUT, mild, hit, CONTACT, unknown, unavoidable], key=severity, reverse=True)
    assert ordered == [CONTACT, mild, hit, unavoidable, unknown, TIMEOUT]


def test_the_worst_of_every_planner_and_scenario_is_shown_before_the_second_worst_of_any(results):
    folder = folder_of(results.path)
    folder.mkdir()
    recorded = "crowd-dwa-0001 crowd-dwa-0002 crowd-ours-0003 circle-ours-0000 circle-dwa-0001 x-dwa-0000"
    for name in recorded.split():
        (folder / f"{name}.npz").touch()
    shown = [f"{entry.scenario}-{entry.planner}-{entry.episode}" for entry in results.replays(4)]
    assert shown[:2] == ["circle-ours-0", "crowd-ours-3"], "ours first, the contact before the timeout"
    assert shown[2:] == ["circle-dwa-1", "crowd-dwa-1"]
    assert [entry.file.stem for entry in results.replays(9)][4:] == ["crowd-dwa-0002"], "x was not driven"
    assert (
        results.replays(1)[0].about == "episode 0, contact with a person, robot moved in, avoidable, 20 J after 9.0 s"
    )


def numbers(text, *shape):
    return np.frombuffer(base64.b64decode(text), "<i2").reshape(shape)


@pytest.fixture
def failure():
    """Return four moments; the first without an imagined scene, the others with two different ones."""
    imagined = np.zeros((4, 64, 64), np.uint8)
    imagined[1:3, 5, 7], imagined[3, 8, 9] = 255, 128
    centres = np.array([[np.nan] * 3, [1, 2, 0.5], [1, 2, 0.5], [3, 2, 0]])
    people = np.array([[[1.234, -5.0]], [[1.0, 1.0]], [[2.0, 1.0]], [[np.nan, np.nan]]])
    plans = np.repeat(centres[:, None, :2], 2, axis=1)
    trace = Trace(
        np.arange(4) * 100_000_000, np.zeros((4, 3)), np.zeros((4, 3)), np.zeros((4, 3)), np.zeros((4, 2)), people,
        np.zeros((0, 0), np.float32), imagined, centres, plans,
    )  # fmt: skip
    corners = np.full((1, 12, 2), np.nan)
    corners[0, :3] = [[0, 0], [1, 0], [0, 1]]
    return Failure("t", trace, corners, np.array([0.25]), np.array([9.0, 0.0]), np.ones((4, 2)))


def test_a_replay_holds_the_movement(failure):
    found = replay(failure)
    assert found["times"] == [0.0, 0.1, 0.2, 0.3]
    np.testing.assert_array_equal(numbers(found["people"], 4, 2)[[0, 3]], [[123, -500], [-32768, -32768]])
    assert found["walls"] == [[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]]
    assert found["centre"] == [4.5, 0.0] and found["half"] == 6.5


def test_a_replay_holds_each_imagined_scene_once(failure):
    found = replay(failure)
    assert numbers(found["scene"], 4).tolist() == [-1, 0, 0, 1]
    assert found["scenePoses"] == [[1.0, 2.0, 0.5], [3.0, 2.0, 0.0]]
    np.testing.assert_array_equal(numbers(found["plans"], 2, found["planLength"], 2)[:, 0], [[100, 200], [300, 200]])
    picture = Image.open(io.BytesIO(base64.b64decode(found["scenes"].partition(",")[2]))).convert("RGBA")
    opacity = np.asarray(picture)[..., 3]
    assert np.argwhere(opacity).tolist() == [[5, 7], [8, 64 + 9]]
    assert opacity[5, 7] == 255 and int(opacity[8, 64 + 9]) == pytest.approx(128, abs=10)


def test_a_replay_without_imagination_has_no_scenes(failure):
    trace = replace(failure.trace, imagined=np.zeros((0, 0, 0), np.uint8), imagined_poses=np.zeros((0, 3)))
    assert "scenes" not in replay(replace(failure, trace=trace))
