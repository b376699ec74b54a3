"""Running real nodes: each in its own process, watched by a probe node in this one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from ament_index_python.packages import get_package_prefix  # noqa: E402
from lifecycle_msgs.msg import State  # noqa: E402
from lifecycle_msgs.srv import GetState  # noqa: E402
from rclpy.impl.rcutils_logger import RcutilsLogger  # noqa: E402

from edge_worldmodel.nodes.safety_supervisor.watchdog_arguments import watchdog_arguments  # noqa: E402


@pytest.fixture(autouse=True)
def own_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the nodes of each test an empty state folder, so that none finds what another test latched."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything that nodes of this process log."""
    texts, log = [], RcutilsLogger.log

    def record(self, message, *args, **kwargs):
        texts.append(str(message))
        return log(self, message, *args, **kwargs)

    monkeypatch.setattr(RcutilsLogger, "log", record)
    return texts


class Probe:
    """A node of the test: publishes, records what it hears, calls services."""

    def __init__(self, name: str = "probe") -> None:
        self.node = rclpy.create_node(name)
        self.heard: dict[str, list] = {}

    def listen(self, kind: type, topic: str, qos: object = 10) -> list:
        """Return the list that fills with (steady receipt time [s], message) of a topic."""
        messages = self.heard.setdefault(topic, [])
        self.node.create_subscription(kind, topic, lambda m: messages.append((time.monotonic(), m)), qos)
        return messages

    def spin(self, seconds: float) -> None:
        """Handle what comes for a while."""
        self.wait(lambda: False, seconds)

    def wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Handle what comes until a condition holds; return whether it did in time."""
        deadline_s = time.monotonic() + timeout_s
        while not condition() and time.monotonic() < deadline_s:
            rclpy.spin_once(self.node, timeout_sec=0.02)
        return condition()

    def call(self, kind: type, service: str, request: object, timeout_s: float = 5.0) -> object | None:
        """Call a service; None when there was no answer in time."""
        client = self.node.create_client(kind, service)
        if not self.wait(client.service_is_ready, timeout_s):
            return None
        future = client.call_async(request)
        self.wait(future.done, timeout_s)
        return future.result() if future.done() else None

    def wait_active(self, node: str, timeout_s: float = 20.0) -> None:
        """Wait until a lifecycle node is active."""

        def active() -> bool:
            answer = self.call(GetState, f"{node}/get_state", GetState.Request(), timeout_s)
            return answer is not None and answer.current_state.id == State.PRIMARY_STATE_ACTIVE

        assert self.wait(active, timeout_s), f"{node} did not become active"


@pytest.fixture
def probe() -> Iterator[Probe]:
    """A probe node in a ROS context of its own."""
    rclpy.init()
    value = Probe()
    yield value
    value.node.destroy_node()
    rclpy.try_shutdown()


@contextlib.contextmanager
def running(
    executable: str, remap: Mapping[str, str] | None = None, **parameters: object
) -> Iterator[subprocess.Popen]:
    """Run one of our nodes as users do, with other names of topics and parameters; ended by SIGINT as by Ctrl-C."""
    settings = [item for name, value in parameters.items() for item in ("-p", f"{name}:={value}")]
    settings += [item for name, other in (remap or {}).items() for item in ("-r", f"{name}:={other}")]
    command = ["ros2", "run", "edge_worldmodel", executable, "--ros-args", *settings]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        stop(process)


@contextlib.contextmanager
def watched(**parameters: object) -> Iterator[subprocess.Popen]:
    """Run the watchdog of a supervisor with these parameters, as the launch file does."""
    program = Path(get_package_prefix("edge_worldmodel"), "lib", "edge_worldmodel", "watchdog")
    process = subprocess.Popen([program, *(watchdog_arguments(parameters) or ())], start_new_session=True)
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen, sent: signal.Signals = signal.SIGINT) -> float:
    """End a process group and return how long that took [s]."""
    begin_s = time.monotonic()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, sent)
    try:
        process.wait(5.0)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return time.monotonic() - begin_s
