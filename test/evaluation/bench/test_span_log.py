"""Every moment of a frame's way belongs to one part, and the parts add up to it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge_worldmodel import cli
from edge_worldmodel.evaluation.bench.perfetto import write_trace
from edge_worldmodel.evaluation.bench.span_log import PARTS, SpanLogError, frame_latencies, read_logs

from .span_logs import MS, WORKER, logs_of


def test_the_five_parts_of_a_frame() -> None:
    (frame,) = frame_latencies(logs_of([100.0]))
    wanted_ms = {
        "load": 4,
        "preprocess": 2 + 5,
        "compute": 3 + 6 + 7,
        "postprocess": 1 + 2 + 1,
        "communication": 1 + 1 + 3,
    }
    assert {part: round(1e3 * seconds, 6) for part, seconds in frame.parts_s.items()} == wanted_ms
    assert round(1e3 * frame.total_s, 6) == sum(wanted_ms.values()) == 36
    assert frame.imagined and frame.denoising_calls == 1 and tuple(frame.parts_s) == PARTS


def test_a_frame_that_was_not_imagined_on_has_only_the_encoder() -> None:
    first, second = frame_latencies(logs_of([100.0, 200.0], reused=(1,)))
    assert first.imagined and not second.imagined
    assert second.parts_s["compute"] == pytest.approx(0.003)
    assert sum(second.parts_s.values()) == pytest.approx(second.total_s)


def test_frames_that_did_not_come_through_or_came_before_are_left_out() -> None:
    logs = logs_of([100.0, 200.0, 300.0])
    supervisor = logs["safety_supervisor"]
    never_taken = tuple(mark for mark in supervisor.marks if (mark.name, mark.stamp_ns) != ("plan", 1))
    logs["safety_supervisor"] = replace(supervisor, marks=never_taken)
    assert [frame.stamp_ns for frame in frame_latencies(logs)] == [0, 2]
    assert [frame.stamp_ns for frame in frame_latencies(logs, since_ns=250 * MS)] == [2]


def test_records_that_are_missing_or_damaged_are_named(tmp_path: Path) -> None:
    with pytest.raises(SpanLogError, match="perception, rollout_planner, safety_supervisor, sim left no span record"):
        read_logs(tmp_path)
    (tmp_path / "sim.spans.json").write_text('{"node": "sim"')
    with pytest.raises(SpanLogError, match=r"no usable span record .*sim\.spans\.json"):
        read_logs(tmp_path)


def test_the_trace_shows_who_did_what_and_where_frames_went(tmp_path: Path) -> None:
    path, logs = tmp_path / "trace.json", logs_of([100.0, 900.0])
    assert write_trace(logs, 50 * MS, 550 * MS, path, {"rate_hz": 10}) == 8
    events = json.loads(path.read_text())["traceEvents"]
    names = {event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert names == set(logs)
    (span,) = (event for event in events if event["name"] == "plan_on")
    rows = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert (span["ph"], span["ts"], span["dur"]) == ("X", 61_000.0, 22_000.0) and rows[span["tid"]] == "worker"
    assert logs["rollout_planner"].threads[WORKER] == "worker"
    arrows = [event for event in events if event["name"] == "frame"]
    assert [arrow["ph"] for arrow in arrows] == ["s", "t", "t", "t", "f"]
    assert [arrow["ts"] for arrow in arrows] == [50_000.0, 56_000.0, 57_000.0, 82_000.0, 85_500.0]


def test_a_trace_begins_with_what_was_going_on_and_ends_where_it_ends(tmp_path: Path) -> None:
    path, logs = tmp_path / "trace.json", logs_of([100.0])
    write_trace(logs, 120 * MS, 125 * MS, path, {})
    events = json.loads(path.read_text())["traceEvents"]
    times = [event["ts"] for event in events if "ts" in event]
    assert min(times) == 0.0 and [event["name"] for event in events if event["ph"] == "X"] == [
        "plan_on",
        "denoiser",
        "decoder",
    ]
    write_trace(logs, 90 * MS, 107 * MS + MS // 2, path, {})
    events = json.loads(path.read_text())["traceEvents"]
    arrows = [(event["ph"], event["ts"]) for event in events if event["name"] == "frame"]
    assert arrows == [("s", 10_000.0), ("t", 16_000.0), ("f", 17_000.0)], "no arrow into a span that is not there"


def test_a_trace_of_what_a_robot_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    robot, out = tmp_path / "robot", tmp_path / "out"
    robot.mkdir()
    assert cli.main(["profile", "--spans", str(robot), "--out", str(out)]) == 2
    assert "nothing was recorded" in capsys.readouterr().err
    log = logs_of([100.0])["perception"]
    told = {"node": log.node, "pid": log.pid, "process_began_ns": 0, "threads": log.threads}
    (robot / "perception.spans.json").write_text(json.dumps({**told, "spans": log.spans, "marks": log.marks}))
    assert cli.main(["profile", "--spans", str(robot), "--out", str(out)]) == 0
    events = json.loads((out / "trace.json").read_text())["traceEvents"]
    assert {event["name"] for event in events if event["ph"] == "X"} == {"on_scan", "encoder"}
    assert "perception encoder" in capsys.readouterr().out
