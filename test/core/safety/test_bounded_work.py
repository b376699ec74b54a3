"""The work of a tick is bounded, whatever the sensors and the planner send. Times are this thread's processor times."""

import gc
import time

import numpy as np
import pytest

from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import FaultKind
from edge_worldmodel.core.safety.inputs import cloud_slab
from edge_worldmodel.core.safety.inputs.cloud_slab import MAX_RAYS, bounded_sweep, sweep_from_points
from edge_worldmodel.core.safety.motion import braking, path_gate
from edge_worldmodel.core.safety.states import PASSING, State
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.kernels import library

from .supervised_robot import SupervisedRobot, driving, spoil

SENSOR = np.array([0.2, 0.0, 0.5])
ANGLE = np.linspace(0.0, 2.0 * np.pi, 16, endpoint=False)
SIXTEEN_CORNERS = tuple(np.stack((0.45 * np.cos(ANGLE), 0.3 * np.sin(ANGLE)), axis=-1).ravel())
KERNELS = {
    "compiled": (),
    "numpy": (braking, "sweep_footprint", cloud_slab, "nearest_by_direction", path_gate, "mark_near"),
}


@pytest.fixture(params=KERNELS)
def limit_s(request, monkeypatch):
    """Limit of a tick's processor time with the kernels and without them."""
    if request.param == "compiled" and library.load().library is None:
        pytest.skip(library.load().text)
    names = KERNELS[request.param]
    for module, name in zip(names[::2], names[1::2], strict=True):
        monkeypatch.setattr(module, name, lambda *_: None)
    return 0.005 if request.param == "compiled" else 0.1


def corridor(beams, width_m=1.5, origin=(0.0, 0.0)):
    """Return a function that makes every scan one of a straight corridor along x."""
    bearing = np.linspace(-np.pi, np.pi, beams, endpoint=False)
    across = np.abs(np.sin(bearing))
    range_m = np.minimum(0.5 * width_m / np.maximum(across, 1e-9), 30.0)
    ends = range_m[:, None] * np.stack((np.cos(bearing), np.sin(bearing)), axis=-1)

    def scan(sweep):
        # Noise of a nanometre, so that no scan repeats the one before.
        noise = 1e-9 * (sweep.stamp_ns % 977)
        return Sweep(sweep.stamp_ns, np.array(origin), ends + noise, range_m < 30.0)

    return scan


def imagine_everywhere(robot):
    """Return a function that lets a full imagined grid arrive with each odometry message."""
    full = np.ones((EGO_GRID.cells,) * 2, np.float32)

    def arrive(odometry):
        robot.supervisor.inputs.imagined.receive(robot.ros_ns, robot.pose, full)
        return odometry

    return arrive


def tick_s(robot, ticks):
    """Processor time (ticks,) of the supervisor in each tick with its messages; the robot must drive on."""
    supervisor, spent_s = robot.supervisor, [0.0]

    def timed(call):
        def run(*values):
            start_s = time.thread_time()
            result = call(*values)
            spent_s[-1] += time.thread_time() - start_s
            return result

        return run

    inputs = supervisor.inputs
    for owner, name in (
        (inputs, "receive_sweep"),
        (inputs, "receive_plan"),
        (inputs, "receive_odometry"),
        (inputs.imagined, "receive"),
        (supervisor, "supervise"),
    ):
        setattr(owner, name, timed(getattr(owner, name)))
    for _ in range(ticks):
        verdict = robot.step()
        assert supervisor.state in PASSING, verdict.reason
        spent_s.append(0.0)
    return np.array(spent_s[:-1])


@pytest.mark.parametrize("beams", [1081, 2162])
def test_polygon_footprint_in_a_narrow_corridor(beams, limit_s):
    robot = SupervisedRobot(SupervisorConfig(footprint_m=SIXTEEN_CORNERS))
    robot.before["scan"] = corridor(beams)
    assert np.median(tick_s(robot, 60)[20:]) < limit_s


def test_imagined_obstacles_everywhere(limit_s):
    robot = SupervisedRobot(SupervisorConfig(footprint_m=SIXTEEN_CORNERS))
    robot.before["scan"] = corridor(2048)
    robot.before["odometry"] = imagine_everywhere(robot)
    seconds = tick_s(robot, 60)
    assert np.median(seconds[20:]) < limit_s
    assert "imagined" in robot.step().limits


