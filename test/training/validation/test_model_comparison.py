"""Models are compared on the same clips, drives and noise: a model against itself gains and loses nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_worldmodel import cli
from edge_worldmodel.backends.timing import Workload
from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.training.validation.flicker import FRAMES, DriveFrames, draw_frames, flicker
from edge_worldmodel.training.validation.model_comparison import (
    ComparisonData,
    compare,
    find_model,
    open_for_comparison,
)

from ..clip_factory import moving_blobs

MODELS = Path(__file__).resolve().parents[3] / "models"


@pytest.fixture(scope="module")
def drives() -> list[DriveFrames]:
    return draw_frames(2)


def test_a_model_against_itself_and_against_its_bytes(drives: list[DriveFrames]) -> None:
    folders = {"fp32": MODELS / "small", "again": MODELS / "small", "int8": MODELS / "small-int8"}
    contenders = open_for_comparison(folders, threads=1)
    report = compare(contenders, ComparisonData(moving_blobs(4), drives[:1]), Workload(futures=4, steps=1), rounds=2)
    same, other = report["again_over_fp32"], report["int8_over_fp32"]
    assert (same["size"], same["brier_loss"], same["flicker"]) == (1.0, 0.0, 1.0)
    assert other["size"] <= 0.3 and abs(other["brier_loss"]) < 0.1 and other["brier_loss"] != 0.0
    assert other["speed"] > 0.0 and other["brier_loss_low"] <= other["brier_loss_high"]
    assert report["models"]["int8"]["precision"] == "int8" and report["models"]["fp32"]["quality"]["flicker"] > 0.0


def test_nothing_flickers_where_nothing_changes(drives: list[DriveFrames]) -> None:
    assert [drive.histories.shape for drive in drives] == [(FRAMES, 10, 64, 64)] * 2
    still = DriveFrames(drives[0].histories[:1].repeat(3, axis=0), drives[0].maneuvers[:1].repeat(3, axis=0))
    model = open_for_comparison({"int8": MODELS / "small-int8"}, threads=1)["int8"].model
    assert flicker(model, [still], steps=1, futures=2) == 0.0
    assert flicker(model, drives[:1], steps=1, futures=2) > 0.0
    assert np.ptp(drives[1].maneuvers[:, -1, 0]) < 0.2 < drives[1].maneuvers[0, -1, 0]


def test_names_stand_for_folders_shipped_models_or_precisions() -> None:
    assert find_model("fp32", MODELS, "small-int8") == MODELS / "small"
    for name in ("int8", "small-int8"):
        assert find_model(name, MODELS, "small-int8") == MODELS / "small-int8"
    assert find_model(str(MODELS / "small"), MODELS, "small") == MODELS / "small"
    with pytest.raises(ConfigError, match=r"'int4' is neither a model folder nor the precision .* small-int8 \(int8\)"):
        find_model("int4", MODELS, "small")


def test_the_verb_writes_what_int8_is_against_fp32(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--threads", "1", "--rounds", "1", "--maneuvers", "2", "--futures", "1", "--steps", "1"]
    path = tmp_path / "compare.json"
    command = ["bench", "--compare", "fp32,int8", "--clips", "2", "--drives", "1", "--json", str(path)]
    assert cli.main([*command, *few]) == 0
    assert {"speed", "size", "brier_loss", "flicker"} <= set(json.loads(path.read_text())["int8_over_fp32"])
    assert "of the bytes, Brier on moving cells" in capsys.readouterr().out
    assert cli.main(["bench", "--compare", "fp32"]) == 2
