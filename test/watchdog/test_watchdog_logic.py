"""The watchdog's decisions, compiled with warnings as errors and sanitizers, and its checksum against Python's."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from edge_worldmodel.core.command_crc import command_crc

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "edge_worldmodel" / "watchdog"
STRICT = ("-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
MOST_LINES = 400


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    compiler = shutil.which("g++") or pytest.skip("needs g++")
    made = tmp_path_factory.mktemp("watchdog") / "watchdog_test"
    sources = (HERE / "watchdog_test.cpp", SOURCES / "watchdog.cpp")
    run = subprocess.run(
        [compiler, *STRICT, *SANITIZERS, f"-I{SOURCES}", *map(str, sources), "-o", str(made)],
        capture_output=True,
        check=False,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return made


def test_every_decision(program):
    run = subprocess.run([program], capture_output=True, check=False, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr


def test_python_and_the_watchdog_compute_the_same_checksum(program):
    draw = random.Random(1)
    commands = [
        (
            draw.getrandbits(64),
            draw.getrandbits(32) - 2**31,
            draw.randrange(10**9),
            *struct.unpack("<6d", draw.randbytes(48)),
        )
        for _ in range(1000)
    ]
    sent = b"".join(struct.pack("=QiI6d", *command) for command in commands)
    run = subprocess.run([program, "crc"], input=sent, capture_output=True, check=False, timeout=60)
    theirs = [int(line) for line in run.stdout.split()]
    assert theirs == [command_crc(*command[:3], command[3:]) for command in commands]


def test_the_watchdog_stays_small():
    lines = [line for path in SOURCES.glob("*.?pp") for line in path.read_text().splitlines()]
    assert max(map(len, lines)) <= 120
    code = [line for line in lines if line.strip("{}(); ") and not line.lstrip().startswith("//")]
    assert 0 < len(code) <= MOST_LINES
