from __future__ import annotations

import operator
import signal
import subprocess
import sys
import time

import pytest

from edge_worldmodel.training.workers import WorkerError, spread

# Work is named by its module, so these use what any process can import; a child of the worker kills it.
_KILL = "import os, signal, time; os.kill(os.getppid(), signal.SIGKILL); time.sleep(5)"


def test_all_items_are_worked_on():
    assert sorted(spread(operator.neg, list(range(7)), 2)) == [-6, -5, -4, -3, -2, -1, 0]


def test_a_worker_that_was_killed_is_replaced(tmp_path):
    mark = tmp_path / "mark"
    script = f"import pathlib, sys; m = pathlib.Path({str(mark)!r}); m.exists() and sys.exit(); m.touch(); {_KILL}"
    assert list(spread(subprocess.check_call, [[sys.executable, "-c", script]], 1)) == [0]
    assert mark.exists()


def test_items_beside_the_one_that_kills_a_worker_are_not_lost(tmp_path):
    script = (
        f"import pathlib, sys; m = pathlib.Path({str(tmp_path / 'm')!r}); m.exists() and sys.exit(); m.touch(); {_KILL}"
    )
    commands = [[sys.executable, "-c", text] for text in ("import time; time.sleep(1)", script, "", "")]
    assert list(spread(subprocess.check_call, commands, 2)) == [0] * 4


def test_what_kills_every_worker_is_named():
    with pytest.raises(WorkerError, match="died twice on .*SIGKILL"):
        list(spread(subprocess.check_call, [[sys.executable, "-c", _KILL]], 1))


def test_errors_come_back():
    with pytest.raises(TypeError, match="bad operand"):
        list(spread(operator.neg, ["x"], 1))


def test_an_interrupt_ends_the_workers_at_once():
    program = (
        "import time; from edge_worldmodel.training.workers import spread; list(spread(time.sleep, [0, 60, 60], 2))"
    )
    guarded = f"if __name__ == '__main__':\n    {program.replace('; list', chr(10) + '    list')}\n"
    process = subprocess.Popen([sys.executable, "-c", guarded], stderr=subprocess.PIPE)
    time.sleep(8.0)
    begin_s = time.monotonic()
    process.send_signal(signal.SIGINT)  # to the parent alone, as from another program
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - begin_s < 5.0
    assert b"KeyboardInterrupt" in errors
