"""Runs a launch file in a process of its own and writes down how each of its processes ended.

Started by ``LiveGraph`` as ``python -m edge_worldmodel.evaluation.live.graph_process``. The command
`ros2 launch` is not installed everywhere, its LaunchService is, and that reports every process that ends.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription, LaunchService
from launch.actions import EmitEvent, IncludeLaunchDescription, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.events.process import ProcessExited
from launch.launch_description_sources import AnyLaunchDescriptionSource


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until interrupted, until all processes ended, or until the process named by --until ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("launch_file", type=Path)
    parser.add_argument("--exits", type=Path, required=True, help="JSON file to write how each process ended")
    parser.add_argument("--until", default="", help="end everything when this node ends")
    parser.add_argument("pairs", nargs="*", metavar="NAME:=VALUE")
    options = parser.parse_args(arguments)
    exits: list[dict[str, Any]] = []

    def note(event: ProcessExited, context: LaunchContext) -> list[EmitEvent]:
        """Write down how a process ended; end everything if it is the one named by --until."""
        # launch names processes EXECUTABLE-NUMBER
        name = event.process_name.rsplit("-", 1)[0]
        ending = bool(context.is_shutdown)
        exits.append({"name": name, "status": event.returncode, "while_ending": ending, "time_s": time.time()})
        options.exits.write_text(json.dumps(exits), encoding="utf-8")
        over = name == options.until and not ending
        return [EmitEvent(event=Shutdown(reason=f"{name} has ended"))] if over else []

    pairs = [tuple(pair.split(":=", 1)) for pair in options.pairs]
    source = AnyLaunchDescriptionSource(str(options.launch_file))
    description = LaunchDescription(
        [
            RegisterEventHandler(OnProcessExit(on_exit=note)),
            IncludeLaunchDescription(source, launch_arguments=pairs),
        ]
    )
    service = LaunchService(noninteractive=True)
    service.include_launch_description(description)
    return int(service.run())


if __name__ == "__main__":
    sys.exit(main())
