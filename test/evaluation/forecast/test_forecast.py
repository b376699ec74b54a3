"""The forecast evaluation from clips to model card, on the backend that needs no weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_worldmodel.backends import open_backend
from edge_worldmodel.core.errors import ModelError, RecordingError
from edge_worldmodel.core.model.world_model import WorldModel
from edge_worldmodel.evaluation.forecast import forecast
from edge_worldmodel.evaluation.forecast.card import write_card
from edge_worldmodel.evaluation.forecast.joint_scores import PATHS
from edge_worldmodel.evaluation.forecast.picture import draw_strips
from edge_worldmodel.evaluation.forecast.reliability import draw_reliability
from edge_worldmodel.models.placement_record import variants
from edge_worldmodel.training.validation.examples import examples
from edge_worldmodel.training.validation.methods import reference_methods
from edge_worldmodel.training.validation.metrics import reliability

from ...training.clip_factory import moving_blobs

METHODS = {"ours", "ours_2_step", "ours_4_step", "ours_unconditioned", "persistence", "persistence_calibrated",
           "constant_velocity", "constant_velocity_calibrated"}  # fmt: skip
METRICS = {"brier_moving", "brier_reach", "brier_all", "nll_moving", "iou", "ap", "ece", "path_brier", "path_ece",
           "energy", "free_called_occupied", "walls_lost"}  # fmt: skip
MODELS = Path(__file__).resolve().parents[3] / "models"


@pytest.fixture(scope="module")
def model() -> WorldModel:
    backend = open_backend("deterministic")
    backend.load({})
    return WorldModel(backend, "deterministic")


def blobs() -> forecast.EvaluationData:
    return forecast.EvaluationData("blobs", moving_blobs(8), moving_blobs(12, seed=1))


def _evaluated(model: WorldModel) -> forecast.Results:
    return forecast.summaries(blobs(), forecast.score(blobs(), forecast.our_methods(model, {"denoise_steps": 1})))


@pytest.fixture(scope="module")
def results(model: WorldModel) -> dict[str, dict[str, dict[str, list[float]]]]:
    return {"blobs": _evaluated(model)}


def test_every_method_has_every_metric_at_every_horizon(results) -> None:
    assert set(results["blobs"]) == METHODS
    for method, metrics in results["blobs"].items():
        wanted = METRICS | ({"best_of_n", "each_of_n"} if method.startswith("ours") else set())
        assert wanted <= set(metrics)
        for name in wanted:
            assert len(metrics[name]) == 8 and np.isfinite(metrics[name]).all(), f"{method} {name}"


def test_who_follows_motion_is_better_than_who_does_not(results) -> None:
    scores = {name: np.mean(metrics["brier_moving"]) for name, metrics in results["blobs"].items()}
    assert scores["constant_velocity"] < 0.7 * scores["persistence"]


def test_the_same_seed_gives_the_same_figures(model: WorldModel, results) -> None:
    again = _evaluated(model)
    assert again["ours"] == results["blobs"]["ours"]


def test_card_and_manifest_carry_the_figures(results, tmp_path: Path) -> None:
    entry = {"parameters": 12345, "mflop": 1.5, "bytes": 1_000_000}
    manifest = {"variant": "tiny", "model_id": "tiny-1", "precision": "fp32", "denoise_steps": 1, "created": "now",
                "commit": "abc", "networks": {"encoder": entry},
                "latency_s": {"futures": 32, "threads": 2, "backend": "b", "encoder": 0.002, "tick": 0.0125},
                "training": {"steps_flow": 7}}  # fmt: skip
    report = {"created": "now", "commit": "abc", "futures": 16, "seed": 0, "clips": {"blobs": 8},
              "horizons_s": [0.4 * (step + 1) for step in range(8)], "results": results}  # fmt: skip
    write_card(tmp_path, manifest, report)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    figure = f"{results['blobs']['persistence_calibrated']['brier_moving'][3]:.3f}"
    assert f"{figure} [" in card and "| latency | 12.5 ms, 32 futures, b |" in card
    worst = max(results["blobs"]["ours"]["path_ece"])
    assert f"and {worst:.3f} |" in card and "12,345" in card and "Licence" in card and "flow 7 steps" in card
    kept = forecast.quality(report)["results"]["blobs"]["ours"]
    assert "brier_moving" in kept and "brier_moving_low" not in kept
    json.dumps(forecast.quality(report))


def test_of_two_measured_latencies_the_quicker_is_kept() -> None:
    found = forecast.model_latency(MODELS / "small", rounds=1)
    assert 0.0 < found["encoder"] < found["tick"] and found["processor_s"]["tick"] > 0.0 and found["machine"]
    quick = dict.fromkeys(("encoder", "denoiser", "decoder"), 1e-6) | {"futures": 32, "threads": 2, "backend": "b"}
    kept = forecast.model_latency(MODELS / "small", quick, rounds=1)
    assert kept["decoder"] == 1e-6 and kept["tick"] < 1e-4 < kept["processor_s"]["tick"]
    slow = quick | {"decoder": 1e3}
    assert forecast.model_latency(MODELS / "small", slow, rounds=1)["decoder"] < 1e3
    elsewhere = quick | {"machine": "another"}
    assert forecast.model_latency(MODELS / "small", elsewhere, rounds=1)["decoder"] > 1e-6


def test_reference_models_are_found_by_themselves_and_a_missing_one_is_named(tmp_path: Path) -> None:
    given = dict.fromkeys((forecast.TEACHER, forecast.DETERMINISTIC))
    shutil.copytree(MODELS / "small", tmp_path / "reference" / "teacher")
    found, missing = reference_methods(given, threads=1, models=tmp_path)
    assert list(found) == ["ours_teacher"] and variants(tmp_path) == [], "no node is offered it"
    assert missing == [f"no deterministic: there is no model in {tmp_path / 'reference' / 'deterministic'}"]
    found, missing = reference_methods({forecast.DETERMINISTIC: MODELS / "small"}, threads=1, models=tmp_path)
    clip = next(examples(moving_blobs(1)))
    assert found["deterministic"](clip).shape == (1, 8, 64, 64) and not missing
    with pytest.raises(ModelError, match="gone"):
        reference_methods({forecast.TEACHER: tmp_path / "gone"}, threads=1)


def test_reliability_is_in_the_report_and_in_a_picture(model: WorldModel, tmp_path: Path) -> None:
    tables = {name: reliability(each) for name, each in forecast.score(blobs(), {"ours": Sure(model, 1)}).items()}
    cells, paths = (np.array(tables["ours"][kind]) for kind in ("cells", "paths"))
    assert cells.shape == paths.shape == (8, 10, 3) and (cells[..., 1] <= cells[..., 0]).all()
    assert 0 < paths[:, :, 0].sum(axis=1).max() <= 8 * PATHS and not paths[:, 1:9].any(), "sure, so 0 or 1"
    report = {"reliability": {"blobs": tables}, "horizons_s": [0.4 * (step + 1) for step in range(8)]}
    draw_reliability(tmp_path / "reliability.png", report)
    assert (tmp_path / "reliability.png").stat().st_size > 10_000


class Sure(forecast.Forecaster):
    """Says 0 or 1."""

    def __call__(self, example):
        return np.round(super().__call__(example)[:1])


def test_a_picture_is_drawn(model: WorldModel, tmp_path: Path) -> None:
    path = tmp_path / "strip.png"
    draw_strips(path, forecast.clips_to_show(moving_blobs(4)), forecast.Forecaster(model, steps=1))
    assert 2_000 < path.stat().st_size < 300_000


def test_tracks_are_seen_through_the_simulated_lidar(tmp_path: Path) -> None:
    rows = [
        f"{frame}\t{person}\t{0.04 * frame - 4:.2f}\t{person:.2f}" for frame in range(0, 500, 10) for person in range(3)
    ]
    (tmp_path / "walk.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    data = forecast.load_data(str(tmp_path / "walk.txt"), clips=6)
    assert data.name == "walk" and len(data.test) == 6 and data.test.moving.any()


def test_nothing_to_evaluate_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="neither 'sim'"):
        forecast.load_data(str(tmp_path), clips=5)


def test_junctions_are_scored_by_branches_and_by_the_best_future(model: WorldModel) -> None:
    scores = forecast.junction_scores(forecast.Forecaster(model, 1), scenes=2)
    assert set(scores) == {"both_branches", "best_of_n", "mean"} and 0.0 <= scores["both_branches"] <= 1.0
    assert scores["best_of_n"] > 0.0 and 0.0 < scores["mean"] < 1.0
