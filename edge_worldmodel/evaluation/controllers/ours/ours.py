"""Our own planner in the arena: perception, cache, planner and supervisor in one process, connected as the nodes are.

Each observation becomes a plan, which takes effect after the latency of the live graph. The supervisor turns plans into
commands at its own rate. There is no thread and no clock: the same seed gives the same drive.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_worldmodel.backends import open_backend
from edge_worldmodel.core.cache.latent_cache import LatentCache
from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.errors import EdgeWorldModelError
from edge_worldmodel.core.model.world_model import Backend, WorldModel
from edge_worldmodel.core.perception.perception import Perception, PerceptionConfig
from edge_worldmodel.core.planner.attention import AttentionConfig
from edge_worldmodel.core.planner.candidates.disturbances import DisturbanceConfig
from edge_worldmodel.core.planner.deliberation import Deliberation
from edge_worldmodel.core.planner.planner import Planner
from edge_worldmodel.core.planner.planner_config import PlannerConfig
from edge_worldmodel.core.planner.request import PlanningRequest
from edge_worldmodel.core.rejection import RejectedInputError
from edge_worldmodel.core.safety.inputs.intake import Instant, OdometrySample
from edge_worldmodel.core.safety.limits import MotionLimits, limit_velocity
from edge_worldmodel.core.safety.motion.plan_follower import follow
from edge_worldmodel.core.safety.supervisor import Supervisor
from edge_worldmodel.core.time_units import to_seconds
from edge_worldmodel.core.types import Floats, Plan
from edge_worldmodel.evaluation.controllers.controller import (
    STOP,
    Command,
    ControllerError,
    ControllerInput,
    ImaginedScene,
    configured,
)
from edge_worldmodel.evaluation.controllers.ours.parameters import (
    MODEL,
    disturbance_config,
    graph_parameters,
    robot_limits,
    supervisor_config,
)
from edge_worldmodel.models.manifest import load_model
from edge_worldmodel.models.shipped import shipped
from edge_worldmodel.sim.robots import RobotSpec

_SOURCE = "scan"


@dataclass(frozen=True)
class OursConfig(Config):
    """Settings beside those of the planner, of attention and of the disturbances."""

    model_dir: str = param("", "folder of a model with its manifest.json; empty: the shipped model")
    latency_s: float = param(0.06, "time from a scan to its plan, as in the live graph", minimum=0.0, maximum=0.5)
    watchdog_delay_s: float = param(
        0.00035, "time from a verdict until the watchdog passes its command on", minimum=0.0, maximum=0.02
    )
    threads: int = param(1, "threads of the network runtime", minimum=1, maximum=64)
    supervised: bool = param(True, "False: plans are followed within the robot's limits, without the supervisor")


class Ours:
    """The graph of one robot, without ROS."""

    name = "ours"
    knows_people = False

    def __init__(
        self,
        robot: RobotSpec,
        max_speed_mps: float,
        world_model: WorldModel,
        planner: PlannerConfig | None = None,
        latency_s: float = 0.06,
        attention: AttentionConfig | None = None,
        disturbances: Mapping[str, Any] | None = None,
        watchdog_delay_s: float = OursConfig.watchdog_delay_s,
        supervised: bool = True,
    ) -> None:
        """Drive a robot with a loaded world model.

        Args:
            robot: as the simulator knows it.
            max_speed_mps: speed cap.
            world_model: with its networks loaded.
            planner: configuration.
            latency_s: time from a scan to its plan.
            attention: configuration.
            disturbances: values that replace those of the robot's parameters.
            watchdog_delay_s: time from a verdict until the base hears its command.
            supervised: whether the supervisor turns plans into commands.
        """
        self._world_model, self._planner_config = world_model, planner or PlannerConfig()
        self._attention_config, self._disturbances = attention, disturbances or {}
        self._max_speed_mps, self._latency_ns = max_speed_mps, round(latency_s * 1e9)
        self._watchdog_delay_s, self._supervised = watchdog_delay_s, supervised
        self.reset(robot, np.zeros(2), 0)

    def reset(self, robot: RobotSpec, goal: Floats, seed: int, walls: Sequence[Floats] = ()) -> None:
        """Begin an episode without any memory of the last."""
        parameters = graph_parameters(robot, self._max_speed_mps)
        self._config = config = supervisor_config(parameters)
        self.steer_period_s = 1.0 / config.rate_hz
        self._frames = config.odom_frame, config.base_frame
        self._supervisor = Supervisor(config)
        self._perception = Perception(PerceptionConfig())
        self._cache = LatentCache()
        disturbances = disturbance_config(parameters, self._disturbances)
        planner = Planner(self._world_model, robot_limits(parameters), self._planner_config, disturbances)
        self._deliberation = Deliberation(planner, self._attention_config)
        self._seed, self._sequence = seed, 0
        self._verdict_command = np.zeros(3)
        self._plan: Plan | None = None
        self._pending: Plan | None = None
        self.imagined: ImaginedScene | None = None

    @property
    def reasons(self) -> Counter[str]:
        """Return how often each reason to imagine anew was found; "reused" counts the ticks without one."""
        return self._deliberation.attention.reasons

    @property
    def risk(self) -> float:
        """Return the probability of contact that the present plan was chosen with; NaN without a plan."""
        return self._plan.risk if self._plan is not None else float("nan")

    def observe(self, look: ControllerInput) -> None:
        """Perceive while the robot stands without a goal; the supervisor runs, as in the graph."""
        self._perceive(look)
        self._supervise(Instant(look.stamp_ns, look.stamp_ns))

    def act(self, look: ControllerInput) -> Command:
        """Perceive, plan, and let the supervisor decide."""
        self._perceive(look)
        if self._perception.due(look.stamp_ns):
            self._plan_on(look)
        return self._supervise(Instant(look.stamp_ns, look.stamp_ns))

    def steer(self, stamp_ns: int, pose: Floats, twist: Floats) -> Command:
        """Let the supervisor decide again, with the newest odometry."""
        self._move(stamp_ns, pose, twist)
        return self._supervise(Instant(stamp_ns, stamp_ns))

    def _perceive(self, look: ControllerInput) -> None:
        rays = look.sweep.beams or len(look.sweep.endpoints)
        self._supervisor.inputs.receive_sweep(_SOURCE, look.sweep, rays, Instant(look.stamp_ns, look.stamp_ns))
        self._move(look.stamp_ns, look.pose, look.twist)
        self._perception.add_sweep(_SOURCE, look.sweep)

    def _move(self, stamp_ns: int, pose: Floats, twist: Floats) -> None:
        odom_frame, base_frame = self._frames
        self._pose = pose
        self._perception.add_pose(stamp_ns, pose, twist)
        odometry = OdometrySample(stamp_ns, odom_frame, base_frame, pose, twist)
        self._supervisor.inputs.receive_odometry(odometry, Instant(stamp_ns, stamp_ns))

    def _plan_on(self, look: ControllerInput) -> None:
        """Observe, encode, ask the cache and plan; without an observation the last plan is followed to its end."""
        try:
            observation = self._perception.observe(look.stamp_ns)
        except RejectedInputError:
            return
        self._sequence += 1
        context = self._world_model.encode(observation.history)
        frame = observation.latent_frame(context, self._world_model.model_id, self._sequence, self._frames)
        request = PlanningRequest(
            frame=frame,
            goal=look.goal,
            # One generator per frame: frames without imagination do not change the numbers of later ones.
            rng=np.random.default_rng([self._seed, self._sequence]),
            warm_start=self._cache.warm_start(frame),
            previous=self._plan,
        )
        decision = self._deliberation.decide(request)
        if decision.output is not None:
            self._cache.remember(dataclasses.replace(frame, tensor=decision.output.solution))
            path = decision.plan.trajectory.poses[:, :2]
            self.imagined = ImaginedScene(pose=frame.pose, futures=decision.output.imagined, path=path)
        occupancy = decision.expected.stamp_ns, decision.expected.pose, decision.expected.probability
        self._perception.add_imagined(*occupancy)
        self._pending, self._pending_occupancy = decision.plan, occupancy

    def _supervise(self, clock: Instant) -> Command:
        if self._pending is not None and clock.ros_ns >= self._pending.stamp_ns + self._latency_ns:
            self._plan, self._pending = self._pending, None
            self._supervisor.inputs.imagined.receive(*self._pending_occupancy)
        if not self._supervised:
            return self._follow(clock)
        # In every tick, as the planner node repeats its plan.
        if self._plan is not None and clock.ros_ns < self._plan.valid_until_ns:
            self._supervisor.inputs.receive_plan(self._plan, clock)
        before, command = self._verdict_command, self._supervisor.supervise(clock).command
        self._verdict_command = command
        # The base hears the old command a little longer. The simulator's step is longer than that, so it gets the mean.
        heard = command + (before - command) * (self._watchdog_delay_s / self.steer_period_s)
        return Command(float(heard[0]), float(heard[2]))

    def _follow(self, clock: Instant) -> Command:
        """Return the command that follows the present plan within the robot's limits; stop without one."""
        plan = self._plan
        if plan is None or clock.ros_ns >= plan.valid_until_ns:
            return STOP
        twist, _ = follow(plan.trajectory, to_seconds(clock.ros_ns - plan.stamp_ns), self._pose, self._config)
        twist = limit_velocity(twist, MotionLimits.from_config(self._config))
        return Command(float(twist[0]), float(twist[2]))


