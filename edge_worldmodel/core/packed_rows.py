"""Rows of an image or organised cloud in the bytes of a message."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.rejection import RejectedInputError, RejectionKind


def packed_rows(data: Any, rows: int, row_bytes: int, step_bytes: int, content: str) -> NDArray[np.uint8]:
    """Return the rows (rows, row_bytes) of a message, without the padding between them.

    The last row may end without padding. Drivers often leave the step at 0 or set it to another number; if the data
    has exactly the size of its rows, they follow each other, whatever the step is.

    Args:
        data: bytes of the message.
        rows: number of rows.
        row_bytes: bytes of one row, without padding.
        step_bytes: bytes from one row to the next, as the message has it.
        content: description of the message for errors.

    Raises:
        RejectedInputError: MALFORMED, the sizes do not match.
    """
    held, size = len(data), rows * row_bytes
    if size == 0:
        raise RejectedInputError(RejectionKind.EMPTY, f"{content}: there is nothing in it")
    if held == size:
        return np.frombuffer(data, np.uint8).reshape(rows, row_bytes)
    if step_bytes < row_bytes or held < step_bytes * (rows - 1) + row_bytes:
        raise RejectedInputError(
            RejectionKind.MALFORMED,
            f"{content}: {held} bytes do not match, {size} are needed without padding and"
            f" {step_bytes * (rows - 1) + row_bytes} with a step of {step_bytes}; look at the driver",
        )
    return np.lib.stride_tricks.as_strided(
        np.frombuffer(data, np.uint8), (rows, row_bytes), (step_bytes, 1), writeable=False
    )
