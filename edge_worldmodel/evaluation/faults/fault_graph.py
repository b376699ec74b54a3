"""The graph of the fault campaign: runs it, hears what it does, keeps the robot driving and breaks it."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from edge_worldmodel.evaluation.live.live_graph import LiveGraph, LiveGraphError

GOALS = ((3.2, 0.0), (3.2, 6.4), (-3.2, 6.4), (-3.2, 0.0))
"""Corners of the way round worlds/fault_course.yaml, in metres in the odom frame."""
_NEXT_GOAL_M = 1.5
_REPEAT_GOAL_S = 1.0
_POLL_S = 0.03
_CONNECT_S = 30.0
_DRIVING_MPS = 0.15
_FORGET_NS = 5_000_000_000


class Command(NamedTuple):
    """One message on cmd_vel: when it was heard (steady clock), when published (system clock), and whether to move."""

    at_ns: int
    published_ns: int
    moves: bool


class FaultGraph:
    """The live graph with a fault relay in it.

    Attributes:
        commands, verdicts, speeds: what was heard in the last seconds; ``speeds`` are of the odometry.
        contacts: number of contacts so far.
        routes: times of each route of the relay.
    """

    def __init__(self, arguments: Mapping[str, str], folder: Path, verbose: bool = False) -> None:
        self._control = Path(tempfile.mkdtemp(prefix="faults")) / "control"
        arguments = {**arguments, "control": str(self._control), "record": ""}
        self.graph = LiveGraph("faults.launch.py", arguments, folder, verbose=verbose)
        self.commands: list[Command] = []
        self.verdicts: list[tuple[int, int, str]] = []
        self.speeds: list[tuple[int, float]] = []
        self.contacts = 0
        self.routes: dict[str, dict[str, int]] = {}
        self.now_ns = 0
        self.heard: Callable[[list[Command]], None] = lambda commands: None
        self._goal = 0
        self._goal_sent_s = 0.0
        self._wire: io.BufferedRWPair | None = None

    def __enter__(self) -> FaultGraph:
        """Start everything and connect to the relay."""
        self.graph.__enter__()
        deadline_s = time.monotonic() + _CONNECT_S
        connection = socket.socket(socket.AF_UNIX)
        while time.monotonic() < deadline_s and self.graph.running():
            with contextlib.suppress(OSError):
                connection.connect(str(self._control))
                self._wire = connection.makefile("rwb")
                return self
            time.sleep(0.1)
        self.graph.end()
        raise LiveGraphError(f"the fault relay did not start; see {self.graph.folder / 'graph.log'}")

    def __exit__(self, *details: object) -> None:
        """End everything."""
        self.graph.__exit__(*details)
        self._control.unlink(missing_ok=True)
        self._control.parent.rmdir()

    def ask(self, what: str, **request: Any) -> dict[str, Any]:
        """Send one request to the relay and return its answer.

        Raises:
            LiveGraphError: the relay is gone.
        """
        assert self._wire is not None
        try:
            self._wire.write(json.dumps({"do": what, **request}).encode() + b"\n")
            self._wire.flush()
            line = self._wire.readline()
        except OSError:
            line = b""
        if not line:
            raise LiveGraphError(f"the fault relay has ended; see {self.graph.folder / 'graph.log'}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def poll(self) -> None:
        """Hear what happened since the last time and give the robot a goal."""
        seen = self.ask("observe")
        self.now_ns = seen["at_ns"]
        new = [Command(*command) for command in seen["commands"]]
        self.heard(new)
        self.commands += new
        self.verdicts += [tuple(verdict) for verdict in seen["verdicts"]]
        self.speeds.append((self.now_ns, seen["speed_mps"]))
        self.contacts, self.routes = seen["contacts"], seen["routes"]
        self._forget()
        if seen["pose"] is not None:
            self._steer(seen["pose"])

    def wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Poll until a condition holds; return whether it did in time."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            self.poll()
            if condition():
                return True
            if time.monotonic() > deadline_s:
                return False
            time.sleep(_POLL_S)

    def drives(self, for_s: float = 0.25) -> bool:
        """Tell whether the robot moves, and nothing but movement was commanded for a while up to now."""
        if abs(self.speeds[-1][1]) < _DRIVING_MPS:
            return False
        since_ns = self.now_ns - round(for_s * 1e9)
        recent = [command for command in self.commands if command.at_ns >= since_ns]
        return len(recent) > 25 * for_s and all(command.moves for command in recent)

    def _forget(self) -> None:
        keep_ns = self.now_ns - _FORGET_NS
        self.commands = [command for command in self.commands if command.at_ns > keep_ns]
        self.speeds = [speed for speed in self.speeds if speed[0] > keep_ns]
        self.verdicts = self.verdicts[-100:]

    def _steer(self, pose: list[float]) -> None:
        goal = GOALS[self._goal]
        arrived = math.dist(goal, pose[:2]) < _NEXT_GOAL_M
        if arrived:
            self._goal = (self._goal + 1) % len(GOALS)
        if arrived or time.monotonic() - self._goal_sent_s > _REPEAT_GOAL_S:  # a planner may have been restarted
            self._goal_sent_s = time.monotonic()
            self.ask("goal", pose=[*GOALS[self._goal], 0.0], frame="odom")


@contextlib.contextmanager
def paused(pid: int) -> Any:
    """Freeze a process."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def loaded_cores() -> Any:
    """Keep every core busy."""
    command = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


@contextlib.contextmanager
def disk_full(pids: list[int]) -> Any:
    """Let every write of some processes to a file fail, as on a full disk; needs no privileges."""
    before = {}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            before[pid] = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[pid][1]))
    try:
        yield
    finally:
        for pid, limits in before.items():
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
