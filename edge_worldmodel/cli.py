"""The command `edge-worldmodel VERB`; the module of each verb declares its options and does the work.

A module is imported only when its verb is used, so a missing library affects only the verbs that need it.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_worldmodel import __version__
from edge_worldmodel.core.errors import EdgeWorldModelError

NEEDS_ROS = (
    "this verb needs ROS 2: run it through scripts/with-ros, or source your ROS and this package's install space"
)

GET_TORCH = "run `make setup-train`, then `.venv-train/bin/python -m edge_worldmodel.cli`"


@dataclass(frozen=True)
class Verb:
    """A verb with its module (".name": of this package), which has ``add_arguments(parser)`` and ``run(arguments)``.

    ``run`` returns the exit status. A group has ``verbs`` instead of a module.
    """

    summary: str
    module: str = ""
    needs_ros: bool = False
    verbs: dict[str, Verb] = field(default_factory=dict)


VERBS: dict[str, Verb] = {
    "demo": Verb("drive a simulated robot through a room of walking people", ".evaluation.live.demo", needs_ros=True),
    "replay": Verb("run the nodes on a recording", ".evaluation.live.replay", needs_ros=True),
    "generate": Verb("generate training data", ".training.data.generate"),
    "train": Verb("train the networks", ".training.train"),
    "evaluate": Verb(
        "measure forecasts, driving and reactions to faults",
        verbs={
            "forecast": Verb("compare imagined with real futures of recordings", ".evaluation.forecast.forecast"),
            "closed-loop": Verb("let planners drive in simulated and recorded worlds", ".evaluation.arena.closed_loop"),
            "tune": Verb(
                "search the parameters of the other planners on training episodes", ".evaluation.arena.tuning"
            ),
            "faults": Verb(
                "inject faults into the running graph and measure the time to stop",
                ".evaluation.faults.faults",
                needs_ros=True,
            ),
        },
    ),
    "report": Verb("write closed-loop results as one HTML page", ".evaluation.arena.results.report"),
    "bench": Verb(
        "measure networks, planner and graph on this machine against service levels", ".evaluation.bench.bench"
    ),
    "profile": Verb("measure time and memory of each part of the running graph", ".evaluation.bench.profile"),
    "doctor": Verb("describe this machine and list what to correct on it", ".models.doctor"),
    "place": Verb("measure the shipped models on this machine and choose one", ".models.place"),
    "compress": Verb(
        "make a trained model smaller and faster, and measure the loss of quality",
        verbs={
            "ptq": Verb("quantise to INT8, calibrated on training clips", ".training.compression.ptq"),
            "qat": Verb("quantise to INT8 after training with simulated rounding", ".training.compression.qat"),
            "prune": Verb("remove channels, then fine-tune", ".training.compression.prune"),
            "search": Verb("search the best channel widths within a latency budget", ".training.compression.search"),
        },
    ),
    "export": Verb("write the trained networks as a model folder", ".training.export"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit status: 0 done, 1 not achieved, 2 wrong usage or something is missing.
    """
    # as an exception, so that a run that is ended by SIGTERM also ends its graph
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    words = list(sys.argv[1:] if arguments is None else arguments)
    verb, path, rest = _find(words)
    parser = argparse.ArgumentParser(prog=" ".join(["edge-worldmodel", *path]), description=verb.summary)
    if verb.verbs:
        parser.add_argument("--version", action="version", version=__version__)
        _list_verbs(parser, verb)
        parser.parse_args(rest)
        parser.print_help()
        return 2
    try:
        return _run(verb, parser, rest)
    except EdgeWorldModelError as error:
        print(f"edge-worldmodel: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _find(words: list[str]) -> tuple[Verb, list[str], list[str]]:
    """Return the verb that the first words name, these words, and the remaining ones."""
    verb, path = Verb("run, train and measure the world model of a robot", verbs=VERBS), []
    while verb.verbs and words and words[0] in verb.verbs:
        path.append(words[0])
        verb, words = verb.verbs[words[0]], words[1:]
    return verb, path, words


def _list_verbs(parser: argparse.ArgumentParser, group: Verb) -> None:
    actions = parser.add_subparsers(title="verbs", metavar="VERB")
    for name, verb in group.verbs.items():
        actions.add_parser(name, help=verb.summary + (" (needs ROS 2)" if verb.needs_ros else ""))


def _run(verb: Verb, parser: argparse.ArgumentParser, words: list[str]) -> int:
    module = _load(verb)
    module.add_arguments(parser)
    options = parser.parse_args(words)
    if verb.needs_ros and not ros_is_here():
        print(f"edge-worldmodel: {NEEDS_ROS}", file=sys.stderr)
        return 2
    return int(module.run(options))


def _load(verb: Verb) -> Any:
    """Import the verb's module.

    Raises:
        MissingLibraryError: a library that the verb needs is not installed.
    """
    try:
        return importlib.import_module(verb.module, "edge_worldmodel")
    except ModuleNotFoundError as error:
        name = (error.name or "").split(".")[0]
        missing = f"module '{error.name}' of this package" if name == "edge_worldmodel" else f"'{error.name}'"
        hint = f": {GET_TORCH}" if name == "torch" else ""
        raise MissingLibraryError(f"this verb needs {missing}, which is not installed here{hint}") from error


class MissingLibraryError(EdgeWorldModelError):
    """A library that a verb needs is not installed."""


def ros_is_here() -> bool:
    """Return whether ROS 2 and the messages of this package can be imported."""
    return all(_importable(name) for name in ("rclpy", "launch", "edge_worldmodel.msg"))


def _importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(main())
