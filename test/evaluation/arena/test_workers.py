from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from edge_worldmodel.evaluation.arena.workers import WorkerError, spread


def twice(value: int) -> int:
    return 2 * value


def die_once(path: str) -> str:
    if not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


def die(value: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return value


def refuse(value: int) -> int:
    raise ValueError(f"not {value}")


def test_all_items_are_worked_on():
    assert sorted(spread(twice, list(range(7)), 2)) == [0, 2, 4, 6, 8, 10, 12]


def test_a_worker_that_was_killed_is_replaced(tmp_path):
    assert list(spread(die_once, [str(tmp_path / "mark")], 1)) == ["survived"]


def test_what_kills_every_worker_is_named():
    with pytest.raises(WorkerError, match="twice on 5"):
        list(spread(die, [5], 1))


def test_errors_come_back():
    with pytest.raises(ValueError, match="not 3"):
        list(spread(refuse, [3], 1))
