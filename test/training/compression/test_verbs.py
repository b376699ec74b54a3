"""The verbs, from shards and a checkpoint to a model folder and a report, on networks that are too small to be good."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the training environment: make setup-train")
optuna = pytest.importorskip("optuna")

from edge_worldmodel import cli  # noqa: E402
from edge_worldmodel.models.manifest import load_model  # noqa: E402
from edge_worldmodel.training.checkpoints import new_state, save  # noqa: E402
from edge_worldmodel.training.compression import search  # noqa: E402
from edge_worldmodel.training.export import export_model  # noqa: E402
from edge_worldmodel.training.networks import Architecture  # noqa: E402
from edge_worldmodel.training.validation.model_comparison import ComparisonData  # noqa: E402

TINY = Architecture(encoder_width=32, denoiser_width=32, deep_width=32, decoder_width=32, posterior_width=16)
FEW = ["--test-clips", "2", "--drives", "1", "--rounds", "1"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with shards, a checkpoint, and its export."""
    folder = tmp_path_factory.mktemp("compression")
    assert cli.main(["generate", "--out", str(folder / "data"), "--clips", "12", "--val-clips", "6"]) == 0
    state = new_state(TINY, seed=0)
    save(state, folder / "checkpoint.pt")
    export_model(state.average, folder / "fp32", "tiny", {"steps": 0})
    return folder


@pytest.fixture(autouse=True)
def _drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every report measures on the same clips and drives: draw them once."""
    monkeypatch.setattr(ComparisonData, "simulated", staticmethod(_simulated))


_simulated = functools.cache(ComparisonData.simulated)


def _run(made: Path, verb: str, *options: str) -> dict:
    """Run a verb and return its report."""
    out = made / verb
    shared = ["--model", str(made / "fp32"), "--data", str(made / "data"), "--out", str(out), *FEW]
    assert cli.main(["compress", verb, *shared, *options]) == 0
    verified = load_model(out)
    report = json.loads((made / f"{verb}.json").read_text())
    for steps in ("steps_1", "steps_2"):
        assert {"speed", "size", "brier_loss", "flicker"} <= set(report[steps]["after_over_before"])
        assert report[steps]["models"]["after"]["model_id"] == verified.model_id
    return report | {"manifest": verified.manifest}


def test_ptq(made: Path) -> None:
    report = _run(made, "ptq", "--calibration-clips", "1", "--limit", "0.5")
    assert report["manifest"]["precision"] == "int8" and report["steps_1"]["after_over_before"]["size"] < 0.5
    assert report["manifest"]["made_from"]["method"] == "post-training quantisation"
    assert len(report["made"]["sensitivity"]) > 20 and len(report["made"]["held_in_brier_loss"]) == 1


def test_qat_and_prune_train_and_go_on(made: Path) -> None:
    checkpoint = ["--checkpoint", str(made / "checkpoint.pt"), "--steps", "1"]
    report = _run(made, "qat", *checkpoint, "--calibration-clips", "1")
    assert report["manifest"]["precision"] == "int8"
    report = _run(made, "prune", *checkpoint, "--share", "0.5", "--variant", "half")
    assert report["manifest"]["architecture"]["denoiser_width"] == 16
    assert report["manifest"]["model_id"].startswith("half-") and report["steps_1"]["after_over_before"]["size"] < 0.7


def _study(made: Path) -> optuna.Study:
    journal = optuna.storages.journal.JournalFileBackend(str(made / "search-study" / "study.log"))
    return optuna.load_study(study_name="widths", storage=optuna.storages.JournalStorage(journal))


def test_search_resumes_and_ships_the_best(
    made: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_CALIBRATION_CLIPS", 1)
    checkpoint = ["--checkpoint", str(made / "checkpoint.pt"), "--steps", "1", "--validation-clips", "3"]
    _run(made, "search", *checkpoint, "--budget", "9", "--trials", "1")
    stopped = _study(made).ask()
    stopped.suggest_int("encoder_width", 32, 32, step=16)
    report = _run(made, "search", *checkpoint, "--budget", "9", "--trials", "2")
    found = [(trial["number"], trial["state"]) for trial in report["made"]["trials"]]
    assert found == [(0, "COMPLETE"), (1, "FAIL"), (2, "COMPLETE")]
    assert report["made"]["trials"][2]["encoder_width"] == 32 and report["made"]["trials"][2]["time_share"] < 9
    assert capsys.readouterr().out.count("trial 0:") == 1
    refused = ["compress", "search", "--model", str(made / "fp32"), "--data", str(made / "data"), *checkpoint]
    refused += ["--out", str(made / "none"), "--budget", "1e-6", "--trials", "1"]
    assert cli.main(refused) == 2 and "kept --budget" in capsys.readouterr().err
