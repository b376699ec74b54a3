"""The record is off unless asked for, keeps what happened, and reaches no network through the supervisor."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from edge_worldmodel.backends.deterministic_backend import DeterministicBackend
from edge_worldmodel.core.tensors import NETWORKS
from edge_worldmodel.nodes.ros import spans
from edge_worldmodel.nodes.ros.health import guarded
from edge_worldmodel.nodes.ros.model import SpannedBackend, spanned_backend


class Node:
    """Has one callback."""

    @guarded
    def _on_scan(self, stamp_ns: int) -> None:
        spans.mark("scan", stamp_ns)


def test_nothing_is_recorded_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(spans.FOLDER, raising=False)
    monkeypatch.chdir(tmp_path)
    backend = DeterministicBackend()
    spans.start("quiet")
    assert not spans.recording() and spanned_backend(backend) is backend
    Node()._on_scan(1)
    spans.finish()
    assert not list(tmp_path.iterdir())


def test_callbacks_networks_and_frames_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(spans.FOLDER, str(tmp_path))
    before_ns = time.monotonic_ns()
    spans.start("perception")
    backend = spanned_backend(DeterministicBackend())
    inputs = {t.name: np.zeros(t.with_batch(1), np.float32) for t in NETWORKS["decoder"].inputs}
    worker = threading.Thread(target=backend.run, args=("decoder", inputs), name="worker")
    worker.start()
    worker.join()
    Node()._on_scan(42)
    assert (tmp_path / "perception.scan.seen").exists() and isinstance(backend, SpannedBackend)
    spans.finish()
    told = json.loads((tmp_path / "perception.spans.json").read_text())
    (network, callback), (mark,) = told["spans"], told["marks"]
    assert (network[0], callback[0], mark[0], mark[3]) == ("decoder", "on_scan", "scan", 42)
    assert before_ns <= network[2] <= network[3] <= callback[2] <= mark[2] <= callback[3] <= time.monotonic_ns()
    assert told["threads"][str(network[1])] == "worker" and told["threads"][str(callback[1])] == "MainThread"
    assert told["process_began_ns"] < before_ns and not spans.recording()


def test_a_folder_that_is_gone_does_not_hinder_a_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(spans.FOLDER, str(tmp_path / "gone"))
    spans.start("sim")
    spans.mark("scan", 1)
    spans.finish()
    assert not spans.recording()


def test_spans_are_ranges_for_nsight_where_nvtx_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvtx = pytest.importorskip("nvtx", reason="NVTX ranges need package nvtx")
    depths: list[object] = []
    push, pop = nvtx.push_range, nvtx.pop_range
    monkeypatch.setattr(nvtx, "push_range", lambda name: depths.append((name, push(name))))
    monkeypatch.setattr(nvtx, "pop_range", lambda: depths.append(pop()))
    monkeypatch.setenv(spans.FOLDER, str(tmp_path))
    spans.start("perception")
    with pytest.raises(ValueError, match="inside"), spans.span("outer"), spans.span("inner"):
        raise ValueError("inside")
    spans.finish()
    names = [entry[0] for entry in depths if isinstance(entry, tuple)]
    assert names == ["outer", "inner"] and len(depths) == 4, "every range that is opened is closed"
