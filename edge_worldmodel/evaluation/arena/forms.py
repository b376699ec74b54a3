"""Forms of the benchmark: fixed planners, seed and episodes, so that results of different commits can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

from edge_worldmodel.evaluation.arena.scenario import ScenarioOverrides
from edge_worldmodel.evaluation.arena.source import ScenarioError
from edge_worldmodel.models.shipped import shipped

FORMS = ("short", "tiny")


@dataclass(frozen=True)
class Form:
    """The episodes of a run.

    Attributes:
        name: of the form; empty for episodes that the command line names.
        seed: of all randomness.
        planners: their names.
        episodes: indices of the episodes of each scenario.
    """

    name: str
    seed: int
    planners: Sequence[str]
    episodes: Mapping[str, Sequence[int]]


def load_form(name: str, inputs: ScenarioOverrides) -> Form:
    """Return a shipped form; scenarios that need other files than ``inputs`` has are left out.

    Raises:
        ScenarioError: the file is damaged.
    """
    path = shipped("worlds/forms") / f"{name}.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        episodes = dict(content["episodes"])
        episodes |= content.get("with_worlds", {}) if inputs.worlds else {}
        episodes |= content.get("with_tracks", {}) if inputs.tracks else {}
        chosen = {str(scenario): tuple(map(int, indices)) for scenario, indices in episodes.items()}
        return Form(name, int(content["seed"]), tuple(map(str, content["planners"])), chosen)
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ScenarioError(f"{path}: expected seed, planners and episodes by scenario: {error!r}") from error
