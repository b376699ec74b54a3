"""The live graph of the fault campaign: its messages, the goals that keep the robot driving, and ways to break it."""

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

from edge_worldmodel.evaluation.live.live_graph import LiveGraph, LiveGraphError, share

GOALS = ((3.2, 0.0), (3.2, 6.4), (-3.2, 6.4), (-3.2, 0.0))
"""Corners of the course in worlds/fault_course.yaml, (x, y) in metres in odom, driven in turn."""
_NEXT_GOAL_M = 1.5
_REPEAT_GOAL_S = 1.0
_POLL_S = 0.03
_CONNECT_S = 30.0
_DRIVING_MPS = 0.15
_LANDING = 6
"""Verdict.LANDING."""
_PRESS_S = 0.3
_FORGET_NS = 8_000_000_000
"""Age at which commands and speeds are dropped."""


class ObservedCommand(NamedTuple):
    """One message on cmd_vel: received (steady clock), published (system clock), and its twist (vx, vy, yaw rate)."""

    at_ns: int
    published_ns: int
    twist: tuple[float, float, float]

    @property
    def is_moving(self) -> bool:
        """Return whether the command is not zero."""
        return any(value != 0.0 for value in self.twist)  # true for NaN

    def keeps(self, limit_mps: float) -> bool:
        """Return whether the robot is not faster than a limit; zero: whether it does not move at all.

        A robot that is a circle, as that of the campaign, reaches nothing new by turning.
        """
        return math.hypot(*self.twist[:2]) <= limit_mps if limit_mps > 0.0 else not self.is_moving


class FaultGraph:
    """The live graph with a fault relay in it.

    Attributes:
        commands: of the last 8 s.
        verdicts: the last 100, as (received_ns, state, reason).
        speeds: odometry of the last 8 s, as (received_ns, m/s).
        contacts: number so far.
        routes: times of each topic that passes the relay, by topic.
        air_state: state of the drone's supervisor; -1 before its first verdict.
        now_ns: steady clock of the relay at the last poll.
        on_commands: called with the new commands of each poll.
    """

    def __init__(self, arguments: Mapping[str, str], folder: Path, verbose: bool = False) -> None:
        self._control = Path(tempfile.mkdtemp(prefix="faults")) / "control"
        arguments = {**arguments, "control": str(self._control), "record": ""}
        self.graph = LiveGraph("faults.launch.py", arguments, folder, verbose=verbose)
        self.commands: list[ObservedCommand] = []
        self.verdicts: list[tuple[int, int, str]] = []
        self.speeds: list[tuple[int, float]] = []
        self.contacts = 0
        self.routes: dict[str, dict[str, int]] = {}
        self.now_ns = 0
        self.air_state = -1
        self.on_commands: Callable[[list[ObservedCommand]], None] = lambda commands: None
        self._goal = 0
        self._goal_sent_s = 0.0
        self._relay: io.BufferedRWPair | None = None

    def __enter__(self) -> FaultGraph:
        """Start everything and connect to the relay."""
        self.graph.__enter__()
        deadline_s = time.monotonic() + _CONNECT_S
        connection = socket.socket(socket.AF_UNIX)
        while time.monotonic() < deadline_s and self.graph.running():
            with contextlib.suppress(OSError):
                connection.connect(str(self._control))
                self._relay = connection.makefile("rwb")
                return self
            time.sleep(0.1)
        self.graph.end()
        raise LiveGraphError(f"the fault relay did not start; see {self.graph.folder / 'graph.log'}")

    def __exit__(self, *details: object) -> None:
        """End everything."""
        self.graph.__exit__(*details)
        self._control.unlink(missing_ok=True)
        self._control.parent.rmdir()

    def ask(self, request: str, **arguments: Any) -> dict[str, Any]:
        """Send one request to the relay and return its answer.

        Raises:
            LiveGraphError: the relay is gone.
        """
        assert self._relay is not None
        try:
            self._relay.write(json.dumps({"do": request, **arguments}).encode() + b"\n")
            self._relay.flush()
            line = self._relay.readline()
        except OSError:
            line = b""
        if not line:
            raise LiveGraphError(f"the fault relay ended; see {self.graph.folder / 'graph.log'}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def poll(self) -> None:
        """Fetch everything since the last poll and send the next goal where the robot needs one."""
        report = self.ask("observe")
        self.now_ns = report["at_ns"]
        new = [ObservedCommand(*command) for command in report["commands"]]
        self.on_commands(new)
        self.commands += new
        self.verdicts += [tuple(verdict) for verdict in report["verdicts"]]
        self.speeds.append((self.now_ns, report["speed_mps"]))
        self.contacts, self.routes, self.air_state = report["contacts"], report["routes"], report["air_state"]
        self._forget()
        if report["pose"] is not None:
            self._steer(report["pose"])

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

    def is_driving(self, for_s: float = 0.25) -> bool:
        """Return whether the robot moves and every command of the last ``for_s`` seconds was to move."""
        if abs(self.speeds[-1][1]) < _DRIVING_MPS:
            return False
        since_ns = self.now_ns - round(for_s * 1e9)
        recent = [command for command in self.commands if command.at_ns >= since_ns]
        return len(recent) > 25 * for_s and all(command.is_moving for command in recent)

    def is_landing(self) -> bool:
        """Return whether the drone's supervisor lands it."""
        return self.air_state == _LANDING

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
        if arrived or time.monotonic() - self._goal_sent_s > _REPEAT_GOAL_S:  # also in case the planner was restarted
            self._goal_sent_s = time.monotonic()
            self.ask("goal", pose=[*GOALS[self._goal], 0.0], frame="odom")


@contextlib.contextmanager
def paused(pid: int) -> Any:
    """Stop a process with SIGSTOP, and let it go on afterwards."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def all_cores_busy() -> Any:
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
def asked(graph: FaultGraph, request: str, **arguments: Any) -> Any:
    """Ask the relay for a fault, and to end it afterwards."""
    graph.ask(request, **arguments)
    try:
        yield
    finally:
        graph.ask("mend")


@contextlib.contextmanager
def respawned_under_estop(graph: FaultGraph, pid: int) -> Any:
    """Press the emergency stop and kill the supervisor; release and reset after it came back."""
    graph.ask("estop", pressed=True)
    graph.wait(lambda: False, _PRESS_S)
    os.kill(pid, signal.SIGKILL)
    yield
    graph.ask("estop", pressed=False)
    graph.wait(lambda: False, _PRESS_S)
    graph.ask("reset")


@contextlib.contextmanager
def started_in_the_air(graph: FaultGraph) -> Any:
    """Start the supervisor of a drone that hovers and has no plan."""
    graph.ask("hover")
    program = share().parents[1] / "lib" / "edge_worldmodel" / "safety_supervisor"
    settings = ("vehicle:=drone", "hold_before_land_s:=0.5", "scan_topics:=[/scan]", "output:=twist")
    remaps = [argument for setting in settings for argument in ("-p", setting)]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "ROS_DOMAIN_ID": graph.graph.domain, "XDG_STATE_HOME": folder}
        drone = subprocess.Popen(
            [program, "--ros-args", "-r", "__ns:=/air", *remaps], env=environment, stderr=subprocess.DEVNULL
        )
        try:
            yield
        finally:
            drone.kill()
            drone.wait()
            graph.ask("mend")


@contextlib.contextmanager
def disk_full(pids: list[int]) -> Any:
    """Make every write of these processes to a file fail, as on a full disk; needs no privileges."""
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
