"""Our ROS graphs stay on this machine, without shared memory, unless the user wants otherwise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge_worldmodel.nodes.discovery import PROFILES, RANGE, discovery_variables

pytestmark = pytest.mark.live

CONFIG = Path(__file__).parents[2] / "config"
LOCAL, WIDE = str(CONFIG / "fastdds_localhost.xml"), str(CONFIG / "fastdds.xml")
CYCLONE = {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}
PRINT_THREADS = """
import os, rclpy
rclpy.init()
node = rclpy.create_node("lonely")
print(*(open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task")))
"""


def test_localhost_is_a_profile_for_fast_dds_and_a_range_for_others():
    assert discovery_variables({}, CONFIG) == {RANGE: "SYSTEM_DEFAULT", **dict.fromkeys(PROFILES, LOCAL)}
    assert discovery_variables(CYCLONE, CONFIG) == {RANGE: "LOCALHOST"}
    assert Path(LOCAL).is_file() and Path(WIDE).is_file()


@pytest.mark.parametrize("own", [{RANGE: "SUBNET"}, {PROFILES[0]: "mine.xml"}, {PROFILES[1]: "mine.xml"}])
def test_a_range_or_profile_of_the_user_stays(own):
    added = discovery_variables(own, CONFIG)
    assert not added.keys() & own.keys()
    assert set(added.values()) <= {WIDE}, "nothing that narrows the discovery"


@pytest.mark.parametrize("environment", [{}, discovery_variables({}, CONFIG), CYCLONE])
def test_subnet_replaces_localhost(environment):
    found = {**environment, **discovery_variables(environment, CONFIG, "subnet")}
    assert found[RANGE] == "SUBNET"
    assert {found[name] for name in PROFILES} == {WIDE}


def test_subnet_keeps_a_profile_of_the_user():
    assert discovery_variables({PROFILES[0]: "mine.xml"}, CONFIG, "subnet") == {RANGE: "SUBNET"}


def test_another_reach_is_refused():
    with pytest.raises(ValueError, match=r"discovery:=world: give localhost or subnet"):
        discovery_variables({}, CONFIG, "world")


def test_nodes_use_udp_only():
    pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")
    command = [sys.executable, "-P", "-c", PRINT_THREADS]
    threads = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert "dds.udp" in threads.stdout, threads
    assert "dds.shm" not in threads.stdout
