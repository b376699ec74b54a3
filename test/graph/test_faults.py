"""The short fault campaign: the real graph in the simulator stops in time for what matters most.

The long one is `edge-worldmodel evaluate faults`; its figures are in docs/safety.md.
"""

from __future__ import annotations

import json
import subprocess

import pytest

pytestmark = pytest.mark.live

pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

STOPS = (
    "drop:planner/plan",
    "drop:scan",
    "nan:scan",
    "wrong_frame:scan",
    "wrong_frame:planner/plan",
    "sigstop:rollout_planner",
    "sigstop:perception",
    "sigkill:rollout_planner",
    "sigkill:perception",
    "sigstop:safety_supervisor",
    "sigkill:safety_supervisor",
)
GOES_ON = ("duplicate:scan", "drop:latent_cache/warm_start", "sigkill:latent_cache")
LIMIT_S = 0.25
SLACK_S = 0.15
"""For a machine that is busy with other things; the campaign itself is measured on a quiet one."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """One injection of each, in one run of the graph."""
    folder = tmp_path_factory.mktemp("faults")
    names = [*STOPS, *GOES_ON]
    command = ["edge-worldmodel", "evaluate", "faults", "--backend", "deterministic", "--out", str(folder)]
    command += ["--injections", str(len(names)), "--json", str(folder / "figures.json"), "--faults", *names]
    subprocess.run(command, check=False, timeout=300)
    return json.loads((folder / "figures.json").read_text())


def figures(report: dict, name: str) -> dict:
    fault, _, where = name.partition(":")
    return report["faults"][fault]["where"][where]


@pytest.mark.parametrize("name", STOPS)
def test_stops_in_time_and_goes_on_after(report: dict, name: str):
    found = figures(report, name)
    assert found["injections"] == 1
    assert found["stopped_s"]["max"] is not None, "it never stopped"
    assert found["stopped_s"]["max"] <= LIMIT_S + SLACK_S
    assert found["contacts"] == 0


@pytest.mark.parametrize("name", GOES_ON)
def test_needs_no_stop(report: dict, name: str):
    found = figures(report, name)
    assert found["injections"] == 1
    assert found["missed"] == found["contacts"] == 0


def test_the_report_says_what_was_measured_where(report: dict):
    assert report["injections"] == len(STOPS) + len(GOES_ON)
    assert report["not_recovered"] == report["graph_restarts"] == 0
    assert set(report["tick_jitter_s"]) == {"p50", "p999"}
    assert 0.0 <= report["false_stop_rate"] <= 1.0
    assert report["machine"] and report["command"] and report["seed"] == 0
    for figures_of_fault in report["faults"].values():
        assert {"injections", "stopped_s", "contacts", "missed"} <= set(figures_of_fault)
        assert set(figures_of_fault["stopped_s"]) == {"p50", "p999", "max"}
