"""Which model on which runtime a node takes: as told, with the reason in its log, or not at all."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402
from rclpy.node import Node  # noqa: E402

from edge_worldmodel.backends import open_backend  # noqa: E402
from edge_worldmodel.backends.options import BackendOptions  # noqa: E402
from edge_worldmodel.core.errors import BackendError, EdgeWorldModelError  # noqa: E402
from edge_worldmodel.models.doctor import this_machine  # noqa: E402
from edge_worldmodel.models.golden import GoldenMismatchError, GoldenMissingError  # noqa: E402
from edge_worldmodel.models.inventory import device_name  # noqa: E402
from edge_worldmodel.models.model_choice import ServiceLevel, VariantFigures  # noqa: E402
from edge_worldmodel.models.placement_record import (  # noqa: E402
    DEFAULT_VARIANT,
    PlacementError,
    PlacementRecord,
    runtime_name,
    write_record,
)
from edge_worldmodel.nodes.ros import model as model_module  # noqa: E402
from edge_worldmodel.nodes.ros.health import Health  # noqa: E402
from edge_worldmodel.nodes.ros.model import ModelConfig, open_world_model  # noqa: E402


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Node]:
    monkeypatch.setenv("EDGE_WORLDMODEL_PLACEMENT", str(tmp_path / "placement.json"))
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Node("model_test", context=context)
    yield node
    node.destroy_node()
    context.try_shutdown()


def _figures(node: Node, **values: object) -> dict[str, object]:
    node.health = getattr(node, "health", None) or Health(node)
    open_world_model(node, ModelConfig(**values), node.health)
    return node.health.figures


def test_the_default_runs_and_is_told(node: Node) -> None:
    figures = _figures(node, threads=1)
    assert str(figures["model_id"]).startswith(DEFAULT_VARIANT)
    assert "CPUExecutionProvider, 1 thread" in str(figures["backend"])


def test_what_was_measured_decides_unless_an_operator_pins(
    node: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shipped = model_module._shipped_models()
    default = (shipped / DEFAULT_VARIANT / "manifest.json").resolve().parent
    for name in (DEFAULT_VARIANT, "tiny"):
        (tmp_path / "models").mkdir(exist_ok=True)
        (tmp_path / "models" / name).symlink_to(default, target_is_directory=True)
    monkeypatch.setattr(model_module, "_shipped_models", lambda: tmp_path / "models")
    model_id = str(_figures(node)["model_id"])
    device, runtime = device_name(this_machine(lambda _: "")), runtime_name("onnxruntime", 2, BackendOptions())
    measured = (
        VariantFigures(DEFAULT_VARIANT, model_id, 2, p95_s=0.01),
        VariantFigures("tiny", model_id, 1, p95_s=0.01),
    )
    write_record(tmp_path / "placement.json", PlacementRecord(device, runtime, ServiceLevel(), measured))
    assert model_module._choose(ModelConfig())[1].why.startswith("tiny is the best that keeps")
    assert model_module._choose(ModelConfig(model=DEFAULT_VARIANT))[1].why == "small-int8 was chosen by the operator"
    assert model_module._choose(ModelConfig(threads=3))[1].why.startswith("small-int8 is the default")
    assert model_module._choose(ModelConfig(model_dir="/m"))[0] == Path("/m")


class _Saturating:
    """ONNX Runtime that computes what is quantised wrongly, as processors without VNNI do to weights of 8 bits."""

    def __init__(self) -> None:
        self._backend = open_backend("onnxruntime")
        self._wrong = False

    def load(self, networks: Mapping[str, bytes]) -> None:
        self._backend.load(networks)
        self._wrong = b"DequantizeLinear" in networks["decoder"]

    def run(self, network: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        outputs = self._backend.run(network, inputs)
        wrong = self._wrong and network == "decoder"
        return {name: np.minimum(values, np.float32(0.3)) if wrong else values for name, values in outputs.items()}

    def describe(self) -> str:
        return "a saturating runtime"


def test_a_model_that_this_device_computes_wrongly_is_refused_for_the_next(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_module, "open_backend", lambda *_: _Saturating())
    figures = _figures(node)
    assert str(figures["model_id"]).startswith("small-") and not str(figures["model_id"]).startswith("small-int8")
    level, told = node.health._problems["model"]
    assert level == DiagnosticStatus.WARN
    wanted = r"model small-\w{12} is used instead: model small-int8-\w+: network 'decoder' computes something else"
    assert re.match(wanted, told) and "a saturating runtime" in told
    # An operator's choice is not swapped for another.
    with pytest.raises(GoldenMismatchError, match="'decoder' computes something else"):
        _figures(node, model="small-int8")
    with pytest.raises(GoldenMismatchError, match="'decoder' computes something else"):
        _figures(node, model_dir=str(_source("small-int8")))


def test_shipped_models_need_golden_vectors_and_one_s_own_are_warned_about(
    node: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("small-int8", "small"):
        shutil.copytree(_source(name), tmp_path / name)
    path = tmp_path / "small-int8" / "manifest.json"
    manifest = json.loads(path.read_text())
    for entry in manifest["networks"].values():
        del entry["golden"]
    path.write_text(json.dumps(manifest))
    monkeypatch.setattr(model_module, "_shipped_models", lambda: tmp_path)
    assert not str(_figures(node)["model_id"]).startswith("small-int8")
    assert "no golden vectors" in node.health._problems["model"][1]
    assert str(_figures(node, model_dir=str(tmp_path / "small-int8"))["model_id"]).startswith("small-int8")
    level, told = node.health._problems["model"]
    assert level == DiagnosticStatus.WARN and "edge-worldmodel export --golden DIR" in told
    with pytest.raises(GoldenMissingError):
        _figures(node, model="small-int8")


def _source(name: str) -> Path:
    return (model_module._shipped_models() / name / "manifest.json").resolve().parent


def test_what_cannot_be_had_ends_the_start(node: Node, tmp_path: Path) -> None:
    with pytest.raises(PlacementError, match="model 'huge' is not in .*choose one of"):
        _figures(node, model="huge")
    with pytest.raises(BackendError, match="no QNNExecutionProvider.*available: .*cpu"):
        _figures(node, provider="qnn")
    if importlib.util.find_spec("tensorrt") is None:
        with pytest.raises(BackendError):
            _figures(node, backend="tensorrt", engine_dir=str(tmp_path))
    (tmp_path / "placement.json").write_text("damaged")
    with pytest.raises(EdgeWorldModelError, match="placement.json cannot be read"):
        _figures(node)
