"""Scenarios: small files that define the robot, the worlds, the people and the time limit of episodes."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml

from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.evaluation.arena.clairvoyant.play import EpisodeSetup
from edge_worldmodel.evaluation.arena.clairvoyant.solve import Solution, solve
from edge_worldmodel.evaluation.arena.fair_start import is_fair
from edge_worldmodel.evaluation.arena.source import DrawnWorld, ScenarioError, Source, SourceInputs
from edge_worldmodel.evaluation.arena.sources import KINDS, make_source
from edge_worldmodel.models.shipped import shipped
from edge_worldmodel.sim.fields import Fields, WorldError
from edge_worldmodel.sim.robots import RobotSpec, robot_spec, with_overrides

_MAX_TIME_LIMIT_S = 600.0
_DRAWS = 40
"""So many worlds are drawn for an episode, until one can be used."""
_UNSOLVED_DRAWS = 5
"""So many of them may be unsolvable."""
_NEXT_DRAW = 1_000_003
"""Sources that take worlds from a list find another one at an index so much higher."""


@dataclass(frozen=True)
class ScenarioOverrides:
    """Values of the command line that replace those of the scenario file; None: as in the file."""

    worlds: tuple[Path, ...] = ()
    tracks: Path | None = None
    people: tuple[int, int] | None = None
    max_speed_mps: float | None = None
    time_limit_s: float | None = None


@dataclass(frozen=True)
class EpisodeCase:
    """One episode to drive: the world and the seeds of all randomness."""

    index: int
    drawn: DrawnWorld
    simulation_seed: int
    planner_seed: int
    unfair_draws: int = 0
    """Worlds that were drawn before and not used, because somebody comes too near the start."""
    unsolved_draws: int = 0
    """Worlds that were drawn before and not used, because no contact-free drive was found."""
    solution: Solution | None = None
    """A contact-free drive."""


@dataclass(frozen=True)
class Scenario:
    """A family of seeded episodes.

    ``digest`` changes with everything that the episodes depend on, data files included.
    """

    name: str
    about: str
    robot: RobotSpec
    max_speed_mps: float
    time_limit_s: float
    goal_tolerance_m: float
    source: Source
    seed: int
    digest: str
    drawn_as: str
    """The random numbers are those of a scenario of this name."""
    observe_s: float
    """So long the robot stands and observes before the clock runs."""
    clear_s: float
    """So long nobody comes near the start after that."""
    solvable: bool
    """Whether only episodes are used for which a contact-free drive is known."""

    def case(self, index: int) -> EpisodeCase:
        """Return episode ``index``; it is the same for every planner, process and machine.

        Raises:
            ScenarioError: the source cannot draw it, or it has drawn no world that is fair and solvable.
        """
        unsolved = 0
        for draw in range(_DRAWS):
            case = replace(self._draw(index, draw), unfair_draws=draw - unsolved, unsolved_draws=unsolved)
            if not is_fair(case.drawn.world, case.simulation_seed, self.observe_s + self.clear_s):
                continue
            solution = self.solve(case) if self.solvable else None
            if solution is not None or not self.solvable:
                return replace(case, solution=solution)
            unsolved += 1
            if unsolved == _UNSOLVED_DRAWS:
                break
        raise ScenarioError(
            f"scenario {self.name}, episode {index}: of {draw + 1} worlds {draw + 1 - unsolved} have somebody near the"
            f" start within {self.observe_s + self.clear_s:g} s, and {unsolved} no contact-free drive within"
            f" {self.time_limit_s:g} s; draw fewer people or change time_limit, clear_start or solvable"
        )

    def solve(self, case: EpisodeCase) -> Solution | None:
        """Return a contact-free drive through an episode, None if none was found."""
        return solve(
            EpisodeSetup(
                world=case.drawn.world,
                seed=case.simulation_seed,
                max_speed_mps=self.max_speed_mps,
                observe_s=self.observe_s,
                time_limit_s=self.time_limit_s,
                goal_tolerance_m=self.goal_tolerance_m,
            )
        )

    def _draw(self, index: int, draw: int) -> EpisodeCase:
        words = [self.seed, zlib.crc32(self.drawn_as.encode()), index, *([draw] if draw else [])]
        # Separate seeds: the random numbers of a planner do not change the world or the sensor noise.
        world_seed, simulation_seed, planner_seed = np.random.SeedSequence(words).spawn(3)
        try:
            drawn = self.source.draw(index + draw * _NEXT_DRAW, np.random.default_rng(world_seed))
        except WorldError as error:
            raise ScenarioError(f"scenario {self.name}, episode {index}: {error}") from error
        return EpisodeCase(index, drawn, _number(simulation_seed), _number(planner_seed))


def _number(seed: np.random.SeedSequence) -> int:
    return int(seed.generate_state(1, np.uint32)[0])


def load_scenario(name: str, seed: int, overrides: ScenarioOverrides | None = None) -> Scenario:
    """Read a scenario.

    Args:
        name: a built-in name, or the path of a .yaml file.
        seed: seed of all randomness.
        overrides: values of the command line.

    Raises:
        ScenarioError: the file is missing, or something in it cannot be used.
    """
    path = find_scenario(name)
    text = _read(path)
    try:
        fields = Fields(yaml.safe_load(text), path.name)
        scenario = _scenario(fields, path, seed, overrides or ScenarioOverrides())
        fields.finish()
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from error
    except yaml.YAMLError as error:
        raise ScenarioError(f"{path}: not valid YAML: {error}") from error
    except (WorldError, ConfigError) as error:
        raise ScenarioError(f"{path}: {error}") from error
    parts = [text, repr(overrides or ScenarioOverrides()), scenario.digest]
    return replace(scenario, digest=hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16])


def built_in_scenarios() -> list[str]:
    """Return the names of the scenarios that are shipped."""
    return sorted(path.stem for path in shipped("worlds/scenarios").glob("*.yaml"))


def find_scenario(name: str) -> Path:
    """Return the file of a built-in scenario, or the path that was given."""
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    path = shipped("worlds/scenarios") / f"{name}.yaml"
    if not path.is_file():
        names = ", ".join(built_in_scenarios())
        raise ScenarioError(f"scenario '{name}' does not exist: choose one of {names}, or give a .yaml file")
    return path


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from error


def _scenario(fields: Fields, path: Path, seed: int, overrides: ScenarioOverrides) -> Scenario:
    kind = fields.text("kind", choices=KINDS)
    robot = _robot(fields)
    speed_mps = fields.number("max_speed", robot.max_speed_mps, minimum=0.05, maximum=robot.max_speed_mps)
    limit_s = fields.number("time_limit", 60.0, minimum=1.0, maximum=_MAX_TIME_LIMIT_S)
    if overrides.max_speed_mps is not None:
        speed_mps = min(overrides.max_speed_mps, robot.max_speed_mps)
    limit_s = limit_s if overrides.time_limit_s is None else overrides.time_limit_s
    observe_s = fields.number("observe", 2.0, minimum=0.0, maximum=10.0)
    inputs = SourceInputs(
        robot, limit_s + observe_s, speed_mps, seed, overrides.worlds, overrides.tracks, overrides.people
    )
    source = make_source(kind)(fields, inputs)
    name = fields.text("name", path.stem)
    return Scenario(
        name=name,
        about=fields.text("about", ""),
        robot=robot,
        max_speed_mps=speed_mps,
        time_limit_s=limit_s,
        goal_tolerance_m=fields.number("goal_tolerance", 0.3, minimum=0.05, maximum=5.0),
        source=source,
        seed=seed,
        digest=getattr(source, "digest", ""),
        drawn_as=fields.text("drawn_as", name),
        observe_s=observe_s,
        clear_s=fields.number("clear_start", 3.0, minimum=0.0, maximum=10.0),
        solvable=fields.flag("solvable", True),
    )


def _robot(fields: Fields) -> RobotSpec:
    robot = Fields(fields.mapping("robot"), fields.place("robot"))
    spec = robot_spec(robot.text("preset", "generic"))
    try:
        spec = with_overrides(spec, robot.mapping("scanner"), robot.mapping("odometry"))
        spec = replace(spec, **robot.mapping("limits"))  # type: ignore[arg-type]
    except TypeError as error:
        raise ScenarioError(f"{fields.place('robot')}: {error}") from error
    robot.finish()
    return spec
