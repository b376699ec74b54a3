"""Hostile messages as hypothesis strategies: valid ones with a few fields spoiled, any values, damaged bytes.

They are derived from the fields of each message type, so a new field is spoiled without a line here.
"""

from __future__ import annotations

import array
import functools
import math
import re

import numpy as np
from hypothesis import strategies as st
from rclpy.serialization import serialize_message
from rosidl_runtime_py.utilities import get_message

FLOAT32_MAX = 3.4e38
FLOATS = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 1e300, -1e300, 5e-324, 1e-310, 1e-30, 1e18, -1e6, 1e9)
TEXTS = (
    "",
    "map",
    "base_link",
    "odom",
    "laser",
    "x" * 3000,
    "äß\u4e2d",
    "/",
    "/laser",
    "../..",
    "%s%n",
    "<f4",
    ">f8",
    "16UC1",
)
LENGTHS = (0, 1, 2, 3, 9, 10, 63, 64, 65, 360, 4096)
QUATERNIONS = (
    *((size,) * 4 for size in (0.0, 1e300, math.nan, math.inf, 5e-324, 2.0)),
    *((0.0, 0.0, 0.0, w) for w in (-1.0, 1.004, 0.5, 1e-3)),
    (1.0, 0.0, 0.0, 0.0),
)


@st.composite
def arrivals(draw, make_good) -> bytes:
    """Draw the bytes of a hostile message.

    Args:
        draw: of hypothesis.
        make_good: returns a valid message.
    """
    how = draw(st.integers(0, 9))
    message = make_good()
    if how == 0:
        return draw(damaged(serialize_message(message)))
    if how < 3:
        message = draw(anything(type(message)))
    else:  # these come the furthest
        for _ in range(draw(st.integers(1, 2))):
            _spoil(draw, message)
    return serialize_message(message)


@st.composite
def damaged(draw, data: bytes) -> bytes:
    """Draw the bytes of a message cut, extended or exchanged in places."""
    at = draw(st.integers(0, len(data)))
    how = draw(st.sampled_from(["cut", "remove", "insert", "exchange", "size"]))
    if how == "cut":
        return data[:at]
    if how == "remove":
        return data[:at] + data[at + draw(st.integers(1, 9)) :]
    if how == "size":
        return data[:at] + draw(st.sampled_from([0, 1, 0x7FFFFFFF, 0xFFFFFFFF])).to_bytes(4, "little") + data[at + 4 :]
    drawn = draw(st.binary(min_size=1, max_size=8))
    return data[:at] + drawn + data[at + (0 if how == "insert" else len(drawn)) :]


@functools.cache
def anything(kind: type) -> st.SearchStrategy:
    """Return the strategy of messages with every field at random."""
    fields = kind.get_fields_and_field_types()
    return st.builds(kind, **{name: values(field) for name, field in fields.items()})


@functools.cache
def values(field: str) -> st.SearchStrategy:
    """Return the strategy of a field by its type, as in ``get_fields_and_field_types``."""
    fixed, sequence = re.fullmatch(r"(.+)\[(\d+)\]", field), re.fullmatch(r"sequence<(.+?)(?:, \d+)?>", field)
    if fixed:
        return _items(fixed[1], st.just(int(fixed[2])))
    if sequence:
        return _items(sequence[1], st.sampled_from(LENGTHS))
    if field == "geometry_msgs/Quaternion":
        kind = get_message("geometry_msgs/msg/Quaternion")
        return st.sampled_from(QUATERNIONS).map(lambda q: kind(x=q[0], y=q[1], z=q[2], w=q[3]))
    if "/" in field:
        package, name = field.split("/")
        return anything(get_message(f"{package}/msg/{name}"))
    if field == "boolean":
        return st.booleans()
    return st.sampled_from(TEXTS) if field.startswith(("string", "wstring")) else _numbers(field)


def with_every_float(message, value: float):
    """Set every floating-point number of a message, also in arrays, and return it."""
    for name, field in message.get_fields_and_field_types().items():
        old = getattr(message, name)
        if field in ("float", "double"):
            setattr(message, name, value)
        elif hasattr(old, "get_fields_and_field_types"):
            with_every_float(old, value)
        elif isinstance(old, list):
            for item in old:
                if hasattr(item, "get_fields_and_field_types"):
                    with_every_float(item, value)
        elif isinstance(old, array.array) and old.typecode in "fd":
            setattr(message, name, array.array(old.typecode, [value] * len(old)))
        elif isinstance(old, np.ndarray) and old.dtype.kind == "f":
            setattr(message, name, np.full_like(old, value))
    return message


def _items(item: str, lengths: st.SearchStrategy) -> st.SearchStrategy:
    """Return the strategy of a sequence: the same item throughout, or a few that alternate."""
    most = 12 if "/" in item else LENGTHS[-1]
    drawn = st.lists(values(item), min_size=1, max_size=3)
    return st.builds(lambda few, length: (few * length)[: min(length, most)], drawn, lengths)


@functools.cache
def _numbers(field: str) -> st.SearchStrategy:
    if field == "double":
        return st.sampled_from(FLOATS) | st.floats(-10.0, 10.0)
    if field == "float":
        bounded = [
            value if not abs(value) < math.inf else min(max(value, -FLOAT32_MAX), FLOAT32_MAX) for value in FLOATS
        ]
        return st.sampled_from(bounded) | st.floats(-10.0, 10.0, width=32)
    if field in ("octet", "byte"):
        return st.binary(min_size=1, max_size=1)
    signed, bits = field.startswith("int"), int(re.sub(r"\D", "", field) or 8)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    near = sorted({low, high, 0, 1, max(low, -1), min(high, 64), min(high, 999_999_999), min(high, 2**31 - 1)})
    return st.sampled_from(near) | st.integers(max(low, -100), min(high, 5000))


def _spoil(draw, message) -> None:
    """Walk down to some field and replace it, or one element or the length of a sequence."""
    fields = message.get_fields_and_field_types()
    if not fields:
        return
    name = draw(st.sampled_from(sorted(fields)))
    value = getattr(message, name)
    deeper = draw(st.integers(0, 3)) > 0
    if hasattr(value, "get_fields_and_field_types"):
        if deeper and fields[name] != "geometry_msgs/Quaternion" and value.get_fields_and_field_types():
            _spoil(draw, value)
            return
    elif deeper and isinstance(value, list) and value and hasattr(value[0], "get_fields_and_field_types"):
        _spoil(draw, value[draw(st.integers(0, len(value) - 1))])
        return
    elif deeper and isinstance(value, array.array | list | np.ndarray) and len(value):
        _spoil_sequence(draw, message, name, value, fields[name])
        return
    setattr(message, name, draw(values(fields[name])))


def _spoil_sequence(draw, message, name: str, value, field: str) -> None:
    fixed = re.fullmatch(r"(.+)\[(\d+)\]", field)
    how = "element" if fixed else draw(st.sampled_from(["element", "shorter", "longer"]))
    at = draw(st.integers(0, len(value) - 1))
    if how == "element":
        value[at] = draw(values(fixed[1] if fixed else re.fullmatch(r"sequence<(.+?)(?:, \d+)?>", field)[1]))
    else:
        value = value[:at] if how == "shorter" else value + value[: at + 1]
    setattr(message, name, value)
