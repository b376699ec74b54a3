"""The environment: setup that says what is missing, and a ROS graph that works across processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.live

REPOSITORY = Path(__file__).resolve().parents[1]
WITH_ROS = REPOSITORY / "scripts" / "with-ros"
SHELL_TOOLS = ("bash", "dirname", "readlink", "cat", "cksum", "df", "awk", "sed", "grep", "ls")
LISTENER = """
import ssl, sys, time, rclpy
from edge_worldmodel.msg import LatentFrame
rclpy.init()
node = rclpy.create_node("listener")
heard = []
node.create_subscription(LatentFrame, "frames", heard.append, 1)
until_s = time.monotonic() + 15.0
while not heard and time.monotonic() < until_s:
    rclpy.spin_once(node, timeout_sec=0.1)
print(bytes(heard[0].data).hex() if heard else "nothing")
"""


@pytest.fixture
def bare_repository(tmp_path: Path) -> Path:
    """The scripts and the pins alone, with no environment made yet."""
    for folder in ("scripts", "requirements"):
        shutil.copytree(REPOSITORY / folder, tmp_path / "repository" / folder)
    return tmp_path / "repository"


def run_setup(repository: Path, *tools: str, df: Path | None = None) -> subprocess.CompletedProcess:
    """Run scripts/setup on a machine with nothing on PATH but a few shell tools and those given."""
    bin_folder = repository.parent / "bin"
    bin_folder.mkdir()
    for tool in (*SHELL_TOOLS, *tools):
        (bin_folder / tool).symlink_to(shutil.which(tool) or "/bin/true")
    if df is not None:
        (bin_folder / "df").unlink()
        (bin_folder / "df").symlink_to(df)
    environment = {"PATH": str(bin_folder), "HOME": str(repository.parent), "EDGE_WORLDMODEL_ROS": "wheels"}
    command = [bin_folder / "bash", repository / "scripts" / "setup"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.skipif("EDGE_WORLDMODEL_WHEELS" not in os.environ, reason="an installed ROS 2 brings its own tools")
def test_setup_names_missing_tools_in_one_line(bare_repository: Path) -> None:
    run = run_setup(bare_repository, "gcc", "make")
    assert run.returncode == 1
    assert run.stderr == "To build the messages, install g++ cmake: apt install build-essential cmake\n"
    assert not (bare_repository / ".venv").exists()


def test_setup_names_a_missing_python_in_one_line(bare_repository: Path) -> None:
    run = run_setup(bare_repository, "gcc", "g++", "make", "cmake")
    assert run.returncode == 1
    assert run.stderr.startswith("Python 3.12 is missing; install it")
    assert run.stderr.count("\n") == 1


def test_setup_names_missing_disk_space_in_one_line(bare_repository: Path) -> None:
    small_disk = bare_repository.parent / "df"
    small_disk.write_text("#!/bin/sh\nprintf 'Filesystem\\nx 9000 8000 1000 89%% /\\n'\n")
    small_disk.chmod(0o755)
    run = run_setup(bare_repository, "gcc", "g++", "make", "cmake", df=small_disk)
    assert run.returncode == 1
    assert run.stderr == f"3 GB of free disk space are needed in {bare_repository}; there are 1000 MB.\n"


def test_setup_is_quick_and_offline_once_done() -> None:
    begin_s = time.monotonic()
    no_network = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
    command = [REPOSITORY / "scripts" / "setup"]
    run = subprocess.run(command, env=no_network, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("\n") == 1
    assert "Ready" in run.stdout
    assert time.monotonic() - begin_s < 10.0


def test_a_message_crosses_between_two_processes(tmp_path: Path) -> None:
    rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")
    from edge_worldmodel.msg import LatentFrame

    listener = subprocess.Popen([WITH_ROS, "python", "-c", LISTENER], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    rclpy.init()
    node = rclpy.create_node("speaker")
    publisher = node.create_publisher(LatentFrame, "frames", 1)
    message = LatentFrame(data=bytes(range(256)), dtype="|u1", shape=[256])
    while listener.poll() is None:
        publisher.publish(message)
        time.sleep(0.05)
    node.destroy_node()
    rclpy.shutdown()
    assert listener.communicate()[0].strip() == bytes(range(256)).hex()


def test_launch_shows_the_arguments_of_every_launch_file() -> None:
    for launch_file in (REPOSITORY / "launch").glob("*.launch.py"):
        command = [WITH_ROS, "ros2", "launch", "edge_worldmodel", launch_file.name, "--show-args"]
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert run.returncode == 0, run.stderr
        assert "'namespace':" in run.stdout


def test_the_message_package_and_the_python_package_are_one() -> None:
    pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")
    import edge_worldmodel.msg

    import edge_worldmodel.core.types

    assert Path(edge_worldmodel.msg.__path__[0]).parent == Path(edge_worldmodel.core.types.__file__).parents[1]
    assert str(REPOSITORY) not in sys.path
