"""Kinds of scenarios, each made by a function or a class of one of these modules."""

from __future__ import annotations

from importlib import import_module

from edge_worldmodel.evaluation.arena.source import MakeSource

_MAKERS = {
    "crowd": "streets.make_crowd",
    "corridor": "streets.make_corridor",
    "crossing": "streets.make_crossing",
    "doorway": "streets.make_doorway",
    "junction": "streets.make_junction",
    "aisles": "streets.make_aisles",
    "circle": "circle.CircleSource",
    "stepout": "stepout.StepoutSource",
    "gust": "gust.GustSource",
    "tracks": "tracks.TracksSource",
    "barn": "barn.BarnSource",
    "dynabarn": "dynabarn.DynabarnSource",
    "world": "world_file.WorldFileSource",
}
KINDS = tuple(_MAKERS)


def make_source(kind: str) -> MakeSource:
    """Return the function that reads the keys of a kind and makes its source."""
    module, _, name = _MAKERS[kind].partition(".")
    make: MakeSource = getattr(import_module(f"{__name__}.{module}"), name)
    return make