@pytest.mark.benchmark
def test_a_full_tick_takes_five_milliseconds_at_most(capsys):
    if library.load().library is None:
        pytest.skip(library.load().text)
    robot = SupervisedRobot(
        SupervisorConfig(footprint_m=SIXTEEN_CORNERS, scan_topics=("a", "b", "c", "d"), max_forward_mps=1.5)
    )
    robot.before["scan"] = corridor(2048)
    robot.before["odometry"] = imagine_everywhere(robot)
    tick_s(robot, 50)
    # As the node does at its start.
    gc.collect()
    gc.freeze()
    p50, p99, p999 = 1e3 * np.percentile(tick_s(robot, 3000), [50.0, 99.0, 99.9])
    with capsys.disabled():
        print(f"\nfull tick: p50 {p50:.2f} ms, p99 {p99:.2f} ms, p99.9 {p999:.2f} ms")
    assert p999 <= 5.0


def wall(count):
    """Points of a wall without noise, each row of which lies in one direction."""
    y, z = np.meshgrid(np.linspace(-3.0, 3.0, 100), np.linspace(0.2, 1.2, count // 100))
    return np.stack((np.full(y.size, 2.0), y.ravel(), z.ravel()), axis=-1)


@pytest.mark.parametrize(("points", "seen"), [(np.zeros((100_000, 3)), 1), (wall(100_000), 100)], ids=["zeros", "wall"])
def test_tied_points_give_one_hit_in_a_direction(points, seen, limit_s):
    points = points + (0.0, 0.0, 0.3)
    start_s = time.thread_time()
    sweep = sweep_from_points(1, points, SENSOR, 0.1, 1.5)
    assert time.thread_time() - start_s < 10.0 * limit_s
    ends = {tuple(end) for end in np.round(sweep.endpoints, 9)}
    assert sweep.hit.all() and len(ends) == len(sweep.endpoints) == seen


def test_a_large_sweep_is_reduced_to_the_nearest_hits():
    bearing = np.linspace(-np.pi, np.pi, 20_000, endpoint=False)
    range_m = 4.0 + np.arange(20_000) % 4
    ends = range_m[:, None] * np.stack((np.cos(bearing), np.sin(bearing)), axis=-1)
    ends[777] *= 0.1
    sweep = bounded_sweep(Sweep(5, np.zeros(2), ends, np.arange(20_000) % 2 == 1, beams=20_000))
    assert len(sweep.endpoints) == MAX_RAYS and sweep.hit.all() and sweep.beams == 20_000 and sweep.stamp_ns == 5
    assert (sweep.endpoints == ends[777]).all(axis=1).any()
    assert np.hypot(*sweep.endpoints.T).max() == pytest.approx(5.0)


def test_a_sweep_of_the_usual_size_stays_as_it_is():
    sweep = corridor(MAX_RAYS)(Sweep(5, np.zeros(2), np.zeros((0, 2)), np.zeros(0, bool)))
    assert bounded_sweep(sweep) is sweep


def test_the_supervisor_keeps_no_more_rays_than_it_can_check():
    robot = SupervisedRobot()
    robot.before["scan"] = corridor(30_000)
    robot.step()
    assert len(robot.supervisor.inputs.sensors["scan"].value.endpoints) <= MAX_RAYS
    robot.before["scan"] = spoil("endpoints", lambda ends: np.full_like(ends, np.nan))
    robot.run(0.2)
    assert robot.supervisor.inputs.sensors["scan"].value is None


def test_a_tick_that_took_too_long_commands_zero_and_says_so():
    robot = driving()
    verdict = robot.supervisor.overrun(0.031, 0.015, robot.clock)
    assert robot.supervisor.state is State.STOPPING and not verdict.command.any()
    assert verdict.reason == "a tick took 31 ms of processor time, the limit is 15 ms"
    assert robot.step().state not in PASSING, "it settles first"
    robot.run(2.0)
    assert robot.supervisor.state in PASSING


def test_a_more_serious_fault_stays_the_first_in_a_tick_that_took_too_long():
    robot = driving()
    robot.supervisor.press_estop(True)
    robot.step()
    robot.supervisor.overrun(0.031, 0.015, robot.clock)
    assert [fault.kind for fault in robot.supervisor.faults] == [FaultKind.ESTOP, FaultKind.OVERRUN]
    assert robot.supervisor.state is State.ESTOP
