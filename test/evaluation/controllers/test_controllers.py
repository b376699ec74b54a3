"""Every controller drives round a box, keeps its limits and drives the same way again with the same seed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from edge_worldmodel.backends.deterministic_backend import DeterministicBackend
from edge_worldmodel.core.model.world_model import WorldModel
from edge_worldmodel.evaluation.arena.scenario import _robot, find_scenario
from edge_worldmodel.evaluation.controllers import CLAIRVOYANT, NAMES, Controller, ControllerError, make_controller
from edge_worldmodel.evaluation.controllers.local_planner import LocalPlanner
from edge_worldmodel.evaluation.controllers.mppi import Mppi
from edge_worldmodel.evaluation.controllers.ours import ours
from edge_worldmodel.evaluation.controllers.ours.ours import Ours
from edge_worldmodel.evaluation.controllers.ours.parameters import graph_parameters, robot_limits, supervisor_config
from edge_worldmodel.evaluation.controllers.ours.variants import Unconditioned
from edge_worldmodel.models.shipped import shipped
from edge_worldmodel.sim.fields import Fields
from edge_worldmodel.sim.robots import PRESETS, RobotSpec
from edge_worldmodel.sim.simulation import Simulation

from .conftest import BOX, drive_through, look_around, room

CAP_MPS = 0.8
# Of the ladder one rung with true movers and one without supervisor: the others differ in a number.
PLANNERS = [name for name in NAMES if name != CLAIRVOYANT and not name.startswith("ours_oracle_")]
FEWER = {"mppi_static": {"batch_size": 400}, "mppi_cv": {"batch_size": 400}, "pytorch_mppi": {"samples": 400}}
NEEDS = {"orca": "pyrvo", "orca_lidar": "pyrvo", "pytorch_mppi": "pytorch_mppi"}


def controller_of(name: str) -> Controller:
    """The controller, smaller where that is faster; ours without a learned model."""
    library = NEEDS.get(name)
    if library is not None and importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed: see requirements/no-deps.txt and requirements/peer.txt")
    if name in ("ours", "ours_unconditioned", "ours_calm"):
        world = Unconditioned if name == "ours_unconditioned" else WorldModel
        return Ours(PRESETS["generic"], CAP_MPS, world(DeterministicBackend(), "deterministic"))
    return make_controller(name, PRESETS["generic"], CAP_MPS, FEWER.get(name, {}))


@pytest.mark.parametrize("name", PLANNERS)
def test_drives_round_a_box(name: str) -> None:
    drive = drive_through(controller_of(name), room(BOX))
    assert drive.arrived and not drive.touched, drive
    assert drive.time_s < 30.0
    assert drive.commands[:, 0].max() <= CAP_MPS + 1e-6
    assert np.abs(drive.commands[:, 1]).max() <= PRESETS["generic"].max_yaw_rate_radps + 1e-6


@pytest.mark.parametrize("name", PLANNERS)
def test_drives_the_same_way_again(name: str) -> None:
    controller = controller_of(name)
    first = drive_through(controller, room(BOX), limit_s=4.0)
    again = drive_through(controller, room(BOX), limit_s=4.0)
    anew = drive_through(controller_of(name), room(BOX), limit_s=4.0)
    assert np.array_equal(first.commands, again.commands)
    assert np.array_equal(first.commands, anew.commands)


@pytest.mark.parametrize("name", ["dwa", "mppi_static"])
def test_passes_a_gap_that_only_the_long_side_fits(name: str) -> None:
    from edge_worldmodel.sim.shapes import Box

    # 0.64 m between the boxes: less than the Jackal's circle, more than its width.
    walls = Box(2.5, 1.66, 0.3, 2.68), Box(2.5, -1.66, 0.3, 2.68)
    controller = make_controller(name, PRESETS["jackal"], 0.5, FEWER.get(name, {}))
    drive = drive_through(controller, room(*walls, robot="jackal"))
    assert drive.arrived and not drive.touched, drive


def test_unknown_names_and_settings_are_refused() -> None:
    robot = PRESETS["generic"]
    with pytest.raises(ControllerError, match="planner 'teb' does not exist: choose one of ours, ours_frozen"):
        make_controller("teb", robot, 0.5)
    with pytest.raises(ControllerError, match="setting 'speed' does not exist"):
        make_controller("dwa", robot, 0.5, {"speed": 1.0})
    with pytest.raises(ControllerError, match="horizon_s = -1.0"):
        make_controller("dwa", robot, 0.5, {"horizon_s": -1.0})


def test_ours_never_drives_without_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ControllerError, match="cannot load its model"):
        make_controller("ours", PRESETS["generic"], 0.5, {"model_dir": str(tmp_path)})
    monkeypatch.setattr(ours, "MODEL", "models/none")
    with pytest.raises(ControllerError, match="models/none has no manifest.json"):
        make_controller("ours", PRESETS["generic"], 0.5)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_graph_of_ours_has_the_robots_parameters_and_the_cap(name: str) -> None:
    parameters = graph_parameters(PRESETS[name], 0.4)
    limits, supervisor = robot_limits(parameters), supervisor_config(parameters)
    assert limits.max_speed_mps == supervisor.max_forward_mps == 0.4
    assert limits.radius_m == PRESETS[name].radius_m == supervisor.footprint_radius_m
    assert supervisor.max_acceleration_mps2 >= limits.max_accel_mps2


SCENARIOS = sorted(path.stem for path in shipped("worlds/scenarios").glob("*.yaml"))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_planner_is_given_the_limits_of_the_scenarios_robot(scenario: str) -> None:
    text = yaml.safe_load(find_scenario(scenario).read_text())
    robot = _robot(Fields(text, scenario))
    cap = min(text.get("max_speed", robot.max_speed_mps), robot.max_speed_mps)
    reverse = min(robot.max_reverse_mps, cap)
    accelerations = robot.max_acceleration_mps2, robot.max_deceleration_mps2, robot.max_yaw_acceleration_radps2
    parameters = graph_parameters(robot, cap)
    ours = robot_limits(parameters)
    assert (ours.kind, ours.radius_m, ours.length_m, ours.width_m) == (
        robot.kind, robot.radius_m, robot.length_m, robot.width_m,
    )  # fmt: skip
    assert (ours.max_speed_mps, -ours.min_speed_mps, ours.max_yaw_rate_radps) == (
        cap, reverse, robot.max_yaw_rate_radps,
    )  # fmt: skip
    assert (ours.max_accel_mps2, ours.max_decel_mps2, ours.max_yaw_accel_radps2) == accelerations
    supervisor = supervisor_config(parameters)
    assert (supervisor.max_forward_mps, supervisor.max_reverse_mps, supervisor.max_yaw_rate_radps) == (
        cap, reverse, robot.max_yaw_rate_radps,
    )  # fmt: skip
    assert supervisor.max_acceleration_mps2 >= max(accelerations[:2])
    assert supervisor.max_yaw_acceleration_radps2 >= accelerations[2]
    assert supervisor.braking_deceleration_mps2 == pytest.approx(0.9 * accelerations[1])
    for name in ("dwa", "mppi_static", "mppi_cv"):
        baseline = make_controller(name, robot, cap, FEWER.get(name, {}))
        assert isinstance(baseline, LocalPlanner)
        given = baseline.limits
        assert (given.forward_mps, given.reverse_mps, given.yaw_rate_radps) == (cap, reverse, robot.max_yaw_rate_radps)
        assert (given.acceleration_mps2, given.deceleration_mps2, given.yaw_acceleration_radps2) == accelerations
        if isinstance(baseline, Mppi):
            assert baseline._bounds()[1].tolist() == pytest.approx([cap, robot.max_yaw_rate_radps])


def test_the_parameters_of_a_robot_have_its_rectangle() -> None:
    parameters = graph_parameters(RobotSpec(name="cart", radius_m=0.4, length_m=0.6, width_m=0.5), 5.0)
    assert robot_limits(parameters).max_speed_mps == RobotSpec().max_speed_mps
    assert supervisor_config(parameters).footprint.shape == (4, 2)


@pytest.mark.parametrize("name", ["dwa", "mppi_cv", "orca"])
def test_a_baseline_knows_its_surroundings_after_it_has_observed(name: str) -> None:
    controller = controller_of(name)
    world = room(BOX)
    look = look_around(Simulation(world, 1), controller.knows_people)
    controller.reset(PRESETS["generic"], np.array([5.0, 0.0]), 1)
    assert np.isinf(controller._costmap.distance_m).all() or controller._costmap.distance_m.min() > 1.0
    controller.observe(look)
    assert controller._costmap.distance_m.min() == 0.0


def test_ours_perceives_while_it_observes() -> None:
    controller = controller_of("ours")
    simulation = Simulation(room(BOX), 1)
    for _ in range(10):
        controller.observe(look_around(simulation))
        simulation.advance(0.1)
    observation = controller._perception.observe(simulation.stamp_ns - 100_000_000)
    assert observation.frames_seen == 5
    assert controller._plan is None


@pytest.mark.parametrize("name", ["dwa", "mppi_static", "orca", "pytorch_mppi"])
def test_a_car_is_driven_round_a_box_without_turning_on_the_spot(name: str) -> None:
    if NEEDS.get(name) and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed: see requirements/no-deps.txt and requirements/peer.txt")
    controller = make_controller(name, PRESETS["car"], CAP_MPS, FEWER.get(name, {}))
    drive = drive_through(controller, room(BOX, robot="car"))
    assert drive.arrived and not drive.touched, drive


def test_only_what_flies_reckons_with_wind_and_calm_does_not() -> None:
    def gust_mps(name: str, robot: RobotSpec, **settings: float) -> float:
        controller = make_controller(name, robot, CAP_MPS, settings)
        assert isinstance(controller, Ours)
        return controller._deliberation.planner.disturbances.gust_std_mps

    assert gust_mps("ours", PRESETS["quadrotor"]) == 1.5
    assert gust_mps("ours_calm", PRESETS["quadrotor"]) == 0.0
    assert gust_mps("ours", PRESETS["generic"]) == 0.0
    assert gust_mps("ours", PRESETS["quadrotor"], gust_std_mps=3.0) == 3.0


def test_the_base_hears_ours_later_by_the_delay_of_the_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    world = WorldModel(DeterministicBackend(), "deterministic")
    controller = Ours(PRESETS["generic"], CAP_MPS, world, watchdog_delay_s=0.005)
    assert controller.steer_period_s == 0.02
    verdicts = [np.array([0.4, 0.0, 0.0]), np.array([0.4, 0.0, 0.2]), np.zeros(3), np.zeros(3)]
    coming = iter(verdicts)
    monkeypatch.setattr(
        controller._supervisor, "supervise", lambda clock: SimpleNamespace(command=next(coming), at=clock)
    )
    heard = [controller.steer(tick * 20_000_000, np.zeros(3), np.zeros(3)) for tick in range(1, 5)]
    # A quarter of each period still belongs to the command before.
    np.testing.assert_allclose(heard, [(0.3, 0.0), (0.4, 0.15), (0.1, 0.05), (0.0, 0.0)], atol=1e-12)
    assert Ours(PRESETS["generic"], CAP_MPS, world)._watchdog_delay_s == 0.00035, "as measured in docs/safety.md"
