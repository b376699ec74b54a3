"""Scenes as bytes: on the way to the process that keeps them, and on disk."""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np

from edge_worldmodel.core import tensors
from edge_worldmodel.core.cache.window_store import EMBEDDING_SIZE, Entry
from edge_worldmodel.core.types import Tensor

MAX_FUTURES = 1024


def pack(header: dict[str, Any], blob: bytes = b"") -> bytes:
    """Return one message: a line of JSON, then bytes."""
    return json.dumps(header).encode() + b"\n" + blob


def unpack(message: bytes) -> tuple[dict[str, Any], bytes]:
    """Return header and bytes of a message.

    Raises:
        ValueError: it was not made by ``pack``.
    """
    line, separator, blob = message.partition(b"\n")
    header = json.loads(line)
    if not separator or not isinstance(header, dict):
        raise ValueError("no header")
    return header, blob


def encode(entry: Entry) -> tuple[dict[str, Any], bytes]:
    """Return what describes an entry, with a checksum, and its arrays in half precision."""
    blob = entry.embedding.astype(np.float16).tobytes() + entry.latents.astype(np.float16).tobytes()
    header = {
        "stamp_ns": entry.stamp_ns,
        "pose": [float(value) for value in entry.pose],
        "model_id": entry.model_id,
        "futures": len(entry.latents),
        "crc": zlib.crc32(blob),
    }
    return header, blob


def decode(header: dict[str, Any], blob: bytes) -> Entry:
    """Return the entry.

    Raises:
        ValueError: it is damaged, or from another version of this program.
    """
    try:
        pose = np.array(header["pose"], np.float64).reshape(3)
        futures, stamp_ns, model_id = int(header["futures"]), int(header["stamp_ns"]), str(header["model_id"])
        intact = zlib.crc32(blob) == header["crc"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"field missing or of another type: {error}") from error
    if not intact or not 0 < futures <= MAX_FUTURES:
        raise ValueError("checksum differs")
    values = np.frombuffer(blob, np.float16).astype(np.float32)
    embedding: Tensor = values[:EMBEDDING_SIZE]
    latents: Tensor = values[EMBEDDING_SIZE:].reshape(tensors.LATENT.with_batch(futures))
    if len(embedding) != EMBEDDING_SIZE or not np.isfinite(values).all():
        raise ValueError("values that no scene has")
    return Entry(stamp_ns, pose, model_id, embedding, latents)
