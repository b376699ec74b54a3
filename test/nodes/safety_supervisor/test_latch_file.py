"""The file of latches: whole or absent after a kill, damaged means an error in words, private to its owner."""

import functools
import itertools
import multiprocessing
import os
import random
import signal
import stat
import sys
import tempfile
import time
from pathlib import Path

import pytest

from edge_worldmodel.core.errors import LatchStoreError
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import Fault, FaultKind
from edge_worldmodel.core.safety.inputs.intake import Instant
from edge_worldmodel.core.safety.latches import SERVICE, LatchRecord
from edge_worldmodel.core.safety.states import State
from edge_worldmodel.core.safety.supervisor import Supervisor
from edge_worldmodel.nodes.safety_supervisor.latch_file import LatchFile

CAUSES = (Fault(FaultKind.GEOFENCE, "outside the geofence at x 2.50 m, y 0.00 m"), Fault(FaultKind.BATTERY, "low"))
KILLS = int(os.environ.get("EDGE_WORLDMODEL_CASES", "10"))
RECORD = LatchRecord(State.ESTOP, CAUSES, frozenset({"service", "estop"}), "landing: why")


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


def press_and_reset(folder, begun, done):
    """Press the emergency stop and reset it, over and over; done counts what the supervisor has said to be so."""
    supervisor, now = Supervisor(SupervisorConfig(), LatchFile(folder)), 10**9
    pressed = supervisor.state is State.ESTOP
    while True:
        begun.value += 1
        pressed, now = not pressed, now + 20_000_000
        supervisor.press_estop(pressed)
        supervisor.supervise(Instant(now, now))
        if not pressed:
            assert supervisor.reset(Instant(now, now))[0]
        assert supervisor.save_latches()
        done.value = begun.value


def test_a_kill_at_any_moment_loses_no_stop_that_was_said_to_be_pressed(tmp_path):
    """EDGE_WORLDMODEL_CASES=1000 kills a thousand times, in a few minutes."""
    draw, fork, was_pressed = random.Random(1), multiprocessing.get_context("fork"), False
    for kill in range(KILLS):
        begun, done = fork.RawValue("q", 0), fork.RawValue("q", 0)
        writer = fork.Process(target=press_and_reset, args=(tmp_path, begun, done))
        writer.start()
        while not done.value and writer.is_alive():
            time.sleep(0.001)
        time.sleep(draw.uniform(0.0, 0.02))
        writer.kill()
        writer.join()
        assert writer.exitcode == -signal.SIGKILL
        assert begun.value - done.value in (0, 1)
        after = Supervisor(SupervisorConfig(), LatchFile(tmp_path))
        pressed = after.guards.estop.sources == {SERVICE}
        # Of a change that was under way, none, the release alone or all may be left; never less than a latch.
        may_be = {was_pressed ^ bool(count % 2) for count in (begun.value, done.value)}
        assert pressed in may_be, f"kill {kill}: {done.value} of {begun.value} changes done"
        assert after.state is (State.ESTOP if pressed else State.STARTING) or begun.value > done.value
        assert after.state in (State.ESTOP, State.LATCHED, State.STARTING)
        was_pressed = after.state is State.ESTOP


class Disk:
    """A disk that may lose and tear everything that no fsync has forced to it; it follows the calls of this process.

    Changes of a folder's entries are lost one by one, in any combination, until that folder is synced; the content of
    a file is lost or torn until the file is synced.
    """

    def __init__(self, root):
        self.root, self.changes, self.synced, self.contents, self.moments = str(root), [], set(), {}, []
        self.files = {}
        self.watching = True

    def event(self, name, arguments):
        """Take an audit event of Python, before the call is made."""
        paths = [os.fspath(path) for path in arguments[:2] if isinstance(path, str | os.PathLike)]
        if not self.watching or not paths or not paths[0].startswith(self.root):
            return
        self.remember()
        if name == "open" and arguments[2] & os.O_CREAT:
            number = self.files[paths[0]] = len(self.contents)
            self.contents[number] = [b"", False]
            self.change(paths[0], "add", number)
        elif name == "os.mkdir":
            self.change(paths[0], "add", None)
        elif name == "os.remove" and paths[0] in self.files:
            self.change(paths[0], "remove", None)
        elif name == "os.rename":
            self.change(paths[1], "add", self.files[paths[0]], removed=paths[0])
            self.files[paths[1]] = self.files.pop(paths[0])

    def change(self, path, what, content, removed=None):
        self.moment()
        self.changes.append((path, what, content, removed))
        self.moment()

    def sync(self, descriptor, fsync):
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        self.remember()
        if path in self.files:
            self.contents[self.files[path]][1] = True
        else:
            self.synced |= {n for n, change in enumerate(self.changes) if os.path.dirname(change[0]) == path}
        fsync(descriptor)
        self.moment()

    def remember(self):
        """Note the content of each file as the process sees it now."""
        self.watching = False
        for path, number in self.files.items():
            if os.path.exists(path):
                with open(path, "rb") as file:
                    self.contents[number][0] = file.read()
        self.watching = True

    def moment(self):
        """Note what the disk holds for sure, and what it may have lost, if the power fails now."""
        unsynced = [n for n in range(len(self.changes)) if n not in self.synced]
        contents = {number: tuple(content) for number, content in self.contents.items()}
        self.moments.append((list(self.changes), unsynced, contents))


