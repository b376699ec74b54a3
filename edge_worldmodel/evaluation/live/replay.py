"""`edge-worldmodel replay`: plays a recording through the whole graph, over real topics with /clock."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import yaml

from edge_worldmodel.evaluation.live import run_report
from edge_worldmodel.evaluation.live.live_graph import (
    DAMAGED_RECORDING,
    LiveGraph,
    changed_parameters,
    rviz_is_possible,
    share,
)
from edge_worldmodel.recordings import open_recording
from edge_worldmodel.recordings.description import Description, describe
from edge_worldmodel.recordings.options import parse_goal, parse_sensor_poses, parse_topics
from edge_worldmodel.recordings.playback import Playback, prepare

_POLL_S = 0.5
_NORMAL_SCAN_RATE_HZ = 8.0
_MAX_AUTO_RATE = 3.0
_SENSOR_TIMEOUT_S = 0.2


class _PlainDumper(yaml.SafeDumper):
    """Writes no YAML aliases, which ROS parameter files do not allow."""

    def ignore_aliases(self, data: Any) -> bool:
        """Return True for every value."""
        return True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("file", type=Path, help="ROS 1 bag, ROS 2 bag (sqlite3, MCAP) or CARMEN log")
    run_report.add_common_arguments(parser, "out/replay")
    parser.add_argument(
        "--rate", type=float, metavar="R",
        help="recorded seconds per second (default: 1, or up to 3 where the recording has fewer than 7 scans a second)",
    )  # fmt: skip
    parser.add_argument(
        "--start", type=float, default=0.0, metavar="S", help="recorded seconds to skip at the beginning"
    )
    parser.add_argument(
        "--duration", type=float, default=0.0, metavar="S", help="recorded seconds to play (default: all)"
    )
    parser.add_argument(
        "--ego", default="auto", help="ego motion: auto, fixed, odometry:TOPIC, tf:CHILD_FRAME or pose:TOPIC"
    )
    parser.add_argument(
        "--sensor-poses", default="", metavar="FRAME=X,Y,YAW;...", help="sensor poses in the base frame"
    )
    parser.add_argument(
        "--topics", default="", metavar="NAMES", help="sensor topics to play, names or patterns (default: all sensible)"
    )
    parser.add_argument("--ignore", default="", metavar="NAMES", help="recorded topics not to use, names or patterns")
    parser.add_argument("--goal", nargs=2, type=float, metavar=("X", "Y"), help="goal in odom (default: 5 m ahead)")


def run(options: argparse.Namespace) -> int:
    """Replay a recording; return 0 if there were plans and no crash, and it was played to the end."""
    recording = open_recording(options.file)
    found = describe(recording)
    topics, ignore = parse_topics(options.topics), parse_topics(options.ignore)
    playback = prepare(found, options.ego, parse_sensor_poses(options.sensor_poses), topics, ignore)
    rate = options.rate or default_rate(playback.scan_rate_hz)
    folder = options.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    _print_setup(options, found, playback, rate)
    params = folder / "params.yaml"
    base = options.params_file or share() / "config" / "params.yaml"
    params.write_text(dump(parameters(base, options, playback)), encoding="utf-8")
    rviz = rviz_is_possible() if options.rviz is None else options.rviz
    arguments = {
        "file": str(options.file.resolve()), "rate": str(rate), "params_file": str(params), "robot": options.robot,
        "backend": options.backend, "rviz": "true" if rviz else "false",
    }  # fmt: skip
    begin_s = time.monotonic()
    graph = LiveGraph("replay.launch.py", arguments, folder, until="player", verbose=options.verbose, own_domain=True)
    with graph:
        print(f"  to watch from another terminal: export ROS_DOMAIN_ID={graph.domain}")
        ended = _watch(graph, folder)
    extra: dict[str, Any] = {
        "kind": "replay", "file": options.file.name, "rate": rate, "ego_motion": playback.ego.reason, "ended": ended,
        "recording": playback.lines(),
        "duration_s": round(time.monotonic() - begin_s, 1),
    }  # fmt: skip
    summary = run_report.write(graph, extra)
    print(f"replay: {ended}, {extra['duration_s']} s")
    run_report.show(summary, graph)
    return 0 if summary["plans"] and not summary["crashed_nodes"] and ended == "played to the end" else 1


def default_rate(scan_rate_hz: float) -> float:
    """Return the rate of playing: real time, or up to 3 where scans come so rarely that the graph would idle."""
    if scan_rate_hz <= 0.0 or scan_rate_hz >= _NORMAL_SCAN_RATE_HZ - 1.0:
        return 1.0
    return round(min(_NORMAL_SCAN_RATE_HZ / scan_rate_hz, _MAX_AUTO_RATE), 2)


def parameters(base: Path, options: argparse.Namespace, playback: Playback) -> dict[str, Any]:
    """Return the parameters of all nodes: those in ``base``, with those changed that depend on the recording."""
    scans = playback.scan_topics or [""]
    clouds = playback.cloud_topics or [""]
    # A slow scanner must not look like a broken one.
    timeout_s = round(max(_SENSOR_TIMEOUT_S, 1.6 / max(playback.scan_rate_hz, 1.0)), 3)
    goal = "" if options.goal is None else "{} {}".format(*options.goal)
    parse_goal(goal)
    changes: dict[str, dict[str, Any]] = {
        "perception": {"scan_topics": scans, "cloud_topics": clouds},
        "safety_supervisor": {
            "scan_topics": scans,
            "cloud_topics": clouds,
            "sensor_timeouts_s": [timeout_s],
            "odometry_timeout_s": timeout_s,
        },
        "player": {
            "start_s": options.start,
            "duration_s": options.duration,
            "ego": options.ego,
            "sensor_poses": options.sensor_poses,
            "topics": options.topics,
            "ignore": options.ignore,
            "goal": goal,
            "wait_for_subscribers": 3,  # perception, supervisor, recorder
        },
    }
    return changed_parameters(base, changes)


def dump(values: dict[str, Any]) -> str:
    """Return parameters as YAML for ROS."""
    return str(yaml.dump(values, Dumper=_PlainDumper))


def _print_setup(options: argparse.Namespace, found: Description, playback: Playback, rate: float) -> None:
    print(f"replay: {options.file}")
    print("\n".join(found.lines()))
    print(f"  ego motion from {playback.ego.reason}")
    for recorded, topic in playback.outputs.items():
        print(f"  '{recorded}' is played on '{topic}'")
    for line in playback.lines():
        print(f"  {line}")
    why = (
        ""
        if options.rate or rate == 1.0
        else f": {playback.scan_rate_hz:.1f} scans/s were recorded (choose with --rate)"
    )
    print(f"  rate {rate:g}{why}")


def _watch(graph: LiveGraph, folder: Path) -> str:
    """Wait for the end of the recording; return the ending for people."""
    try:
        while graph.running():
            time.sleep(_POLL_S)
    except KeyboardInterrupt:
        return "interrupted"
    ends = {item.name: item.status for item in graph.exits() if not item.while_ending}
    if ends.get("player") == DAMAGED_RECORDING:
        return damage_in(folder / "graph.log")
    return "played to the end" if ends.get("player") == 0 else "the player did not start or was stopped, see graph.log"


def damage_in(log: Path) -> str:
    """Return what the player has said about the damage of the recording."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    said = [line.partition("player: ")[2] for line in lines if "player: " in line]
    return said[-1] if said else "the recording is damaged, see graph.log"
