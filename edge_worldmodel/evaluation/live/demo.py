"""`edge-worldmodel demo`: the whole graph drives a robot in the simulator to its goal."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from edge_worldmodel.evaluation.live import run_report
from edge_worldmodel.evaluation.live.live_graph import LiveGraph, rviz_is_possible

_POLL_S = 0.5
_AFTER_GOAL_S = 1.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    run_report.add_common_arguments(parser, "out/demo")
    parser.add_argument(
        "--world", default="demo_room", help="world file, or the name of a shipped one (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of people and sensor noise (default: %(default)s)")
    parser.add_argument(
        "--time-limit", type=float, default=150.0, metavar="S", help="end after this time (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Run the demo; return 0 if the goal was reached without a contact or a crash."""
    folder = options.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    print(f"demo: world '{options.world}', seed {options.seed}, at most {options.time_limit:g} s")
    begin_s = time.monotonic()
    graph = LiveGraph("demo.launch.py", launch_arguments(options), folder, verbose=options.verbose, own_domain=True)
    with graph:
        print(f"  to watch from another terminal: export ROS_DOMAIN_ID={graph.domain}")
        ended = _watch(graph, begin_s, options.time_limit)
    extra: dict[str, Any] = {
        "kind": "demo", "world": options.world, "seed": options.seed, "ended": ended,
        "duration_s": round(time.monotonic() - begin_s, 1),
    }  # fmt: skip
    summary = run_report.write(graph, extra)
    succeeded = summary["goal_reached"] is True and summary["contacts"] == 0 and summary["crashed_nodes"] == 0
    print(f"demo: {ended}, {summary['contacts']} contacts, {extra['duration_s']} s")
    run_report.show(summary, graph)
    return 0 if succeeded else 1


def launch_arguments(options: argparse.Namespace) -> dict[str, str]:
    """Return the arguments for demo.launch.py."""
    world = Path(options.world)
    rviz = rviz_is_possible() if options.rviz is None else options.rviz
    arguments = {
        "world": str(world.resolve()) if world.suffix in (".yaml", ".yml") else options.world,
        "seed": str(options.seed),
        "robot": options.robot,
        "backend": options.backend,
        "rviz": "true" if rviz else "false",
    }
    if options.params_file:
        arguments["params_file"] = str(options.params_file.resolve())
    return arguments


def _watch(graph: LiveGraph, begin_s: float, limit_s: float) -> str:
    """Wait until the goal is reached or the time is over; return the ending for people."""
    try:
        while time.monotonic() - begin_s < limit_s:
            if not graph.running():
                return "the graph ended early"
            if graph.statistics().get("goal_reached"):
                time.sleep(_AFTER_GOAL_S)
                return "goal reached"
            time.sleep(_POLL_S)
    except KeyboardInterrupt:
        return "interrupted"
    return f"goal not reached within {limit_s:g} s"
