"""Stamps of simulators, of other computers and of drivers that do not stamp: the played clock fits to all."""

import numpy as np
import pytest

from edge_worldmodel.core.time_units import NS_PER_S
from edge_worldmodel.recordings import open_recording
from edge_worldmodel.recordings.clocks import Retimer
from edge_worldmodel.recordings.description import describe
from edge_worldmodel.recordings.playback import EgoMotion, begin_ns, played_records, prepare, scheduled

from .bag_files import BEGIN_NS, LASER, ODOMETRY, PERIOD_NS, TF, odometry, scan, transform, write_mcap

COUNT = 60
LATENCY_NS = 30_000_000
SIM_NS = 12 * NS_PER_S
WALL, RECORDER = BEGIN_NS, BEGIN_NS


def played(tmp_path, scan_stamp, odometry_stamp=None, log_at=lambda index: RECORDER + index * PERIOD_NS, tf_stamp=None):
    """Play scans and odometry with such stamps of a message's number; return (playback, [(time, record)], jumps)."""
    messages = [("/tf_static", TF, log_at(0), transform(0, "base_link", "laser", 0.2))]
    for index in range(COUNT):
        log_ns = log_at(index) + LATENCY_NS
        stamp_ns = (odometry_stamp or scan_stamp)(index)
        if tf_stamp is None:
            messages.append(("/odom", ODOMETRY, log_ns, odometry(stamp_ns, x_m=0.05 * index)))
        else:
            messages.append(("/tf", TF, log_ns, transform(tf_stamp(index), "odom", "base_link", 0.05 * index)))
        messages.append(("/scan", LASER, log_ns, scan(scan_stamp(index))))
    recording = open_recording(write_mcap(tmp_path / "a.mcap", messages))
    found = describe(recording)
    playback = prepare(found)
    retimer = Retimer(playback.clocks)
    records = played_records(recording, playback, retimer)
    timed = list(scheduled(records, playback.clock_shift_ns, 0.0, 0.0))
    assert abs(timed[0][0] - begin_ns(found, playback)) < NS_PER_S, "the clock stands at the beginning before it runs"
    return playback, timed, retimer.jumps


def check(playback, timed, period_ns=PERIOD_NS):
    """Every sensor message is young on the played clock, its stamps rise, and the robot moves at its speed."""
    motion, moves = EgoMotion(playback.ego), []
    stamps_ns = []
    for now_ns, record in timed:
        if record.topic == "tf_static":
            continue
        age_s = (now_ns - record.stamp_ns) / NS_PER_S
        assert 0.0 <= age_s < 0.3, f"{record.topic} is {age_s} s old"
        if record.topic == "scan":
            stamps_ns.append(record.stamp_ns)
        moved = motion.update(record.topic, record.stamp_ns, record.value)
        if moved is not None:
            moves.append(moved[0][0])
    assert len(stamps_ns) == COUNT
    assert np.all(np.diff(stamps_ns) > 0)
    np.testing.assert_allclose(np.median(np.diff(stamps_ns)), period_ns, rtol=1e-3)
    times_ns = [now_ns for now_ns, _ in timed]
    assert times_ns == sorted(times_ns)
    np.testing.assert_allclose(moves, 0.05 * np.arange(COUNT), atol=1e-9)


def test_stamps_of_an_ordinary_recording_stay_as_they_are(tmp_path):
    playback, timed, jumps = played(tmp_path, lambda i: WALL + i * PERIOD_NS)
    check(playback, timed)
    assert (playback.clock_shift_ns, playback.lines(), dict(jumps)) == (0, [], {})
    assert [r.stamp_ns for _, r in timed if r.topic == "scan"] == [WALL + i * PERIOD_NS for i in range(COUNT)]


@pytest.mark.parametrize("begin_s", [0, 12])
def test_a_simulators_stamps_in_a_recording_of_wall_clock_are_kept(tmp_path, begin_s):
    playback, timed, _ = played(tmp_path, lambda i: begin_s * NS_PER_S + i * PERIOD_NS)
    check(playback, timed)
    assert [r.stamp_ns for _, r in timed if r.topic == "scan"][:2] == [
        begin_s * NS_PER_S,
        begin_s * NS_PER_S + PERIOD_NS,
    ]
    assert any("behind the clock of the recorder" in line for line in playback.lines())


def test_stamps_of_wall_clock_in_a_recording_of_simulated_time_are_kept(tmp_path):
    playback, timed, _ = played(tmp_path, lambda i: WALL + i * PERIOD_NS, log_at=lambda i: SIM_NS + i * PERIOD_NS)
    check(playback, timed)
    assert any("ahead of the clock of the recorder" in line for line in playback.lines())


@pytest.mark.parametrize("pace", [0.3, 0.8, 3.0])
def test_a_simulator_with_another_pace_gives_the_time(tmp_path, pace):
    playback, timed, _ = played(
        tmp_path, lambda i: i * PERIOD_NS, log_at=lambda i: RECORDER + int(i * PERIOD_NS / pace)
    )
    check(playback, timed)
    took_s = (timed[-1][0] - timed[0][0]) / NS_PER_S
    assert took_s == pytest.approx((COUNT - 1) * 0.1, abs=0.2)
    assert any("another pace" in line for line in playback.lines())


@pytest.mark.parametrize("apart_s", [-20_000, -30, 30, 20_000, 1.7e9])
def test_odometry_of_another_clock_is_moved_to_that_of_the_scans(tmp_path, apart_s):
    playback, timed, _ = played(
        tmp_path, lambda i: WALL + i * PERIOD_NS, lambda i: max(0, WALL - int(apart_s * NS_PER_S)) + i * PERIOD_NS
    )
    check(playback, timed)
    assert [r.stamp_ns for _, r in timed if r.topic == "scan"][0] == WALL
    assert any("'odom' is stamped by another clock" in line for line in playback.lines())


def test_transforms_of_wall_clock_fit_to_scans_of_a_simulator(tmp_path):
    playback, timed, _ = played(tmp_path, lambda i: SIM_NS + i * PERIOD_NS, tf_stamp=lambda i: WALL + i * PERIOD_NS)
    check(playback, timed)
    assert playback.ego.kind == "tf"


@pytest.mark.parametrize("stamp_ns", [0, 5 * NS_PER_S, WALL])
def test_a_driver_that_does_not_stamp_gets_the_times_of_recording(tmp_path, stamp_ns):
    playback, timed, _ = played(tmp_path, lambda i: stamp_ns, lambda i: WALL + i * PERIOD_NS)
    check(playback, timed)
    assert playback.scan_rate_hz == pytest.approx(10.0)
    assert any("'scan' has no stamps that advance" in line for line in playback.lines())


@pytest.mark.parametrize("begin_ns_", [WALL, SIM_NS])
def test_a_restarted_simulator_or_driver_goes_on(tmp_path, begin_ns_):
    def stamp(index):
        return begin_ns_ + index * PERIOD_NS if index < 30 else (index - 30) * PERIOD_NS

    playback, timed, jumps = played(tmp_path, stamp)
    check(playback, timed)
    assert dict(jumps) == {"scan": 1, "odom": 1}


def test_one_wild_stamp_costs_nothing(tmp_path):
    def stamp(index):
        return 0 if index == 20 else WALL + index * PERIOD_NS

    playback, timed, jumps = played(tmp_path, stamp)
    check(playback, timed)
    assert jumps["scan"] == 2
