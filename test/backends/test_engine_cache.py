"""Engines on disk: found by exactly what they were made for, whole or absent, from a folder of one's own."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from edge_worldmodel.backends.engine_cache import EngineCache, EngineFolderError, EngineKey

KEY = EngineKey("decoder", "ab" * 32, "10.3.0", "Orin (nvgpu) sm87 x8", "fp16", 32, 64)


def test_an_engine_is_found_by_its_whole_key_only(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "engines")
    assert cache.find(KEY).reason == "none was built yet"
    cache.keep(KEY, b"engine")
    assert EngineCache(tmp_path / "engines").find(KEY).engine == b"engine"
    others = {
        "network": "encoder", "model_sha256": "ab" * 31 + "cd", "tensorrt": "10.3.1", "gpu": "Orin (nvgpu) sm87 x16",
        "precision": "int8", "futures": 16, "max_futures": 128, "version_compatible": True,
    }  # fmt: skip
    assert set(others) == {field.name for field in dataclasses.fields(EngineKey)}
    for field, value in others.items():
        assert cache.find(dataclasses.replace(KEY, **{field: value})).engine is None, field


@pytest.mark.parametrize("damage", ["cut", "one bit", "empty", "another's", "garbage"])
def test_a_damaged_engine_is_set_aside_and_told(tmp_path: Path, damage: str) -> None:
    cache = EngineCache(tmp_path)
    cache.keep(KEY, b"engine" * 100)
    other = dataclasses.replace(KEY, gpu="another GPU")
    cache.keep(other, b"engine" * 100)
    path = tmp_path / KEY.file_name()
    data = path.read_bytes()
    path.write_bytes(
        {
            "cut": data[:-1],
            "one bit": data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
            "empty": b"",
            "another's": (tmp_path / other.file_name()).read_bytes(),
            "garbage": os.urandom(300),
        }[damage]
    )
    found = cache.find(KEY)
    assert found.engine is None and "was damaged and renamed" in found.reason
    assert path.with_suffix(".damaged").exists() and not path.exists()
    cache.keep(KEY, b"built again")
    assert cache.find(KEY).engine == b"built again"


def test_compatible_engines_of_older_versions_serve_newest_first(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    wanted = dataclasses.replace(KEY, tensorrt="10.13.3.9", version_compatible=True)
    for version in ("10.3.0", "10.9.0.34", "10.14.1"):
        cache.keep(dataclasses.replace(wanted, tensorrt=version), version.encode())
    cache.keep(dataclasses.replace(wanted, tensorrt="10.12.0", precision="int8"), b"another precision")
    cache.keep(dataclasses.replace(wanted, tensorrt="10.11.0", version_compatible=False), b"exact")
    assert cache.find(wanted).engine == b"10.9.0.34"
    assert cache.find(dataclasses.replace(wanted, version_compatible=False)).engine is None


def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(EngineFolderError, match=r"can be written to by others \(mode drwxrwxrwx.*chmod 700"):
        EngineCache(shared)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(EngineFolderError, match="set engine_dir"):
        EngineCache(blocked)


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = EngineCache(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EngineFolderError, match="No space left"):
        cache.keep(KEY, b"engine")
    assert not list(tmp_path.iterdir())
