"""Every way to tamper with a model directory ends in an error of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_worldmodel.core.errors import ModelError
from edge_worldmodel.core.tensors import NETWORKS
from edge_worldmodel.models import manifest as store


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A well-formed model directory; the networks are arbitrary bytes, nothing parses them."""
    networks = {}
    for name in NETWORKS:
        data = f"network {name}".encode()
        (tmp_path / f"{name}.onnx").write_bytes(data)
        networks[name] = store.network_entry(name, f"{name}.onnx", data, parameters=3)
    (tmp_path / "README.md").write_text("# card")
    (tmp_path / "manifest.json").write_text(json.dumps({"schema": 1, "model_id": "m-1", "networks": networks}))
    return tmp_path


def _edit(path: Path, change: Callable[[dict], None]) -> None:
    content = json.loads((path / "manifest.json").read_text())
    change(content)
    (path / "manifest.json").write_text(json.dumps(content))


def test_loads_what_it_verified(model: Path) -> None:
    verified = store.load_model(model)
    assert verified.model_id == "m-1"
    assert verified.networks["decoder"] == b"network decoder"
    assert verified.manifest["networks"]["denoiser"]["inputs"]["latent"] == [None, 8, 16, 16]


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(store.ManifestMissingError, match="no manifest.json"):
        store.load_model(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 2}', "[" * 100_000])
def test_unreadable_manifest(model: Path, text: str) -> None:
    (model / "manifest.json").write_text(text)
    with pytest.raises(store.ManifestFormatError):
        store.load_model(model)


@pytest.mark.parametrize("field", ["file", "sha256", "bytes", "inputs", "outputs"])
def test_missing_field(model: Path, field: str) -> None:
    _edit(model, lambda m: m["networks"]["decoder"].pop(field))
    with pytest.raises(store.ManifestFormatError, match=f"'decoder', {field} = None"):
        store.load_model(model)


def test_changed_byte(model: Path) -> None:
    (model / "encoder.onnx").write_bytes(b"network encodeR")
    with pytest.raises(store.HashMismatchError, match="changed or damaged"):
        store.load_model(model)


def test_other_size(model: Path) -> None:
    (model / "encoder.onnx").write_bytes(b"short")
    with pytest.raises(store.SizeMismatchError, match="has 5 bytes, the manifest says 15"):
        store.load_model(model)


def test_oversized(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_NETWORK_BYTES", 4)
    with pytest.raises(store.SizeMismatchError):
        store.load_model(model)


def test_missing_network(model: Path) -> None:
    (model / "decoder.onnx").unlink()
    with pytest.raises(store.NetworkMissingError, match="decoder.onnx is missing"):
        store.load_model(model)
    _edit(model, lambda m: m["networks"].pop("decoder"))
    with pytest.raises(store.NetworkMissingError, match="no network 'decoder'"):
        store.load_model(model)


@pytest.mark.parametrize("name", ["../encoder.onnx", "/etc/passwd", "sub/encoder.onnx", ".hidden", "..", "a\\b", ""])
def test_path_that_leads_elsewhere(model: Path, name: str) -> None:
    _edit(model, lambda m: m["networks"]["encoder"].update(file=name))
    with pytest.raises((store.UnsafePathError, store.NetworkMissingError)):
        store.load_model(model)


def test_link_is_refused(model: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "encoder.onnx"
    outside.write_bytes((model / "encoder.onnx").read_bytes())
    (model / "encoder.onnx").unlink()
    (model / "encoder.onnx").symlink_to(outside)
    with pytest.raises(store.UnsafePathError, match="is a link"):
        store.load_model(model)


@pytest.mark.parametrize("name", ["extra.onnx", ".hidden", "weights.data"])
def test_file_that_nobody_named(model: Path, name: str) -> None:
    (model / name).write_bytes(b"x")
    with pytest.raises(store.UnexpectedFileError, match=name):
        store.load_model(model)


def test_other_tensor_table(model: Path) -> None:
    _edit(model, lambda m: m["networks"]["decoder"]["outputs"].update(future=[None, 8, 32, 32]))
    with pytest.raises(store.TensorTableMismatchError, match="32, 32"):
        store.load_model(model)


def test_precision_that_nobody_knows(model: Path) -> None:
    _edit(model, lambda m: m.update(precision="int3"))
    with pytest.raises(store.ManifestFormatError, match="precision = 'int3', this program knows fp32, fp16, int8"):
        store.load_model(model)


def test_precision_that_the_networks_do_not_have(model: Path) -> None:
    _edit(model, lambda m: m.update(precision="fp32"))
    assert store.load_model(model).manifest["precision"] == "fp32"
    _edit(model, lambda m: m.update(precision="int8"))
    with pytest.raises(store.PrecisionMismatchError, match="int8, but network 'encoder' has no quantised operator"):
        store.load_model(model)
    data = b"a network with DequantizeLinear in it"
    (model / "decoder.onnx").write_bytes(data)
    entry = store.network_entry("decoder", "decoder.onnx", data, parameters=3)
    _edit(model, lambda m: (m["networks"].update(decoder=entry), m.update(precision="fp32")))
    with pytest.raises(store.PrecisionMismatchError, match="fp32, but network 'decoder' is quantised"):
        store.load_model(model)


def test_every_cause_is_a_model_error() -> None:
    causes = [value for name, value in vars(store).items() if name.endswith("Error") and value is not ModelError]
    assert len(causes) == 9
    assert all(issubclass(cause, ModelError) for cause in causes)
