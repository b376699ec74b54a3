"""What `replay` decides before anything is started."""

import argparse

import pytest
import yaml

from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.evaluation.live import demo, live_graph, replay
from edge_worldmodel.evaluation.live.live_graph import ProcessExit
from edge_worldmodel.recordings.playback import EgoSource, Playback


def options(*words):
    parser = argparse.ArgumentParser()
    replay.add_arguments(parser)
    return parser.parse_args(["file.bag", *words])


def playback(rate_hz=10.0, outputs=None):
    return Playback(outputs or {"scan": "scan"}, {}, (), (), (), EgoSource("fixed", "", "", ""), 0, rate_hz)


@pytest.mark.parametrize(("scan_rate_hz", "rate"), [(0.0, 1.0), (10.0, 1.0), (7.5, 1.0), (4.0, 2.0), (1.0, 3.0)])
def test_recordings_with_few_scans_are_played_faster(scan_rate_hz, rate):
    assert replay.default_rate(scan_rate_hz) == rate


def test_parameters_follow_the_recording_and_keep_everything_else(tmp_path):
    base = tmp_path / "params.yaml"
    base.write_text("/**/perception:\n  ros__parameters: {scan_topics: [scan], max_rate_hz: 10.0}\n", encoding="utf-8")
    found = playback(4.7, {"front": "scan", "rear": "scan_1", "velodyne": "points"})
    made = replay.parameters(base, options("--start", "3", "--ego", "fixed"), found)
    perception = made["/**/perception"]["ros__parameters"]
    assert perception == {"scan_topics": ["scan", "scan_1"], "cloud_topics": ["points"], "max_rate_hz": 10.0}
    supervisor = made["/**/safety_supervisor"]["ros__parameters"]
    assert supervisor["scan_topics"] == ["scan", "scan_1"]
    assert 1.0 / 4.7 < supervisor["sensor_timeouts_s"][0] < 0.5
    assert made["/**/player"]["ros__parameters"]["start_s"] == 3.0


def test_parameters_are_written_without_aliases_which_ros_refuses(tmp_path):
    base = tmp_path / "params.yaml"
    base.write_text("", encoding="utf-8")
    text = replay.dump(replay.parameters(base, options(), playback()))
    assert "&" not in text
    assert yaml.safe_load(text)["/**/player"]["ros__parameters"]["goal"] == ""


def test_the_sensor_timeout_is_not_loosened_for_an_ordinary_scanner(tmp_path):
    base = tmp_path / "params.yaml"
    base.write_text("", encoding="utf-8")
    made = replay.parameters(base, options(), playback(10.0))
    assert made["/**/safety_supervisor"]["ros__parameters"]["sensor_timeouts_s"] == [0.2]


def test_unreadable_sensor_poses_are_refused_before_anything_is_started():
    with pytest.raises(ConfigError, match="laser"):
        replay.parse_sensor_poses(options("--sensor-poses", "laser").sensor_poses)


def test_demo_passes_a_world_by_name_or_by_its_full_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    assert demo.launch_arguments(parser.parse_args([]))["world"] == "demo_room"
    assert demo.launch_arguments(parser.parse_args(["--world", "my.yaml"]))["world"] == str(tmp_path / "my.yaml")


@pytest.mark.parametrize(
    ("status", "while_ending", "crashed"), [(0, False, False), (1, False, True), (-9, True, False)]
)
def test_only_an_error_that_nobody_asked_for_is_a_crash(status, while_ending, crashed):
    assert ProcessExit("perception", status, while_ending).crashed is crashed


def test_a_damaged_recording_is_told_in_the_words_of_the_player_and_is_no_crash(tmp_path):
    assert not ProcessExit("player", live_graph.DAMAGED_RECORDING, False).crashed
    assert ProcessExit("perception", live_graph.DAMAGED_RECORDING, False).crashed
    log = tmp_path / "graph.log"
    assert "graph.log" in replay.damage_in(log)
    log.write_text(
        "[player-5] [INFO] player started\n[player-5] player: 'a.bag' is damaged: 7 messages could be read\n"
    )
    assert replay.damage_in(log) == "'a.bag' is damaged: 7 messages could be read"


def test_topics_that_are_chosen_or_ignored_reach_the_player(tmp_path):
    base = tmp_path / "params.yaml"
    base.write_text("", encoding="utf-8")
    made = replay.parameters(base, options("--topics", "/scan", "--ignore", "/camera/*"), playback())
    player = made["/**/player"]["ros__parameters"]
    assert (player["topics"], player["ignore"]) == ("/scan", "/camera/*")


def test_two_runs_get_two_domains():
    first, domain = live_graph.claim_domain()
    second, other = live_graph.claim_domain()
    with first, second:
        assert domain != other
        assert {domain, other} <= set(range(1, 101))


def test_a_simulated_robot_never_talks_in_the_domain_of_a_real_one(monkeypatch, tmp_path):
    monkeypatch.setenv("ROS_DOMAIN_ID", "0")
    monkeypatch.setattr(live_graph, "share", lambda: tmp_path)
    for own, expected in ((True, False), (False, True)):
        graph = live_graph.LiveGraph("demo.launch.py", {}, tmp_path, own_domain=own)
        assert (graph._environment()["ROS_DOMAIN_ID"] == "0") is expected
        assert (graph.domain == "0") is expected
        if graph._claim is not None:
            graph._claim.close()
