"""Reads typed values from a tree of YAML values; errors name the place, the value and what is expected."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from edge_worldmodel.core.errors import ConfigError

T = TypeVar("T")
_REQUIRED: Any = object()


class WorldError(ConfigError):
    """A world file cannot be used; the message names the file, the place and what is expected there."""


class Fields:
    """One mapping of a world file; ``finish`` reports keys that were never read."""

    def __init__(self, values: object, place: str) -> None:
        """Wrap a mapping found at a place such as ``room.yaml: people[2]``."""
        if not isinstance(values, Mapping):
            raise WorldError(f"{place} = {_quote(values)}: expected 'key: value' pairs")
        self._values = dict(values)
        self._place = place
        self._known: set[str] = set()

    def __contains__(self, key: str) -> bool:
        """Return whether the file has this key."""
        return key in self._values

    def place(self, key: str) -> str:
        """Return the place of a key, for messages."""
        return f"{self._place}.{key}"

    def keys(self) -> tuple[str, ...]:
        """Return the keys of the file."""
        return tuple(self._values)

    def number(
        self, key: str, default: float = _REQUIRED, *, minimum: float = -math.inf, maximum: float = math.inf
    ) -> float:
        """Return a finite number within [minimum, maximum]."""
        value = self._take(key, default)
        return _number(value, self.place(key), minimum, maximum)

    def text(self, key: str, default: str = _REQUIRED, *, choices: tuple[str, ...] = ()) -> str:
        """Return a text, one of ``choices`` where given."""
        value = self._take(key, default)
        if not isinstance(value, str):
            raise WorldError(f"{self.place(key)} = {_quote(value)}: expected a text")
        if choices and value not in choices:
            raise WorldError(f"{self.place(key)} = {_quote(value)}: choose one of {', '.join(choices)}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise WorldError(f"{self.place(key)} = {_quote(value)}: expected true or false")
        return value

    def numbers(self, key: str, names: str, default: tuple[float, ...] = _REQUIRED) -> tuple[float, ...]:
        """Return as many finite numbers as ``names`` has words ("x y yaw")."""
        return _numbers(self._take(key, default), self.place(key), names)

    def optional_numbers(self, key: str, names: str) -> tuple[float, ...] | None:
        """Return the numbers, or None where the file does not have the key."""
        return self.numbers(key, names) if key in self._values else None

    def number_lists(self, key: str, names: str) -> tuple[tuple[float, ...], ...]:
        """Return a list of number lists, empty where the file does not have the key."""
        return self.each(key, lambda value, place: _numbers(value, place, names))

    def each(self, key: str, read: Callable[[object, str], T]) -> tuple[T, ...]:
        """Return ``read(value, place)`` of every entry of a list, empty where the file does not have the key."""
        value = self._take(key, [])
        if not isinstance(value, list):
            raise WorldError(f"{self.place(key)} = {_quote(value)}: expected a list")
        return tuple(read(entry, f"{self.place(key)}[{i}]") for i, entry in enumerate(value))

    def mapping(self, key: str) -> dict[str, object]:
        """Return a mapping as it is, empty where the file does not have the key."""
        value = self._take(key, {})
        if not isinstance(value, Mapping):
            raise WorldError(f"{self.place(key)} = {_quote(value)}: expected 'key: value' pairs")
        return {str(k): v for k, v in value.items()}

    def finish(self) -> None:
        """Refuse keys that were never read, so that a misspelled key is not ignored."""
        for key in self._values:
            if key not in self._known:
                near = difflib.get_close_matches(str(key), self._known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(self._known))}"
                raise WorldError(f"{self._place}: unknown key {_quote(key)}; {hint}")

    def _take(self, key: str, default: Any) -> Any:
        self._known.add(key)
        value = self._values.get(key, default)
        if value is _REQUIRED:
            raise WorldError(f"{self._place}: key {key!r} is missing")
        return value


def _number(value: object, place: str, minimum: float, maximum: float) -> float:
    # In Python, bool is a subclass of int.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise WorldError(f"{place} = {_quote(value)}: expected a finite number")
    if not minimum <= value <= maximum:
        raise WorldError(f"{place} = {_quote(value)}: must lie in [{minimum}, {maximum}]")
    return float(value)


def _numbers(value: object, place: str, names: str) -> tuple[float, ...]:
    wanted = names.split()
    if not isinstance(value, (list, tuple)) or len(value) != len(wanted):
        raise WorldError(f"{place} = {_quote(value)}: expected [{', '.join(wanted)}]")
    pairs = zip(value, wanted, strict=True)
    return tuple(_number(entry, f"{place}.{name}", -math.inf, math.inf) for entry, name in pairs)


def _quote(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
