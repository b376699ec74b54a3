"""The ladder: true movers in the motion channels, the true future of an episode, and planners without a supervisor."""

import numpy as np
import pytest

pytest.importorskip("mujoco")

from edge_worldmodel.evaluation.arena.clairvoyant.people_ahead import TrueFuture
from edge_worldmodel.evaluation.arena.scenario import ScenarioOverrides, load_scenario
from edge_worldmodel.evaluation.arena.source import ScenarioError
from edge_worldmodel.evaluation.arena.tasks import EpisodeTask, run_task
from edge_worldmodel.evaluation.controllers import make_controller
from edge_worldmodel.evaluation.controllers.ours.oracle import LADDER, drawn
from edge_worldmodel.sim.robots import PRESETS
from edge_worldmodel.sim.simulation import START_NS, Simulation


def test_people_are_drawn_in_the_cells_that_they_cover():
    image = drawn(np.array([[[1.0, 0.0], [np.nan, np.nan]], [[50.0, 0.0], [0.0, -2.0]]]), np.array([0.25, 0.25]))
    cells = np.argwhere(image[0])
    centres = (cells[:, ::-1] + 0.5) * 0.2 - 6.4
    assert np.hypot(*(centres - (1.0, 0.0)).T).max() < 0.35 and 4 <= len(cells) <= 12
    assert image[1].sum() == pytest.approx(image[0].sum(), abs=4)


@pytest.mark.parametrize("name", ["circle_v1", "stepout_v1"])
def test_the_true_future_is_where_people_are_then(name):
    case = load_scenario(name, 1000).case(0)
    simulation = Simulation(case.drawn.world, case.simulation_seed)
    future = TrueFuture(case.drawn.world, case.simulation_seed)
    twist = (0.5, 0.0)
    for _ in range(3):
        simulation.command(*twist)
        simulation.advance(1.0)
        if simulation.contact_events:
            break
        pose = simulation.pose()
        forecast = future.at(
            (simulation.stamp_ns - START_NS) * 1e-9, np.array([0.0, 0.8]), pose[:2], simulation.velocity_before_step()
        )
        np.testing.assert_allclose(forecast[0], simulation.people().positions, atol=0.05)
        simulation.advance(0.8)
        np.testing.assert_allclose(forecast[1], simulation.people().positions, atol=0.08)


def test_people_who_react_to_the_robot_have_no_one_future():
    case = load_scenario("crowd_v1", 1000).case(0)
    with pytest.raises(ScenarioError, match="react"):
        TrueFuture(case.drawn.world, case.simulation_seed)
    result = run_task(EpisodeTask("crowd_v1", 1000, ScenarioOverrides(), "ours_oracle", 0))
    assert result.outcome is None and "react" in result.skipped


@pytest.mark.parametrize("name", LADDER)
def test_every_rung_can_be_made(name):
    controller = make_controller(name, PRESETS["generic"], 0.8, None)
    assert controller.name == name
    assert getattr(controller, "knows_future", False) is ("oracle" in name and "state" not in name)
