"""Kinds of scenarios; each has a function make_<kind> in one of these modules."""

from __future__ import annotations

from importlib import import_module

from edge_worldmodel.evaluation.arena.source import MakeSource

_MODULES = {
    "crowd": "streets",
    "corridor": "streets",
    "crossing": "streets",
    "doorway": "streets",
    "circle": "circle",
    "stepout": "stepout",
    "gust": "gust",
    "tracks": "tracks",
    "barn": "barn",
    "dynabarn": "dynabarn",
    "world": "world_file",
}
KINDS = tuple(_MODULES)


def make_source(kind: str) -> MakeSource:
    """Return the function that reads the keys of a kind and makes its source."""
    module = import_module(f"{__name__}.{_MODULES[kind]}")
    make: MakeSource = getattr(module, f"make_{kind}")
    return make
