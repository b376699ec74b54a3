"""Our ROS graphs stay on this machine, without shared memory, unless the user wants otherwise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge_worldmodel.evaluation.live.local_discovery import PROFILES, RANGE, keep_to_this_machine

CONFIG = Path(__file__).parents[3] / "config"
PRINT_THREADS = """
import os, rclpy
rclpy.init()
node = rclpy.create_node("lonely")
print(*(open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task")))
"""


def test_fast_dds_gets_the_profile_and_others_the_range():
    fast, other = {}, {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}
    keep_to_this_machine(fast, CONFIG), keep_to_this_machine(other, CONFIG)
    assert fast[RANGE] == "SYSTEM_DEFAULT" and {fast[name] for name in PROFILES} == {
        str(CONFIG / "fastdds_localhost.xml")
    }
    assert (CONFIG / "fastdds_localhost.xml").is_file()
    assert other == {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp", RANGE: "LOCALHOST"}


@pytest.mark.parametrize("own", [{RANGE: "SUBNET"}, {PROFILES[0]: "mine.xml"}, {PROFILES[1]: "mine.xml"}])
def test_what_the_user_has_set_stays(own):
    environment = dict(own)
    keep_to_this_machine(environment, CONFIG)
    assert environment == own


def test_nodes_use_udp_only():
    pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")
    command = [sys.executable, "-P", "-c", PRINT_THREADS]
    threads = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert "dds.udp" in threads.stdout, threads
    assert "dds.shm" not in threads.stdout
