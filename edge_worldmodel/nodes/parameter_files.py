"""Parameter files as launch files read them: what they say about one node, and the preset of a robot."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml


def node_parameters(node: str, files: Iterable[str | Path], namespace: str = "") -> dict[str, Any]:
    """Return what parameter files say about a node in a namespace; later files and sections win."""
    found: dict[str, Any] = {}
    full_name = absolute(node, "/" + namespace.strip("/"))
    for file in files:
        for pattern, values in _sections(yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {}):
            if re.fullmatch(pattern, full_name):
                found.update(values)
    return found


def preset_file(folder: Path, robot: str) -> Path:
    """Return the file of a robot's preset.

    Args:
        folder: the shipped presets.
        robot: name of a file in it without ``.yaml``, or the absolute path of another file, with or without.

    Raises:
        ValueError: there is no such file.
    """
    file = folder / f"{robot.removesuffix('.yaml')}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(preset.stem for preset in folder.glob("*.yaml")))
        raise ValueError(
            f"robot:={robot}: there is no file '{file}'. Choose one of {known}, or give the whole path of your own file"
            " (docs/robots.md)"
        )
    return file


def absolute(name: str, prefix: str) -> str:
    """Return a ROS name with its namespace, unless it has one."""
    return name if name.startswith("/") else f"{prefix.rstrip('/')}/{name}"


def _sections(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield a pattern of node names and the parameters for them, for each section of a parameter file."""
    for key, branch in tree.items():
        if key == "ros__parameters":
            steps = {"**": "(/[^/]+)*", "*": "/[^/]+"}
            yield "".join(steps.get(step, "/" + re.escape(step)) for step in path.split("/") if step), branch or {}
        elif isinstance(branch, Mapping):
            yield from _sections(branch, f"{path}/{key}")
