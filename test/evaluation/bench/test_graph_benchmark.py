"""The live graph is measured as it is: real nodes, the simulator, a few seconds at one rate."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import pytest
import yaml

from edge_worldmodel import cli
from edge_worldmodel.core.errors import EdgeWorldModelError
from edge_worldmodel.evaluation.bench import bench, bench_parts, graph_benchmark
from edge_worldmodel.evaluation.bench.span_log import PARTS
from edge_worldmodel.evaluation.live.graph_run import GraphRun, GraphSetup, parameters_of
from edge_worldmodel.evaluation.live.process_usage import Usage, UsageHistory

from .span_logs import MS, logs_of

SHIPPED = Path(__file__).resolve().parents[3] / "config" / "params.yaml"
ROBOT = {"perception", "rollout_planner", "safety_supervisor"}


def test_the_rate_reaches_every_node_and_nobody_waits_for_a_cache_that_is_not_there() -> None:
    before = yaml.safe_load(SHIPPED.read_text())
    warm, cold = (parameters_of(GraphSetup(20.0, warm), SHIPPED) for warm in (True, False))
    values = {node: found["ros__parameters"] for node, found in cold.items()}
    assert values["/**/sim"]["scan_rate_hz"] == values["/**/perception"]["max_rate_hz"] == 20.0
    assert values["/**/rollout_planner"]["control_period_s"] == 0.05
    assert values["/**/rollout_planner"].pop("warm_start_wait_s") == 0.0
    assert values["/**/rollout_planner"] == warm["/**/rollout_planner"]["ros__parameters"]
    assert warm["/**/safety_supervisor"] == before["/**/safety_supervisor"]


def test_runs_are_summed_up_by_rate_and_kind() -> None:
    every, half = [100.0 * number for number in range(1, 31)], [100.0 * number for number in range(1, 31, 2)]
    setup = GraphSetup(seconds=3.0)
    looks = {"sim": UsageHistory([(0.0, Usage(80.0, 88.0, 0.0, 1.0)), (2.0, Usage(84.0, 90.0, 0.0, 2.0))])}
    runs = {
        kind: GraphRun(setup, logs_of(begins_ms, reused=(0, 1, 2)), looks, -5 * MS, 0, 4000 * MS)
        for kind, begins_ms in (("cold", half), ("warm", every))
    }
    # half of the scans of the cold run never became a frame
    every_scan = tuple(
        mark._replace(stamp_ns=10**9 + mark.stamp_ns if mark.stamp_ns % 2 else mark.stamp_ns // 2)
        for mark in runs["warm"].logs["sim"].marks
    )
    runs["cold"].logs["sim"] = dataclasses.replace(runs["cold"].logs["sim"], marks=every_scan)
    told = graph_benchmark.report_of({(10.0, kind): [run] for kind, run in runs.items()})
    assert told["sensor_to_command_s"]["10"]["warm"] == pytest.approx(
        {"p50": 0.036, "p95": 0.036, "p99": 0.036, "samples": 30}
    )
    assert told["breakdown_s"]["10"]["warm"]["compute"]["samples"] == 27
    assert told["graph"]["10"]["warm"]["commanded_share"] == 1.0 and told["graph"]["10"]["warm"]["cores"] == {
        "sim": 0.5
    }
    assert told["graph"]["10"]["cold"]["commanded_share"] == pytest.approx(0.5, abs=0.02)
    assert told["sustained_hz"] == {"cold": None, "warm": 10.0} and told["rss_mb"] == {"sim": 90.0}
    assert (told["start_to_first_plan_s"], told["launch_to_first_plan_s"]) == pytest.approx((0.132, 0.137))


def test_questions_about_networks_start_no_graph() -> None:
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    assert bench_parts.wanted(parser.parse_args([])) == bench_parts.ALL_PARTS
    assert bench_parts.wanted(parser.parse_args(["--slo", "x.yaml"])) == ()
    assert bench_parts.wanted(parser.parse_args(["--slo", "x.yaml", "--parts", "tick"])) == ("tick",)
    assert bench_parts.wanted(parser.parse_args(["--parts"])) == ()


def test_without_ros_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_benchmark, "ros_is_here", lambda: False)
    with pytest.raises(EdgeWorldModelError, match="the live graph needs ROS 2: run it through scripts/with-ros"):
        graph_benchmark.measure_graph([10.0], 1.0, 1, "deterministic")


@pytest.mark.skipif(not cli.ros_is_here(), reason="needs the ROS environment: scripts/with-ros pytest")
def test_bench_measures_the_live_graph(tmp_path: Path) -> None:
    report = tmp_path / "bench.json"
    few = ["--rounds", "1", "--maneuvers", "3", "--futures", "1", "--steps", "1", "--threads", "1"]
    assert (
        cli.main(["bench", *few, "--parts", "graph", "--rates", "10", "--seconds", "2.5", "--json", str(report)]) == 0
    )
    told = json.loads(report.read_text())
    assert not told["missing"] and not told["failed"]
    for kind in ("cold", "warm"):
        latency, parts = told["sensor_to_command_s"]["10"][kind], told["breakdown_s"]["10"][kind]
        assert latency["samples"] >= 5 and 0.002 < latency["p50"] <= latency["p95"] <= latency["p99"] < 2.0
        assert set(PARTS) < set(parts)
        assert 0.0 < told["graph"]["10"][kind]["commanded_share"] <= 1.0
    assert ROBOT | {"latent_cache", "sim"} == set(told["rss_mb"]) and min(told["rss_mb"].values()) > 20.0
    assert 0.0 < told["start_to_first_plan_s"] < told["launch_to_first_plan_s"] < 60.0


@pytest.mark.skipif(not cli.ros_is_here(), reason="needs the ROS environment: scripts/with-ros pytest")
def test_profile_leaves_figures_a_trace_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["profile", "--seconds", "3", "--out", str(tmp_path)]) == 0
    told = json.loads((tmp_path / "profile.json").read_text())
    assert told["frames"] >= 5 and told["imagined"] > 0 and set(told["memory"]) == ROBOT | {"latent_cache", "sim"}
    parts = told["breakdown_s"]
    # of one frame the parts add up; their medians do so roughly
    assert sum(parts[part]["p50"] for part in PARTS) == pytest.approx(parts["total"]["p50"], rel=0.5)
    assert {"denoiser", "decoder", "plan_on"} <= set(told["spans"]["rollout_planner"])
    assert told["spans"]["safety_supervisor"]["tick"]["samples"] > 50
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {event["ph"] for event in events} == {"M", "X", "s", "t", "f"}
    assert sum(event["ph"] == "X" for event in events) == told["trace_spans"] > 100
    assert (tmp_path / "profile.png").read_bytes()[:4] == b"\x89PNG"
    assert "sensor to command" in capsys.readouterr().out
