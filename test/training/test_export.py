"""Exported networks compute what torch computes, and verify as a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the training environment: make setup-train")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from edge_worldmodel.backends import open_backend  # noqa: E402
from edge_worldmodel.core.errors import ModelError  # noqa: E402
from edge_worldmodel.core.tensors import NETWORKS  # noqa: E402
from edge_worldmodel.models.manifest import load_model  # noqa: E402
from edge_worldmodel.training import export  # noqa: E402
from edge_worldmodel.training.networks import Architecture, WorldNetworks  # noqa: E402

SMALL = Architecture(encoder_width=16, denoiser_width=16, deep_width=16, decoder_width=16, posterior_width=16)


@pytest.fixture(scope="module")
def networks() -> WorldNetworks:
    torch.manual_seed(0)
    return WorldNetworks(SMALL)


@pytest.fixture(scope="module")
def model(networks: WorldNetworks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model")
    export.export_model(networks, out, "tiny", {"steps": 0})
    return out


def test_the_exported_model_verifies_and_is_described(model: Path) -> None:
    verified = load_model(model)
    assert verified.model_id.startswith("tiny-")
    manifest = verified.manifest
    assert manifest["precision"] == "fp32" and manifest["architecture"]["denoiser_width"] == 16
    for entry in manifest["networks"].values():
        assert entry["parity"] < export.PARITY_TOLERANCE and entry["mflop"] > 0 and entry["parameters"] > 0


def test_other_weights_are_noticed(networks: WorldNetworks, model: Path) -> None:
    backend = open_backend("onnxruntime")
    backend.load(load_model(model).networks)
    torch.manual_seed(1)
    changed = WorldNetworks(SMALL)
    for spec in NETWORKS.values():
        assert export.check_parity(networks, backend, spec) < export.PARITY_TOLERANCE
        with pytest.raises(ModelError, match=spec.name):
            export.check_parity(changed, backend, spec)


def test_operations_are_counted() -> None:
    layer = torch.nn.Conv2d(3, 5, 3, padding=1)
    counted = export.mflop(torch.nn.Sequential(layer), {"x": np.zeros((1, 3, 16, 16), np.float32)})
    assert counted == pytest.approx(2 * 3 * 5 * 9 * 256 / 1e6)
