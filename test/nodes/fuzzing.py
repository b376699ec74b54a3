"""Hostile messages: good ones with a few fields spoiled, or every field at random, from a seed and the definitions."""

from __future__ import annotations

import array
import math
import re

import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from rosidl_runtime_py.utilities import get_message

FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-30, 1e6, -1e6, math.nan, math.inf, -math.inf, 1e18, -1e18, 3.4e38, -3.4e38, 1e-310)
TEXTS = ("", "map", "base_link", "odom", "laser", "x" * 3000, "äß\u4e2d", "/", "../..", "%s%n", "<f4", ">f8")
FLOAT32_MAX = 3.3e38
LONGEST = 3000


def spoiled(message, rng: np.random.Generator, most: int = 3):
    """Return a copy of a good message with up to ``most`` values, anywhere in it, replaced."""
    message = copied(message)
    for _ in range(rng.integers(1, most + 1)):
        _spoil_somewhere(message, rng)
    return copied(message)


def anything(kind: type, rng: np.random.Generator):
    """Return a message of a class with every field at random."""
    message = kind()
    for name, field in kind.get_fields_and_field_types().items():
        setattr(message, name, _value(field, rng))
    return copied(message)


def with_every_float(message, value: float):
    """Return a copy in which every floating-point number, also in arrays, is ``value``."""
    message = copied(message)
    for name, field in message.get_fields_and_field_types().items():
        old = getattr(message, name)
        if field in ("float", "double"):
            setattr(message, name, value)
        elif hasattr(old, "get_fields_and_field_types"):
            setattr(message, name, with_every_float(old, value))
        elif isinstance(old, list):
            items = [with_every_float(x, value) if hasattr(x, "get_fields_and_field_types") else x for x in old]
            setattr(message, name, items)
        elif isinstance(old, array.array) and old.typecode in "fd":
            setattr(message, name, array.array(old.typecode, [value] * len(old)))
        elif isinstance(old, np.ndarray) and old.dtype.kind == "f":
            setattr(message, name, np.full_like(old, value))
    return message


def copied(message):
    """Return what arrives when a message is sent."""
    return deserialize_message(serialize_message(message), type(message))


def _spoil_somewhere(message, rng: np.random.Generator) -> None:
    """Walk down to some field and replace it, or for an array one element or its length."""
    fields = message.get_fields_and_field_types()
    if not fields:
        return
    name = str(rng.choice(list(fields)))
    value = getattr(message, name)
    if hasattr(value, "get_fields_and_field_types"):
        if value.get_fields_and_field_types():
            _spoil_somewhere(value, rng)
    elif isinstance(value, list) and value and hasattr(value[0], "get_fields_and_field_types") and rng.random() < 0.7:
        _spoil_somewhere(value[rng.integers(len(value))], rng)
    elif isinstance(value, (array.array, list)) and len(value) and rng.random() < 0.7:
        _spoil_sequence(message, name, value, rng)
    else:
        setattr(message, name, _value(fields[name], rng))


def _spoil_sequence(message, name: str, value, rng: np.random.Generator) -> None:
    how = rng.integers(4)
    if how == 0:
        value = value[: rng.integers(len(value))]
    elif how == 1:
        value = value + value[: rng.integers(1, len(value) + 1)]
    elif isinstance(value, array.array) and value.typecode in "fd":
        for _ in range(rng.integers(1, 1 + len(value)) if how == 2 else 1):
            value[rng.integers(len(value))] = _number("double" if value.typecode == "d" else "float", rng)
    elif isinstance(value, array.array):
        value[rng.integers(len(value))] = array.array(value.typecode, bytes([rng.integers(128)] * value.itemsize))[0]
    setattr(message, name, value)


def _value(field: str, rng: np.random.Generator):
    """Return a random value of a field's type, as in ``get_fields_and_field_types``."""
    fixed, sequence = re.fullmatch(r"(.+)\[(\d+)\]", field), re.fullmatch(r"sequence<(.+?)(?:, \d+)?>", field)
    if fixed or sequence:
        count = int(fixed[2]) if fixed else int(rng.choice([0, 1, 2, 9, 10, 64, 360, 4096, rng.integers(LONGEST)]))
        item = (fixed or sequence)[1]
        return _items(item, count, rng)
    if "/" in field:
        package, name = field.split("/")
        return anything(get_message(f"{package}/msg/{name}"), rng)
    if field == "boolean":
        return bool(rng.integers(2))
    return str(rng.choice(TEXTS)) if field.startswith(("string", "wstring")) else _number(field, rng)


def _items(item: str, count: int, rng: np.random.Generator):
    if "/" in item:
        return [_value(item, rng) for _ in range(min(count, 12))]
    if item in ("float", "double"):
        values = rng.choice(FLOATS, size=count) if rng.random() < 0.5 else rng.normal(0.0, 3.0, size=count)
        return np.clip(values, -FLOAT32_MAX, FLOAT32_MAX).tolist() if item == "float" else values.tolist()
    return [_value(item, rng) for _ in range(count)]


def _number(field: str, rng: np.random.Generator):
    if field in ("float", "double"):
        value = float(rng.choice(FLOATS)) if rng.random() < 0.7 else float(rng.normal(0.0, 3.0))
        return value if field == "double" or not math.isfinite(value) else min(max(value, -FLOAT32_MAX), FLOAT32_MAX)
    if field in ("octet", "byte"):
        return bytes([rng.integers(256)])
    signed, bits = field.startswith("int"), int(re.sub(r"\D", "", field) or 8)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    near = [low, high, 0, 1, max(low, -1), min(high, 64), min(high, 999_999_999), min(high, 2**31)]
    return near[rng.integers(len(near))] if rng.random() < 0.7 else int(rng.integers(max(low, -100), min(high, 5000)))
