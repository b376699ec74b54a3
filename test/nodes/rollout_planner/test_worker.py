"""The worker keeps only the newest job and never blocks the one who submits."""

from __future__ import annotations

import threading
import time

from edge_worldmodel.nodes.rollout_planner.worker import LatestWorker


def test_newest_job_wins_and_drops_are_counted():
    begun, may_end, seen = threading.Event(), threading.Event(), []

    def work(job: int) -> None:
        seen.append(job)
        begun.set()
        may_end.wait(2.0)

    worker = LatestWorker(work)
    worker.submit(1)
    assert begun.wait(2.0)
    for job in (2, 3, 4):
        worker.submit(job)
    may_end.set()
    deadline_s = time.monotonic() + 2.0
    while len(seen) < 2 and time.monotonic() < deadline_s:
        time.sleep(0.005)
    worker.close()
    assert seen == [1, 4]
    assert worker.dropped == 2


def test_a_hung_job_blocks_neither_submit_nor_close():
    forever = threading.Event()
    worker = LatestWorker(lambda _job: forever.wait())
    begin_s = time.monotonic()
    worker.submit(1)
    worker.submit(2)
    worker.close(timeout_s=0.1)
    assert time.monotonic() - begin_s < 1.0
    forever.set()
