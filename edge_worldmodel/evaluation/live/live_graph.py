"""Starts the real graph from one of our launch files, watches it and ends it, as processes only."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from edge_worldmodel.core.errors import EdgeWorldModelError

_END_S = 20.0
_FIRST_DOMAIN, _DOMAINS = 1, 100
_DOMAIN_PORT = 24_100
DAMAGED_RECORDING = 3
"""Exit status of the player that has played all of a damaged recording that can be read."""
_RESULTS = ("run.mcap", "summary.json", "rollouts.png", "statistics.json", "moment.npz", "graph.log", "exits.json")


class LiveGraphError(EdgeWorldModelError):
    """The graph could not be started."""


@dataclass(frozen=True)
class ProcessExit:
    """How one process ended.

    Attributes:
        name: of the executable.
        status: exit status; negative: number of the signal.
        while_ending: after the whole graph was asked to end.
    """

    name: str
    status: int
    while_ending: bool

    @property
    def crashed(self) -> bool:
        """Return whether it ended with an error before the graph was asked to end; a damaged recording is none."""
        return self.status != 0 and not self.while_ending and (self.name, self.status) != ("player", DAMAGED_RECORDING)


class LiveGraph:
    """One run of a launch file, recording into a folder.

    Args:
        launch_file: name of one of our launch files.
        arguments: launch arguments by name; an empty ``record`` leaves the recorder out.
        folder: of the results; those of an earlier run are removed first.
        until: end everything when the process of this name ends.
        verbose: let the nodes log to our output instead of graph.log.
        environment: variables for the nodes, beside and before ours.
        own_domain: use a ROS domain of its own in place of ROS_DOMAIN_ID, so that commands for a simulated robot
            cannot reach a real one.
    """

    def __init__(
        self,
        launch_file: str,
        arguments: Mapping[str, str],
        folder: Path,
        until: str = "",
        verbose: bool = False,
        environment: Mapping[str, str] | None = None,
        own_domain: bool = False,
    ) -> None:
        self.folder = folder
        self._claim: socket.socket | None = None
        self._log: IO[bytes] | None = None
        self._state: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        pairs = [f"{name}:={value}" for name, value in {"record": str(folder), **arguments}.items()]
        self._command = [
            *(sys.executable, "-m", "edge_worldmodel.evaluation.live.graph_process"),
            *("--exits", str(folder / "exits.json"), "--until", until),
            *(str(share() / "launch" / launch_file), *pairs),
        ]
        self._verbose = verbose
        self._additions = dict(environment or {})
        self._own_domain = own_domain
        self.domain = ""

    def __enter__(self) -> LiveGraph:
        """Start everything."""
        with contextlib.suppress(FileNotFoundError):
            for name in _RESULTS:
                (self.folder / name).unlink(missing_ok=True)
        environment = self._environment()
        self._log = None if self._verbose else (self.folder / "graph.log").open("wb")
        # A process group of its own: Ctrl-C reaches only us, and we end the graph in order.
        self._process = subprocess.Popen(
            self._command, env=environment, stdout=self._log, stderr=self._log, start_new_session=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        """End everything."""
        self.end()
        if self._log is not None:
            self._log.close()
        if self._claim is not None:
            self._claim.close()
        if self._state is not None:
            self._state.cleanup()

    def running(self) -> bool:
        """Return whether the launch process is still running."""
        return self._process is not None and self._process.poll() is None

    def processes(self) -> dict[str, int]:
        """Return the process ids of the nodes that run now, by executable."""
        if self._process is None:
            return {}
        found = {}
        with contextlib.suppress(OSError):
            for child in Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split():
                with contextlib.suppress(OSError):
                    words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
                    programs = [word for word in words if b"/lib/edge_worldmodel/" in word]
                    found.update({Path(os.fsdecode(program)).name: int(child) for program in programs[:1]})
        return found

    def end(self) -> None:
        """Ask all processes to end; kill those that did not after 20 s."""
        if self._process is None:
            return
        if self.running():
            self._process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_END_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def statistics(self) -> dict[str, Any]:
        """Return the recorder's newest statistics; empty before the first."""
        return _read_json(self.folder / "statistics.json") or {}

    def exits(self) -> list[ProcessExit]:
        """Return the processes that have ended so far."""
        found = _read_json(self.folder / "exits.json") or []
        return [ProcessExit(item["name"], int(item["status"]), bool(item["while_ending"])) for item in found]

    def _environment(self) -> dict[str, str]:
        environment = {**os.environ, **self._additions}
        # Scenes remembered from an earlier run would make two runs of the same world differ.
        self._state = tempfile.TemporaryDirectory(prefix="edge_worldmodel-", ignore_cleanup_errors=True)
        environment["XDG_STATE_HOME"] = self._state.name
        environment.setdefault("PYTHONUNBUFFERED", "1")
        if self._own_domain or "ROS_DOMAIN_ID" not in environment:
            self._claim, domain = claim_domain()
            environment["ROS_DOMAIN_ID"] = str(domain)
        self.domain = environment["ROS_DOMAIN_ID"]
        return environment


def claim_domain() -> tuple[socket.socket, int]:
    """Return a ROS domain that no other run uses, and the socket that reserves it until closed.

    Raises:
        LiveGraphError: all are reserved.
    """
    first = os.getpid() % _DOMAINS
    for step in range(_DOMAINS):
        domain = _FIRST_DOMAIN + (first + step) % _DOMAINS
        claim = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            claim.bind(("127.0.0.1", _DOMAIN_PORT + domain))
        except OSError:
            claim.close()
            continue
        return claim, domain
    raise LiveGraphError("no free ROS domain between 1 and 100: end other runs")


def share() -> Path:
    """Return the installed folder of launch files, configuration, worlds and models.

    Raises:
        LiveGraphError: the package is not built or not sourced.
    """
    from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

    try:
        return Path(get_package_share_directory("edge_worldmodel"))
    except PackageNotFoundError:
        raise LiveGraphError("package edge_worldmodel is not built or not sourced: run make build") from None


def changed_parameters(base: Path, changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the parameters in a ROS parameter file with those of some nodes changed."""
    parameters: dict[str, Any] = yaml.safe_load(base.read_text(encoding="utf-8")) or {}
    for node, values in changes.items():
        parameters.setdefault(f"/**/{node}", {}).setdefault("ros__parameters", {}).update(values)
    return parameters


def rviz_is_possible() -> bool:
    """Return whether there is a screen and rviz2 is installed."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) and shutil.which("rviz2") is not None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