WorldModelFactory = Callable[[Backend, str], WorldModel]
"""Makes a world model from a loaded backend and the model's id."""


def open_world_model(config: OursConfig, world: WorldModelFactory = WorldModel) -> WorldModel:
    """Verify and load the model.

    Raises:
        ControllerError: there is no model, or it cannot be used.
    """
    try:
        model = load_model(config.model_dir or shipped(MODEL))
        backend = open_backend("onnxruntime", config.threads)
        backend.load(model.networks)
    except EdgeWorldModelError as error:
        raise ControllerError(f"planner 'ours' cannot load its model: {error}") from error
    return world(backend, model.model_id)


def open_ours(
    robot: RobotSpec,
    max_speed_mps: float,
    settings: Mapping[str, Any],
    world: WorldModelFactory = WorldModel,
    make: type[Ours] = Ours,
) -> Ours:
    """Return the controller.

    Args:
        robot: as the simulator knows it.
        max_speed_mps: speed cap.
        settings: values of OursConfig, AttentionConfig, DisturbanceConfig or PlannerConfig, by name.
        world: makes its world model.
        make: class of the controller.
    """
    own, attention, disturbances = (
        {name: value for name, value in settings.items() if name in part.__dataclass_fields__}
        for part in (OursConfig, AttentionConfig, DisturbanceConfig)
    )
    config, attention_config = configured(OursConfig, own), configured(AttentionConfig, attention)
    configured(DisturbanceConfig, disturbances)  # a bad value is refused here and not in the middle of a run
    rest = {name: value for name, value in settings.items() if name not in {*own, *attention, *disturbances}}
    planner = configured(PlannerConfig, rest)
    model = open_world_model(config, world)
    return make(
        robot,
        max_speed_mps,
        model,
        planner,
        config.latency_s,
        attention_config,
        disturbances,
        config.watchdog_delay_s,
        config.supervised,
    )


FACTORIES = {"ours": open_ours}
