"""The best model that keeps the service level is chosen, explained, and the same for every node."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from edge_worldmodel import cli
from edge_worldmodel.backends.options import BackendOptions
from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.models.model_choice import ServiceLevel, VariantFigures, choose, quality_of
from edge_worldmodel.models.placement_record import (
    PlacementError,
    PlacementRecord,
    read_record,
    resolve,
    runtime_name,
    write_record,
)
from edge_worldmodel.models.trial import Runtime, try_model

MODELS = Path(__file__).resolve().parents[2] / "models"
LEVEL = ServiceLevel(latency_p95_s=0.1, memory_mb=200.0)
TINY = VariantFigures("tiny", "tiny-1", 1_000_000, 0.02, 0.03, 0.04, 110.0, error=0.24)
SMALL = VariantFigures("small", "small-1", 4_000_000, 0.05, 0.08, 0.09, 130.0, error=0.2)
DEFAULT = VariantFigures("small-int8", "small-int8-1", 1_300_000, 0.03, 0.04, 0.05, 120.0, error=0.201)
BIG = VariantFigures("big", "big-1", 9_000_000, 0.15, 0.20, 0.30, 250.0, error=0.18)
BROKEN = VariantFigures("broken", problem="decoder.onnx was changed or damaged")


def unknown(*measured: VariantFigures) -> list[VariantFigures]:
    return [dataclasses.replace(one, error=None) for one in measured]


def test_the_best_that_keeps_the_level_is_taken_and_the_others_are_explained() -> None:
    choice = choose([BIG, BROKEN, SMALL, TINY], LEVEL)
    assert (choice.variant, choice.met) == ("small", True)
    wanted = "small is the best that keeps p95 100 ms and 200 MB (32 futures, 2 steps): forecast error 0.200, p95 80 ms"
    assert choice.why.startswith(wanted) and "tiny keeps it and is worse (error 0.240)" in choice.why
    assert "big misses it: p95 200 ms and 250 MB" in choice.why and "broken cannot be used: decoder.onnx" in choice.why
    assert choose([BIG, SMALL, TINY], ServiceLevel(latency_p95_s=1.0)).variant == "big"


def test_of_equals_the_smallest_is_taken() -> None:
    choice = choose([SMALL, DEFAULT, TINY], LEVEL)
    assert choice.variant == "small-int8" and "small is as good (error 0.200) and larger" in choice.why


def test_a_model_that_nobody_evaluated_comes_last() -> None:
    choice = choose([*unknown(SMALL), TINY], LEVEL)
    assert choice.variant == "tiny" and "small keeps it, but how good it is was never measured" in choice.why
    choice = choose(unknown(SMALL, TINY), LEVEL)
    assert choice.why.startswith("tiny is the smallest that keeps") and "how good they are is not known" in choice.why


def test_the_error_is_read_from_the_manifest() -> None:
    scores = {"brier_reach": [0.1, 0.2], "path_brier": [0.3, 0.3]}
    manifest = {"quality": {"results": {"sim": {"ours": scores}}}}
    assert quality_of(manifest) == pytest.approx(0.45)
    scores["path_brier"] = [float("nan")]
    assert quality_of(manifest) is None
    scores["path_brier"] = []
    assert quality_of(manifest) is None
    for missing in ({}, {"quality": {}}, {"quality": 3}):
        assert quality_of(missing) is None
    shipped = [json.loads(path.read_text()) for path in sorted(MODELS.glob("*/manifest.json"))]
    assert all(quality_of(manifest) for manifest in shipped), "every shipped model was evaluated"


def test_latency_and_memory_both_count() -> None:
    assert choose([TINY, dataclasses.replace(SMALL, p95_s=0.11)], LEVEL).variant == "tiny"
    assert choose([TINY, dataclasses.replace(SMALL, memory_mb=201.0)], LEVEL).variant == "tiny"
    assert choose([TINY, dataclasses.replace(SMALL, p95_s=float("nan"))], LEVEL).variant == "tiny"


def test_where_none_keeps_it_the_quickest_is_taken_and_told() -> None:
    slow = [dataclasses.replace(one, p95_s=one.p95_s * 10) for one in (BIG, SMALL, TINY)]
    choice = choose(slow, LEVEL)
    assert (choice.variant, choice.met) == ("tiny", False) and "none keeps p95 100 ms" in choice.why
    assert choose([BROKEN], LEVEL).variant == "" and choose([], LEVEL).why.endswith("(none was found)")
    with pytest.raises(ConfigError, match="latency_p95_s"):
        ServiceLevel(latency_p95_s=0.0)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for one in (SMALL, TINY, DEFAULT):
        folder = tmp_path / "models" / one.variant
        folder.mkdir(parents=True)
        scores = {"brier_reach": [one.error], "path_brier": [0.0]}
        quality = {"results": {"sim": {"ours": scores}}}
        (folder / "manifest.json").write_text(json.dumps({"model_id": one.model_id, "quality": quality}))
    return tmp_path / "models"


def test_nodes_take_what_was_measured(models: Path, tmp_path: Path) -> None:
    path = tmp_path / "placement.json"
    here = ("this device", runtime_name("onnxruntime", 2, BackendOptions()))
    folder, choice = resolve(models, "", path, *here)
    assert folder.name == "small-int8"
    assert "small-int8 is the default: nothing was measured on this device" in choice.why
    write_record(path, PlacementRecord(*here, LEVEL, (SMALL, TINY, DEFAULT)))
    assert read_record(path) == PlacementRecord(*here, LEVEL, (SMALL, TINY, DEFAULT))
    folder, choice = resolve(models, "", path, *here)
    assert folder == models / "small-int8" and choice.met
    # Evaluated anew, and found to be the best: nothing has to be timed again.
    again = {"model_id": "tiny-1", "quality": {"results": {"sim": {"ours": {"brier_reach": [0.1], "path_brier": [0]}}}}}
    (models / "tiny" / "manifest.json").write_text(json.dumps(again))
    folder, choice = resolve(models, "", path, *here)
    assert folder == models / "tiny" and "tiny is the best that keeps" in choice.why
    folder, choice = resolve(models, "small", path, *here)
    assert folder == models / "small" and choice.why == "small was chosen by the operator"
    with pytest.raises(PlacementError, match="model 'huge' is not in .*: choose one of small, small-int8, tiny"):
        resolve(models, "huge", path, *here)


def test_figures_of_elsewhere_or_of_another_model_do_not_count(models: Path, tmp_path: Path) -> None:
    path = tmp_path / "placement.json"
    write_record(path, PlacementRecord("this device", "onnxruntime cpu, 2 thread(s)", LEVEL, (SMALL, TINY, DEFAULT)))
    for device, runtime in (("another", "onnxruntime cpu, 2 thread(s)"), ("this device", "openvino, 2 thread(s)")):
        folder, choice = resolve(models, "", path, device, runtime)
        assert folder.name == "small-int8" and "was measured on this device with onnxruntime" in choice.why
    (models / "tiny" / "manifest.json").write_text(json.dumps({"model_id": "tiny-2"}))
    folder, choice = resolve(models, "", path, "this device", "onnxruntime cpu, 2 thread(s)")
    assert folder.name == "small-int8" and "tiny changed since it was measured" in choice.why


def test_runtimes_that_do_not_take_the_default_s_bytes_get_full_precision(models: Path, tmp_path: Path) -> None:
    runtimes = {"onnxruntime": "small-int8", "openvino": "small-int8", "tensorrt": "small"}
    for backend, variant in runtimes.items():
        runtime = runtime_name(backend, 2, BackendOptions())
        assert resolve(models, "", tmp_path / "none.json", "this device", runtime)[0].name == variant
    on_gpu = runtime_name("onnxruntime", 2, BackendOptions(provider="cuda"))
    assert resolve(models, "", tmp_path / "none.json", "this device", on_gpu)[0].name == "small"


def test_a_refused_variant_is_passed_over(models: Path, tmp_path: Path) -> None:
    path, here = tmp_path / "placement.json", ("this device", runtime_name("onnxruntime", 2, BackendOptions()))
    folder, choice = resolve(models, "", path, *here, ["small-int8"])
    assert folder.name == "small" and choice.why.startswith("small is the default without small-int8: nothing was")
    with pytest.raises(PlacementError, match=r"onnxruntime cpu.* was refused .*\(small-int8, small\): use another"):
        resolve(models, "", path, *here, ["small-int8", "small"])
    write_record(path, PlacementRecord(*here, LEVEL, (SMALL, TINY, DEFAULT)))
    assert resolve(models, "", path, *here, ["small-int8"])[0].name == "small"
    assert resolve(models, "", path, *here, ["small-int8", "small"])[0].name == "tiny"


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 2}', '{"schema": 1}', '{"schema": 1, "measured": [{"x": 1}]}'])
def test_a_damaged_record_is_named(models: Path, tmp_path: Path, text: str) -> None:
    path = tmp_path / "placement.json"
    path.write_text(text)
    with pytest.raises(PlacementError, match=r"placement.json"):
        resolve(models, "", path, "d", "r")


def test_a_real_model_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    level = dataclasses.replace(LEVEL, futures=2, steps=1)
    found = try_model(MODELS / "small", Runtime(threads=1), level, rounds=2)
    assert not found.problem, found.problem
    assert found.error is not None
    assert found.model_id.startswith("small") and 0.0 < found.p50_s <= found.p95_s and 30.0 < found.memory_mb < 1000.0
    shutil.copytree(MODELS / "small", tmp_path / "cut")
    (tmp_path / "cut" / "decoder.onnx").write_bytes(b"cut")
    assert "decoder.onnx has 3 bytes" in try_model(tmp_path / "cut", Runtime(), level, rounds=1).problem
    shutil.copytree(MODELS / "small-int8", tmp_path / "other")
    manifest = json.loads((tmp_path / "other" / "manifest.json").read_text())
    manifest["networks"]["denoiser"]["golden"]["values"].reverse()
    (tmp_path / "other" / "manifest.json").write_text(json.dumps(manifest))
    found = try_model(tmp_path / "other", Runtime(), level, rounds=1)
    assert "network 'denoiser' computes something else on this device" in found.problem
    assert "does not exist" in try_model(MODELS / "small", Runtime(backend="abacus"), level, rounds=1).problem


def test_the_verb_measures_explains_and_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGE_WORLDMODEL_PLACEMENT", str(tmp_path / "placement.json"))
    few = ["place", "--rounds", "1", "--futures", "1", "--steps", "1", "--threads", "1"]
    assert cli.main([*few, "--latency-p95", "60", "--memory", "2000"]) == 0
    assert "is the best that keeps" in capsys.readouterr().out
    assert read_record(tmp_path / "placement.json").level.latency_p95_s == 60.0
    assert cli.main([*few, "--latency-p95", "0.001", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["choice"]["met"] is False
