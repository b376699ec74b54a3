"""What is written can be read, and what is damaged is noticed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_worldmodel.store.scene_wire import decode, encode, pack, unpack

from .scenes import assert_same, scene


def test_an_entry_comes_back() -> None:
    header, blob = unpack(pack(*encode(scene(3))))
    assert_same(decode(header, blob), scene(3))


@pytest.mark.parametrize("field", ["pose", "futures", "stamp_ns", "model_id", "crc"])
def test_a_field_that_is_missing_or_wrong_is_noticed(field: str) -> None:
    header, blob = encode(scene(0))
    with pytest.raises(ValueError):
        decode({name: value for name, value in header.items() if name != field}, blob)
    if field != "model_id":
        with pytest.raises(ValueError):
            decode(header | {field: "x"}, blob)


def test_one_flipped_bit_is_noticed() -> None:
    header, blob = encode(scene(0))
    for place in (0, 1000, len(blob) - 1):
        damaged = bytearray(blob)
        damaged[place] ^= 4
        with pytest.raises(ValueError, match="checksum"):
            decode(header, bytes(damaged))
    with pytest.raises(ValueError):
        decode(header, blob[:-2])


def test_values_that_no_scene_has_are_refused() -> None:
    entry = scene(0)
    with pytest.raises(ValueError, match="no scene"):
        decode(*encode(replace(entry, latents=np.full_like(entry.latents, np.nan))))


@pytest.mark.parametrize("message", [b"", b"{}", b"[]\n", b"nonsense\n", b"\xff\n"])
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError):
        unpack(message)
