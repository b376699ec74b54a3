"""Which model on which runtime a node takes: as told, with the reason in its log, or not at all."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from rclpy.node import Node  # noqa: E402

from edge_worldmodel.backends.options import BackendOptions  # noqa: E402
from edge_worldmodel.core.errors import BackendError, EdgeWorldModelError  # noqa: E402
from edge_worldmodel.models.choice import Measured, ServiceLevel  # noqa: E402
from edge_worldmodel.models.doctor import this_machine  # noqa: E402
from edge_worldmodel.models.inventory import device_name  # noqa: E402
from edge_worldmodel.models.record import DEFAULT_VARIANT, PlacementError, Record, runtime_name, write_record  # noqa: E402
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
    measured = (Measured(DEFAULT_VARIANT, model_id, 2, p95_s=0.01), Measured("tiny", model_id, 1, p95_s=0.01))
    write_record(tmp_path / "placement.json", Record(device, runtime, ServiceLevel(), measured))
    assert model_module._choose(ModelConfig())[1].startswith("tiny is the best that keeps")
    assert model_module._choose(ModelConfig(model=DEFAULT_VARIANT))[1] == "small-int8 was chosen by the operator"
    assert model_module._choose(ModelConfig(threads=3))[1].startswith("small-int8 is the default")
    assert model_module._choose(ModelConfig(model_dir="/m"))[0] == Path("/m")


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