def possible_folders(moment):
    """Yield every state of the disk after a power failure at a moment: path -> content, None for a folder."""
    changes, unsynced, contents = moment
    torn = {
        number: [data] if synced else [b"", data[: len(data) // 2], b"\0" * len(data), data]
        for number, (data, synced) in contents.items()
    }
    for kept in itertools.product((True, False), repeat=len(unsynced)):
        lost = {number for number, is_kept in zip(unsynced, kept, strict=True) if not is_kept}
        entries = {}
        for number, (path, what, content, removed) in enumerate(changes):
            if number in lost:
                continue
            entries.pop(removed, None)
            entries.pop(path, None)
            if what == "add":
                entries[path] = content
        used = sorted({content for content in entries.values() if content is not None})
        for choice in itertools.product(*(torn[content] for content in used)):
            data = dict(zip(used, choice, strict=True))
            yield {path: None if content is None else data[content] for path, content in entries.items()}


def after_power_failure(entries, root, place, record_folder):
    """Write the entries of a disk to another place, and return its record: LatchRecord, or the words of its damage."""
    for path in sorted(entries, key=len):
        copy = place / os.path.relpath(path, root)
        if not copy.parent.is_dir():
            continue  # its folder was lost, so it is, too
        if entries[path] is None:
            copy.mkdir()
        else:
            copy.write_bytes(entries[path])
    try:
        return LatchFile(place / record_folder).read()
    except LatchStoreError as error:
        return str(error)


WATCHED_DISKS = []


@functools.cache
def watch_calls():
    """Let the watched disks know of this process's calls; Python cannot take such a hook away again."""

    def audit(name, arguments):
        for disk in WATCHED_DISKS:
            disk.event(name, arguments)

    sys.addaudithook(audit)


def power_failures(tmp_path, monkeypatch, records):
    """Write records; yield (what was confirmed, what may be, what is) for each state after a power failure."""
    root, fsync = tmp_path / "disk", os.fsync
    root.mkdir()
    disk, file = Disk(root), LatchFile(root / "state" / "latch-record")
    monkeypatch.setattr(os, "fsync", lambda descriptor: disk.sync(descriptor, fsync))
    watch_calls()
    WATCHED_DISKS.append(disk)
    spans = []
    try:
        for record in records:
            disk.moments.clear()
            file.write(record)
            disk.moment()
            spans.append(list(disk.moments))
    finally:
        WATCHED_DISKS.clear()
    before = LatchRecord()
    for record, moments in zip(records, spans, strict=True):
        for at, moment in enumerate(moments):
            may_be = {record} if at == len(moments) - 1 else {before, record}
            for entries in possible_folders(moment):
                place = Path(tempfile.mkdtemp(dir=tmp_path))
                yield may_be, after_power_failure(entries, root, place, "state/latch-record")
        before = record


RECORDS = [RECORD, LatchRecord(State.ESTOP, (), frozenset({"a" * 3000})), LatchRecord(), RECORD]


def test_a_power_failure_at_any_moment_leaves_the_old_record_or_the_new_one(tmp_path, monkeypatch):
    found = list(power_failures(tmp_path, monkeypatch, RECORDS))
    assert len(found) > 50
    assert not [(may_be, record) for may_be, record in found if record not in may_be]


@pytest.mark.parametrize("skipped", [stat.S_ISREG, stat.S_ISDIR], ids=["file", "folder"])
def test_the_model_of_the_power_failure_misses_no_fsync_that_is_left_out(tmp_path, monkeypatch, skipped):
    fsync = os.fsync
    with monkeypatch.context() as patched:
        sync = Disk.sync

        def leave_out(disk, descriptor, _):
            if not skipped(os.fstat(descriptor).st_mode):
                sync(disk, descriptor, fsync)

        patched.setattr(Disk, "sync", leave_out)
        found = list(power_failures(tmp_path, monkeypatch, RECORDS[:2]))
    assert [record for may_be, record in found if record not in may_be]
