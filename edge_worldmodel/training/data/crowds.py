"""Crowds that walk through a floor plan, simulated by JuPedSim; people can react to robots among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jupedsim
import numpy as np
import shapely
from shapely import Polygon

from edge_worldmodel.core.types import Floats
from edge_worldmodel.training.data.scenes import STEP_S, Movers, headings, smooth

WARM_UP_S = 2.0
"""Simulated before the scene begins, so that people do not all start at the same time."""
_MODELS = ("anticipation", "social_force", "speed")
_MODEL_SHARES = (0.65, 0.12, 0.23)
_DTS_S = {"anticipation": 0.05, "social_force": 0.02, "speed": 0.05}
_CONTROL_STEPS = 5
"""Walkers may stop or continue every so many samples."""


@dataclass(frozen=True)
class SimulatedCrowd:
    """A simulated crowd: its movers, and the poses (T, R, 3) of robots, which are also the last R people."""

    movers: Movers
    robots: Floats


@dataclass
class _Walker:
    agent: int
    radius_m: float
    speed_mps: float
    stops: bool
    is_robot: bool
    going: bool = True


def simulate_crowd(
    walkable: Polygon, goals: Floats, people: int, robots: int, duration_s: float, rng: np.random.Generator
) -> SimulatedCrowd:
    """Simulate people who walk between goals and around robots.

    The robots ignore people, so that a robot's path does not depend on where people will be.

    Args:
        walkable: area with obstacles as holes, in metres.
        goals: (G, 2) places to walk to, in turn.
        people: number of people; fewer if they do not fit.
        robots: number of robots that people react to.
        duration_s: length of the result.
        rng: source of all random choices.

    Raises:
        RuntimeError: JuPedSim cannot simulate this geometry or crowd.
    """
    model = str(rng.choice(_MODELS, p=_MODEL_SHARES))
    simulation = jupedsim.Simulation(model=_model(model, rng), geometry=walkable, dt=_DTS_S[model])
    stages = [simulation.add_waypoint_stage((float(x), float(y)), 0.9) for x, y in goals]
    places = _places(walkable, people + robots, rng)
    walkers: list[_Walker] = []
    for index, place in enumerate(places):
        is_robot = index >= len(places) - robots
        leader = walkers[-1] if walkers and not is_robot and rng.random() < 0.3 else None
        _add(simulation, model, stages, place, is_robot, leader, walkers, rng)
    samples = _run(simulation, walkers, _DTS_S[model], duration_s, rng)
    return _to_crowd(samples, walkers)


def _model(name: str, rng: np.random.Generator) -> Any:
    if name == "anticipation":
        return jupedsim.AnticipationVelocityModel(rng_seed=int(rng.integers(2**31)))
    if name == "social_force":
        return jupedsim.SocialForceModel()
    return jupedsim.CollisionFreeSpeedModelV2()


def _parameters(model: str, walker: _Walker, rng: np.random.Generator) -> dict[str, Any]:
    shared = {"radius": walker.radius_m, "desired_speed": walker.speed_mps}
    if model == "social_force":
        return shared | ({"agent_scale": 0.0} if walker.is_robot else {"agent_scale": rng.uniform(1000.0, 2500.0)})
    if walker.is_robot:
        return shared | {"time_gap": 0.1, "strength_neighbor_repulsion": 0.0}
    shared["time_gap"] = rng.uniform(0.5, 1.3)
    return shared | ({"anticipation_time": rng.uniform(0.5, 1.5)} if model == "anticipation" else {})


_AGENTS: dict[str, Any] = {
    "anticipation": jupedsim.AnticipationVelocityModelAgentParameters,
    "social_force": jupedsim.SocialForceModelAgentParameters,
    "speed": jupedsim.CollisionFreeSpeedModelV2AgentParameters,
}


def _add(
    simulation: jupedsim.Simulation, model: str, stages: list[int], place: Floats, is_robot: bool,
    leader: _Walker | None, walkers: list[_Walker], rng: np.random.Generator,
) -> None:  # fmt: skip
    radius_m = rng.uniform(0.22, 0.4) if is_robot else rng.uniform(0.18, 0.28)
    speed_mps = rng.uniform(0.2, 2.0) if is_robot else float(np.clip(rng.normal(1.25, 0.35), 0.4, 1.8))
    if not is_robot and rng.random() < 0.1:
        speed_mps = 0.0
    if leader is not None:
        # A companion walks beside the previous walker: same way, same speed.
        speed_mps = leader.speed_mps
        mate = simulation.agent(leader.agent)
        place = np.add(mate.position, rng.uniform(0.45, 0.7) * _direction(rng))
    walker = _Walker(-1, radius_m, speed_mps, rng.random() < (0.6 if is_robot else 0.25), is_robot)
    if leader is None:
        journey, first = _journey(simulation, stages, rng)
    else:
        journey, first = mate.journey_id, mate.stage_id
    parameters = _AGENTS[model](
        position=(float(place[0]), float(place[1])), journey_id=journey, stage_id=first,
        **_parameters(model, walker, rng),
    )  # fmt: skip
    try:
        walker.agent = simulation.add_agent(parameters)
    except RuntimeError:
        return  # no space for another person
    walkers.append(walker)


def _direction(rng: np.random.Generator) -> Floats:
    angle = rng.uniform(-np.pi, np.pi)
    return np.array((np.cos(angle), np.sin(angle)))


def _journey(simulation: jupedsim.Simulation, stages: list[int], rng: np.random.Generator) -> tuple[int, int]:
    order = [stages[i] for i in rng.permutation(len(stages))]
    journey = jupedsim.JourneyDescription(order)
    for here, there in zip(order, order[1:] + order[:1], strict=True):
        journey.set_transition_for_stage(here, jupedsim.Transition.create_fixed_transition(there))
    return simulation.add_journey(journey), order[0]


def _places(walkable: Polygon, count: int, rng: np.random.Generator) -> Floats:
    clear = walkable.buffer(-0.35)
    x0, y0, x1, y1 = walkable.bounds
    tries = rng.uniform((x0, y0), (x1, y1), (60 * count, 2))
    tries = tries[shapely.contains_xy(clear, tries[:, 0], tries[:, 1])]
    kept: list[Floats] = []
    for place in tries:
        if all(np.hypot(*(place - other)) > 0.9 for other in kept):
            kept.append(place)
        if len(kept) == count:
            break
    return np.array(kept).reshape(-1, 2)


def _run(
    simulation: jupedsim.Simulation, walkers: list[_Walker], dt_s: float, duration_s: float, rng: np.random.Generator
) -> Floats:
    iterations = round(STEP_S / dt_s)
    simulation.iterate(round(WARM_UP_S / dt_s))
    samples = np.empty((round(duration_s / STEP_S) + 1, len(walkers), 2))
    agents = [simulation.agent(walker.agent) for walker in walkers]
    for step in range(len(samples)):
        if step % _CONTROL_STEPS == 0:
            _stop_or_continue(agents, walkers, rng)
        samples[step] = np.array([agent.position for agent in agents]).reshape(-1, 2)
        simulation.iterate(iterations)
    return samples


def _stop_or_continue(agents: list[Any], walkers: list[_Walker], rng: np.random.Generator) -> None:
    for agent, walker in zip(agents, walkers, strict=True):
        if not walker.stops:
            continue
        if rng.random() < (0.08 if walker.going else 0.2):
            walker.going = not walker.going
            agent.model.desired_speed = walker.speed_mps if walker.going else 0.0


def _to_crowd(samples: Floats, walkers: list[_Walker]) -> SimulatedCrowd:
    is_robot = np.array([walker.is_robot for walker in walkers], dtype=bool)
    # The models turn on the spot and change speed at once; people, and even more robots, do not.
    people = smooth(samples, 1.5)
    people[:, is_robot] = smooth(samples[:, is_robot], 3.0)
    yaw = smooth(np.unwrap(headings(people[:, is_robot]), axis=0), 4.0)
    robots = np.concatenate((people[:, is_robot], yaw[..., None]), axis=-1)
    radii = np.array([walker.radius_m for walker in walkers])
    movers = Movers(people, radii, is_robot, np.zeros((len(people), 0, 3)), np.zeros((0, 2)))
    return SimulatedCrowd(movers, robots)
