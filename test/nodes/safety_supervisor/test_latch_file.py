"""The file of latches: whole or absent after a kill, damaged means an error in words, private to its owner."""

import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from edge_worldmodel.core.errors import LatchStoreError
from edge_worldmodel.core.safety.faults import Fault, FaultKind
from edge_worldmodel.core.safety.latches import LatchRecord
from edge_worldmodel.core.safety.states import State
from edge_worldmodel.nodes.safety_supervisor.latch_file import LatchFile

CAUSES = (Fault(FaultKind.GEOFENCE, "outside the geofence at x 2.50 m, y 0.00 m"), Fault(FaultKind.BATTERY, "low"))
RECORD = LatchRecord(State.ESTOP, CAUSES, frozenset({"service", "estop"}), "landing: why")
WRITER = """
import sys
from pathlib import Path
from edge_worldmodel.core.safety.latches import LatchRecord
from edge_worldmodel.core.safety.states import State
from edge_worldmodel.nodes.safety_supervisor.latch_file import LatchFile
file = LatchFile(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    for source in ("a" * 20_000, "b"):
        file.write(LatchRecord(State.ESTOP, (), frozenset({source})))
"""


def test_it_gives_back_what_was_written(tmp_path):
    assert LatchFile(tmp_path / "new").read() == LatchRecord()
    LatchFile(tmp_path / "new").write(RECORD)
    assert LatchFile(tmp_path / "new").read() == RECORD
    LatchFile(tmp_path / "new").write(LatchRecord())
    assert LatchFile(tmp_path / "new").read() == LatchRecord()


def test_folder_and_file_are_private(tmp_path):
    file = LatchFile(tmp_path / "new")
    file.write(RECORD)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.path.parent.iterdir()] == [file.path.name]


def test_every_damage_is_an_error_in_words(tmp_path):
    file = LatchFile(tmp_path)
    file.write(RECORD)
    whole = file.path.read_bytes()
    damages = [whole[:length] for length in range(0, len(whole), 7)]
    damages += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(0, len(whole), 7)]
    for damaged in [*damages, b"\0" * 70_000, b"[" * 60_000]:
        file.path.write_bytes(damaged)
        with pytest.raises(LatchStoreError, match="is damaged"):
            file.read()


def test_a_file_that_cannot_be_read_is_an_error_and_no_empty_record(tmp_path):
    file = LatchFile(tmp_path)
    file.path.mkdir()
    with pytest.raises(LatchStoreError, match="cannot be read"):
        file.read()
    file.path.rmdir()
    file.path.symlink_to("elsewhere")
    with pytest.raises(LatchStoreError, match="cannot be read"):
        file.read()


def test_a_folder_that_cannot_be_made_is_an_error_in_words(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(LatchStoreError, match="cannot be written"):
        LatchFile(tmp_path / "taken" / "folder").write(RECORD)


def test_the_record_is_on_the_disk_before_it_replaces_the_old_one(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, n=name, o=original: (calls.append(n), o(*a))[1])
    LatchFile(tmp_path).write(RECORD)
    assert calls in (["fsync", "replace", "fsync"], ["fsync", "fsync"])  # pathlib may rename without os.replace


@pytest.mark.parametrize("kills", [10])
def test_a_kill_at_any_moment_leaves_a_whole_record(tmp_path, kills):
    for number in range(kills):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        writer.stdout.readline()
        time.sleep(0.003 * number)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert LatchFile(tmp_path).read().state in (State.ESTOP, State.STARTING)
