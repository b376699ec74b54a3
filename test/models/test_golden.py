"""A device that computes something else than the model's golden vectors is found out, and told in words."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_worldmodel.backends import open_backend
from edge_worldmodel.core.model.world_model import Backend
from edge_worldmodel.core.tensors import NETWORKS
from edge_worldmodel.models.golden import (
    PLACES,
    GoldenMismatchError,
    GoldenMissingError,
    check_golden,
    golden_error,
    golden_inputs,
)
from edge_worldmodel.models.manifest import ManifestFormatError, VerifiedModel, load_model

pytest.importorskip("onnxruntime")

MODELS = Path(__file__).resolve().parents[2] / "models"
SHIPPED = sorted(path.parent for path in MODELS.rglob("manifest.json"))


class Wrong:
    """A backend whose ``network`` is off by a share of its outputs' spread."""

    def __init__(self, backend: Backend, network: str, share: float) -> None:
        self._backend, self._network, self._share = backend, network, share

    def load(self, networks: Mapping[str, bytes]) -> None:
        self._backend.load(networks)

    def run(self, network: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        outputs = self._backend.run(network, inputs)
        if network != self._network:
            return outputs
        return {name: values + np.float32(self._share * values.std()) for name, values in outputs.items()}

    def describe(self) -> str:
        return "a wrong runtime"


@pytest.fixture(scope="module")
def model() -> VerifiedModel:
    return load_model(MODELS / "small-int8")


@pytest.fixture(scope="module")
def backend(model: VerifiedModel) -> Backend:
    backend = open_backend("onnxruntime")
    backend.load(model.networks)
    return backend


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: str(folder.relative_to(MODELS)))
def test_this_machine_computes_every_shipped_model(folder: Path) -> None:
    shipped = load_model(folder)
    backend = open_backend("onnxruntime")
    backend.load(shipped.networks)
    started_s = time.process_time()
    check_golden(backend, shipped.model_id, shipped.manifest)
    assert time.process_time() - started_s < 1.0, "nodes do this whenever they load a model"
    for name in NETWORKS:
        golden = shipped.manifest["networks"][name]["golden"]
        assert len(golden["values"]) == PLACES and golden_error(backend, name, golden) < 1e-3


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_that_computes_something_else_is_named(network: str, model: VerifiedModel, backend: Backend) -> None:
    check_golden(Wrong(backend, network, 0.005), model.model_id, model.manifest)
    wanted = (
        rf"{model.model_id}: network '{network}' computes something else on this device: .* by \d+\.\d% of their "
        r"spread \(allowed: \d\.\d%\), with a wrong runtime; use another model or runtime"
    )
    for share in (0.2, float("nan")):
        with pytest.raises(GoldenMismatchError, match=wanted if share == 0.2 else network):
            check_golden(Wrong(backend, network, share), model.model_id, model.manifest)


def test_wrong_golden_values_refuse_the_right_network(model: VerifiedModel, backend: Backend) -> None:
    manifest = copy.deepcopy(model.manifest)
    manifest["networks"]["decoder"]["golden"]["values"].reverse()
    with pytest.raises(GoldenMismatchError, match="'decoder'"):
        check_golden(backend, model.model_id, manifest)


def test_a_manifest_of_before_has_none(model: VerifiedModel, backend: Backend) -> None:
    manifest = copy.deepcopy(model.manifest)
    del manifest["networks"]["denoiser"]["golden"]
    with pytest.raises(GoldenMissingError, match="'denoiser' has no golden vectors .* export --golden DIR"):
        check_golden(backend, model.model_id, manifest)


@pytest.mark.parametrize(
    "change",
    [
        {"values": "none"}, {"values": [1.0] * 7}, {"values": [float("nan")] * 8}, {"values": [True] * 8},
        {"futures": 0}, {"futures": 1.0}, {"futures": True},
        {"tolerance": 1.0}, {"tolerance": 0.0}, {"tolerance": None},
    ],
)  # fmt: skip
def test_golden_vectors_that_cannot_be_read(change: dict[str, Any], model: VerifiedModel, tmp_path: Path) -> None:
    manifest = copy.deepcopy(model.manifest)
    manifest["networks"]["decoder"]["golden"] |= change
    for name, data in model.networks.items():
        (tmp_path / f"{name}.onnx").write_bytes(data)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ManifestFormatError, match="'decoder' has golden vectors that cannot be read"):
        load_model(tmp_path)


def test_inputs_are_the_same_everywhere() -> None:
    inputs = golden_inputs("denoiser", 2)
    assert inputs["latent"].shape == (2, 8, 16, 16) and inputs["noise_level"] == np.float32(0.75)
    np.testing.assert_allclose(inputs["latent"].ravel()[:3], [0.302, -0.1163, -0.5142], atol=1e-3)
    assert set(np.unique(golden_inputs("encoder", 1)["history"])) == {0.0, 1.0}
