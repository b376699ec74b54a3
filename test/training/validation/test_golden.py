"""The shipped networks compute what they computed when they were exported, on this machine's runtime as well.

Fixed inputs, a summary and 32 values of each output. After a new export make the golden file again and look at the
difference:  EDGE_WORLDMODEL_WRITE_GOLDEN=1 pytest test/evaluation/test_golden.py
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_worldmodel.backends import open_backend
from edge_worldmodel.core.tensors import NETWORKS, NetworkSpec
from edge_worldmodel.models.manifest import VerifiedModel, load_model

pytest.importorskip("onnxruntime")

MODELS = Path(__file__).resolve().parents[3] / "models"
GOLDEN = Path(__file__).parent / "golden"
VARIANTS = ("nano", "small", "small-int8", "base")
FUTURES = 3
TOLERANCES = {"fp32": 2e-3, "int8": 5e-2}
"""Other CPUs sum in another order, which tips over bytes here and there; another network is off by far more."""


@pytest.fixture(scope="module", params=VARIANTS)
def model(request: pytest.FixtureRequest) -> VerifiedModel:
    return load_model(MODELS / request.param)


def _inputs(spec: NetworkSpec) -> dict[str, np.ndarray]:
    inputs = {}
    for tensor in spec.inputs:
        shape = tensor.with_batch(FUTURES)
        # Sines instead of a random generator: the same numbers in every numpy version.
        values = np.sin(np.arange(np.prod(shape)) * 12.9898 + 78.233).reshape(shape)
        if tensor.name == "history":
            values = values > 0.8
        elif tensor.name == "noise_level":
            values = np.array([0.75])
        inputs[tensor.name] = values.astype(np.float32)
    return inputs


def _summary(networks: dict[str, bytes]) -> dict[str, Any]:
    backend = open_backend("onnxruntime")
    backend.load(networks)
    summary = {}
    for name, spec in NETWORKS.items():
        output = backend.run(name, _inputs(spec))[spec.outputs[0].name].ravel().astype(np.float64)
        chosen = np.linspace(0, output.size - 1, 32).astype(int)
        summary[name] = {
            "mean": float(output.mean()),
            "deviation": float(output.std()),
            "values": [round(float(value), 6) for value in output[chosen]],
        }
    return summary


def test_the_shipped_networks_give_their_golden_outputs(model: VerifiedModel) -> None:
    found = {"model_id": model.model_id, **_summary(model.networks)}
    path = GOLDEN / f"{model.model_id.rpartition('-')[0]}.json"
    if os.environ.get("EDGE_WORLDMODEL_WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    golden = json.loads(path.read_text(encoding="utf-8"))
    tolerance = TOLERANCES[model.manifest["precision"]]
    assert found["model_id"] == golden["model_id"], "new weights: make the golden file again, see this file's head"
    for name in NETWORKS:
        for key in ("mean", "deviation", "values"):
            np.testing.assert_allclose(found[name][key], golden[name][key], atol=tolerance, err_msg=f"{name} {key}")


def test_the_shipped_models_are_small_and_beat_a_frozen_world(model: VerifiedModel) -> None:
    shipped = (path for path in MODELS.rglob("*") if path.is_file() and "reference" not in path.parts)
    assert sum(path.stat().st_size for path in shipped) <= 20_000_000
    results = model.manifest["quality"]["results"]
    assert len(results) >= 2, "evaluate on simulated worlds and on a recorded scene"
    for data, methods in results.items():
        ours = np.array(methods["ours"]["brier_moving"])
        for rival in ("persistence", "persistence_calibrated"):
            assert (ours[1:] < np.array(methods[rival]["brier_moving"])[1:]).all(), f"{data}: {rival}"
    assert (MODELS / model.model_id.rpartition("-")[0] / "README.md").is_file()
