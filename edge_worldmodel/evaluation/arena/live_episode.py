"""One episode through the live ROS graph, to compare with the same episode in one process.

World, seed and parameters are the same; the simulator node runs in real time. The figures are only how the episode
ended and when. The time counts from the first plan, because the nodes need some seconds to start.
"""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from edge_worldmodel.evaluation.arena.outcome import EpisodeOutcome, barn_score
from edge_worldmodel.evaluation.arena.scenario import EpisodeCase, Scenario
from edge_worldmodel.evaluation.arena.source import ScenarioError
from edge_worldmodel.evaluation.controllers.ours.parameters import graph_parameters
from edge_worldmodel.sim.fields import WorldError
from edge_worldmodel.sim.world_writer import write_world

LIVE = "ours_live"
"""Name of the live graph in the results; ``ours`` is the same planner in one process."""
_POLL_S = 0.25
_START_S = 60.0


def drive_live(scenario: Scenario, case: EpisodeCase) -> EpisodeOutcome:
    """Drive one case through demo.launch.py.

    Raises:
        ScenarioError: the world cannot be written as a world file.
        LiveGraphError: the package is not built or not sourced.
    """
    from edge_worldmodel.evaluation.live.live_graph import LiveGraph

    with tempfile.TemporaryDirectory(prefix="live-episode-") as name:
        folder = Path(name)
        arguments = launch_arguments(scenario, case, folder)
        with LiveGraph("demo.launch.py", arguments, folder, own_domain=True) as graph:
            ending, time_s, error = _watch(graph, scenario.time_limit_s)
    unknown: dict[str, Any] = dict.fromkeys(
        ("path_m", "min_distance_m", "person_distance_m", "intrusion_s", "jerk", "goal_distance_m"), math.nan
    )
    score = barn_score(ending == "success", time_s, case.drawn.shortest_m)
    return EpisodeOutcome(ending=ending, label=case.drawn.label, time_s=time_s, score=score, error=error, **unknown)


def launch_arguments(scenario: Scenario, case: EpisodeCase, folder: Path) -> dict[str, str]:
    """Write world and parameters into a folder and return the arguments for demo.launch.py."""
    from edge_worldmodel.evaluation.live.live_graph import changed_parameters, share

    world, robot, params = folder / "world.yaml", folder / "robot.yaml", folder / "params.yaml"
    try:
        write_world(case.drawn.world, world)
    except WorldError as error:
        raise ScenarioError(f"{error}; the live graph cannot drive it") from error
    nodes = graph_parameters(scenario.robot, scenario.max_speed_mps).items()
    robot.write_text(yaml.safe_dump({f"/**/{node}": {"ros__parameters": values} for node, values in nodes}))
    sim = {"goal_tolerance_m": scenario.goal_tolerance_m}
    params.write_text(yaml.safe_dump(changed_parameters(share() / "config" / "params.yaml", {"sim": sim})))
    return {
        "world": str(world),
        "seed": str(case.simulation_seed),
        "robot": str(robot.with_suffix("")),  # an absolute path replaces the name of a file in config/robots
        "params_file": str(params),
        "rviz": "false",
    }


def _watch(graph: Any, limit_s: float) -> tuple[str, float, str]:
    """Return the ending, the seconds since the first plan, and the error."""
    launched_s, began_s = time.monotonic(), None
    while graph.running():
        figures, now_s = graph.statistics(), time.monotonic()
        if began_s is None and figures.get("plans", 0):
            began_s = now_s
        elapsed_s = 0.0 if began_s is None else now_s - began_s
        # If both happened since the last poll, their order is unknown: it counts as a contact.
        if figures.get("contacts", 0):
            return "contact", elapsed_s, ""
        if figures.get("goal_reached"):
            return "success", elapsed_s, ""
        if elapsed_s >= limit_s:
            return "timeout", limit_s, ""
        if began_s is None and now_s - launched_s > _START_S:
            return "error", 0.0, f"the graph made no plan within {_START_S:g} s"
        time.sleep(_POLL_S)
    return "error", 0.0, "the graph ended by itself"
