"""One episode: a planner drives one robot through one world, without ROS and faster than real time where possible."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edge_worldmodel.core.geometry import compose, pose_matrix, relative, transform_points
from edge_worldmodel.core.sweep import sweep_from_scan
from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.arena.clairvoyant.people_ahead import TrueFuture
from edge_worldmodel.evaluation.arena.clearance import FootprintClearance
from edge_worldmodel.evaluation.arena.measures.avoidable import could_be_avoided
from edge_worldmodel.evaluation.arena.measures.contact import contact_of
from edge_worldmodel.evaluation.arena.measures.intrusion import IntrusionMeter
from edge_worldmodel.evaluation.arena.measures.motion import freezing_s, mean_jerk, stops
from edge_worldmodel.evaluation.arena.measures.risk import RiskCounts
from edge_worldmodel.evaluation.arena.outcome import EpisodeOutcome, Trace, barn_score, tick_bin
from edge_worldmodel.evaluation.arena.scenario import EpisodeCase, Scenario
from edge_worldmodel.evaluation.controllers import (
    CONTROL_PERIOD_S,
    Command,
    Controller,
    ControllerInput,
    ImaginedScene,
    ImaginingController,
    People,
    PlaybackController,
    SteeringController,
)
from edge_worldmodel.sim.sensors.scanner import SimulatedScan
from edge_worldmodel.sim.simulation import START_NS, Simulation

# Clearance is measured more often than commands are given: at 2 m/s a robot moves 0.2 m in a control period.
_MEASURE_S = 0.05


@dataclass
class _EpisodeRecord:
    """Measurements taken while the robot drives."""

    moments: list[tuple[Any, ...]] = field(default_factory=list)
    bins: dict[str, int] = field(default_factory=dict)
    nearest_m: float = math.inf
    nearest_person_m: float = math.inf
    path_m: float = 0.0
    planner_s: float = 0.0
    imagined: list[ImaginedScene | None] = field(default_factory=list)
    """One for each moment if the controller imagines."""
    risks: list[tuple[float, float]] = field(default_factory=list)
    """Time on the clock and the planner's own risk, of each decision."""


class Episode:
    """One drive to the goal; ``run`` is called once."""

    def __init__(self, scenario: Scenario, case: EpisodeCase, controller: Controller) -> None:
        """Build the world and reset the controller."""
        self._scenario, self._case, self._controller = scenario, case, controller
        world = case.drawn.world
        self._spec = world.robots[0].spec
        self._simulation = Simulation(world, case.simulation_seed)
        self._clearance = FootprintClearance(world, self._spec)
        self._start = np.array(world.robots[0].start)
        self._radii_m = np.array([person.radius_m for person in world.people])
        goal = np.array(world.robots[0].goal)
        self._goal = relative(self._start, goal)[:2]
        self._record = _EpisodeRecord()
        self._intrusion = IntrusionMeter(len(world.people))
        self._began_ns = self._simulation.stamp_ns
        walls = self._outlines() if controller.knows_people else ()
        self._steering = isinstance(controller, SteeringController)
        controller.reset(self._spec, self._goal, case.planner_seed, walls)
        knows_future = getattr(controller, "knows_future", False)
        self._future = TrueFuture(world, case.simulation_seed) if knows_future else None
        if isinstance(controller, PlaybackController) and case.solution is not None:
            controller.load(case.solution.commands)

    def run(self) -> tuple[EpisodeOutcome, Trace]:
        """Drive until the goal is reached, something is touched or the time is over."""
        began_cpu_s, began_s = time.process_time(), time.perf_counter()
        ending, error = self._observe_and_drive()
        # The last moment shows where the episode ended; its command is never used.
        self._add_moment(self._simulation.scan(), Command(0.0, 0.0))
        outcome, trace = self._outcome(ending, error), self._trace()
        if outcome.touched:
            outcome = replace(outcome, **self._contact_figures(trace))
        cpu_s, wall_s = time.process_time() - began_cpu_s, time.perf_counter() - began_s
        return replace(outcome, cpu_s=cpu_s, simulator_s=wall_s - self._record.planner_s), trace

    def _observe_and_drive(self) -> tuple[str, str]:
        """Return how the episode ended, and the error if the planner failed."""
        try:
            self._observe()
            self._began_ns = self._simulation.stamp_ns
            self._measure(0.0)
            ending = ""
            while not ending:
                ending = self._drive(self._decide())
        except Exception as failure:  # a failure ends its episode, not the whole run
            return "error", f"{type(failure).__name__}: {failure}"
        return ending, ""

    def _elapsed_s(self) -> float:
        return (self._simulation.stamp_ns - self._began_ns) * 1e-9

    def _observe(self) -> None:
        """Let the robot stand while its sensors run; the clock does not run yet."""
        for _ in range(round(self._scenario.observe_s / CONTROL_PERIOD_S)):
            self._controller.observe(self._look(self._simulation.scan()))
            self._simulation.advance(CONTROL_PERIOD_S)

    def _look(self, scan: SimulatedScan) -> ControllerInput:
        odometry = self._simulation.odom()
        mount = self._spec.scanners[0]
        sweep = sweep_from_scan(
            scan.stamp_ns, scan.ranges, scan.angle_min_rad, scan.angle_increment_rad, scan.range_min_m,
            scan.range_max_m, pose_matrix((mount.mount_x_m, mount.mount_y_m, mount.mount_yaw_rad)),
        )  # fmt: skip
        people = self._people() if self._controller.knows_people else None
        ahead = self._people_ahead if self._future is not None else None
        return ControllerInput(scan.stamp_ns, sweep, odometry.pose, odometry.twist, self._goal, people, ahead)

    def _decide(self) -> Command:
        scan = self._simulation.scan()
        inputs = self._look(scan)
        began_s = time.perf_counter()
        command = self._controller.act(inputs)
        tick_s = time.perf_counter() - began_s
        key = tick_bin(tick_s)
        self._record.planner_s += tick_s
        self._record.bins[key] = self._record.bins.get(key, 0) + 1
        self._record.risks.append((self._elapsed_s(), float(getattr(self._controller, "risk", math.nan))))
        self._add_moment(scan, command)
        return command

    def _drive(self, command: Command) -> str:
        """Follow a command for one control period; return how the episode ended, or an empty text."""
        simulation, step_s = self._simulation, self._case.drawn.world.step_s
        simulation.command(*self._capped(command))
        steps, measure = round(CONTROL_PERIOD_S / step_s), max(round(_MEASURE_S / step_s), 1)
        steering = self._steering
        steer = round(self._controller.steer_period_s / step_s) if steering else steps  # type: ignore[attr-defined]
        for step in range(1, steps + 1):
            simulation.step()
            if simulation.contact_events:
                self._measure(step % measure * step_s)
                return "contact"
            if step % measure == 0:
                self._measure(_MEASURE_S)
                if simulation.goal_distance() <= self._scenario.goal_tolerance_m:
                    return "success"
            if steering and step % max(steer, 1) == 0 and step < steps:
                self._steer()
        return "timeout" if self._elapsed_s() >= self._scenario.time_limit_s - 1e-6 else ""

    def _steer(self) -> None:
        odometry = self._simulation.odom()
        began_s = time.perf_counter()
        command = self._controller.steer(odometry.stamp_ns, odometry.pose, odometry.twist)  # type: ignore[attr-defined]
        self._record.planner_s += time.perf_counter() - began_s
        self._simulation.command(*self._capped(command))

    def _capped(self, command: Command) -> tuple[float, float]:
        """Return forward speed and yaw rate under the speed cap, which is the same for all planners."""
        cap = self._scenario.max_speed_mps
        return min(max(command.forward_mps, -cap), cap), command.yaw_rate_radps

    def _measure(self, duration_s: float) -> None:
        """Update clearances, intrusion and path length; ``duration_s`` is the time since the last call."""
        record, simulation = self._record, self._simulation
        pose, people = simulation.pose(), simulation.people()
        to_people_m = self._clearance.to_people(pose, people.positions)
        to_person_m = float(to_people_m.min(initial=math.inf))
        velocity = simulation.velocity_before_step()
        self._intrusion.add(to_people_m, pose[:2], velocity, people.positions, people.velocities, duration_s)
        record.nearest_person_m = min(record.nearest_person_m, to_person_m)
        record.nearest_m = min(record.nearest_m, to_person_m, self._clearance.to_solids(pose))
        record.path_m += float(np.hypot(*simulation.twist()[:2])) * duration_s

    def _people(self) -> People:
        state = self._simulation.people()
        c, s = math.cos(self._start[2]), math.sin(self._start[2])
        # The origin of the odom frame is the start pose.
        to_odom = np.array([[c, -s], [s, c]])
        positions = (state.positions - self._start[:2]) @ to_odom
        return People(positions, state.velocities @ to_odom, self._radii_m)

    def _people_ahead(self, ahead_s: Floats) -> Floats:
        """Return where everybody will be, as (k, n, 2) in the odom frame at times (k,) from now."""
        assert self._future is not None
        simulation = self._simulation
        pose, velocity = simulation.pose(), simulation.velocity_before_step()
        places = self._future.at((simulation.stamp_ns - START_NS) * 1e-9, ahead_s, pose[:2], velocity)
        return transform_points(relative(self._start, np.zeros(3)), places.reshape(-1, 2)).reshape(places.shape)

    def _outlines(self) -> tuple[Floats, ...]:
        from_world = relative(self._start, np.zeros(3))
        return tuple(transform_points(from_world, solid.outline()) for solid in self._case.drawn.world.solids)

    def _add_moment(self, scan: SimulatedScan, command: Command) -> None:
        simulation = self._simulation
        moment = (
            scan.stamp_ns, simulation.pose(), simulation.odom().pose, simulation.twist(), tuple(command),
            simulation.people().positions, scan.ranges,
        )  # fmt: skip
        if isinstance(self._controller, ImaginingController):
            self._record.imagined.append(self._controller.imagined)
        self._record.moments.append(moment)

    def _trace(self) -> Trace:
        stamps, poses, odometry, twists, commands, people, ranges = zip(*self._record.moments, strict=True)
        return Trace(
            np.array(stamps, np.int64), np.array(poses), np.array(odometry), np.array(twists), np.array(commands),
            np.array(people), np.array(ranges, np.float32), **_imagined(self._record.imagined, poses, odometry),
        )  # fmt: skip

    def _outcome(self, ending: str, error: str) -> EpisodeOutcome:
        record, simulation = self._record, self._simulation
        event = simulation.contact_events[0] if simulation.contact_events else None
        elapsed_s = self._elapsed_s()
        # A contact between two measurements would otherwise leave a positive clearance.
        near_m = 0.0 if event else record.nearest_m
        near_person_m = 0.0 if event and event.kind == "person" else record.nearest_person_m
        twists = np.array([moment[3] for moment in record.moments])
        return EpisodeOutcome(
            ending=ending,
            label=self._case.drawn.label,
            time_s=elapsed_s,
            path_m=record.path_m,
            min_distance_m=near_m,
            person_distance_m=near_person_m if len(self._radii_m) else math.nan,
            intrusion_s=sum(self._intrusion.intimate_s.values()),
            intrusion_by_robot_s=self._intrusion.intimate_s["robot"],
            near_s=sum(self._intrusion.personal_s.values()),
            near_by_robot_s=self._intrusion.personal_s["robot"],
            jerk=mean_jerk(twists, CONTROL_PERIOD_S),
            stops=stops(twists),
            freezing_s=freezing_s(twists, CONTROL_PERIOD_S),
            risk_counts=self._risk_counts(elapsed_s if event else None).to_json(),
            score=barn_score(ending == "success", elapsed_s, self._case.drawn.shortest_m),
            goal_distance_m=simulation.goal_distance(),
            touched=event.kind if event else "",
            contact_speed_mps=float(np.hypot(*simulation.velocity_before_step())) if event else math.nan,
            error=error,
            ticks=sum(record.bins.values()),
            tick_bins=record.bins,
            unfair_draws=self._case.unfair_draws,
            unsolved_draws=self._case.unsolved_draws,
            **self._regret(ending == "success", elapsed_s),
        )

    def _contact_figures(self, trace: Trace) -> dict[str, Any]:
        """Return who moved into whom, how fast and how hard, and whether the contact could have been avoided."""
        simulation, event = self._simulation, self._simulation.contact_events[0]
        is_person, people = event.kind == "person", simulation.people()
        theirs = people.velocities[event.other] if is_person else np.zeros(2)
        # A wall has no side of its own: the robot moved into it if it moved.
        velocity = simulation.velocity_before_step()
        towards = people.positions[event.other] - simulation.pose()[:2] if is_person else velocity
        contact = contact_of(velocity, theirs, towards, self._spec.mass_kg, is_person=is_person)
        world, cap_mps = self._case.drawn.world, self._scenario.max_speed_mps
        avoidable = could_be_avoided(trace, world, cap_mps, event.other if is_person else None)
        return {
            "contact_by": contact.by,
            "relative_mps": contact.relative_mps,
            "energy_j": contact.energy_j,
            "avoidable": float(avoidable),
        }

    def _risk_counts(self, contact_s: float | None) -> RiskCounts:
        times_s, risks = np.array(self._record.risks).reshape(-1, 2).T
        return RiskCounts.of_episode(times_s, risks, contact_s)

    def _regret(self, success: bool, elapsed_s: float) -> dict[str, Any]:
        """Return the figures of the clairvoyant and by how much this episode is worse."""
        solution = self._case.solution
        if solution is None:
            return {}
        later_s = elapsed_s - solution.time_s if success else math.nan
        return {"clairvoyant_s": solution.time_s, "regret_s": later_s, "regret_success": 0.0 if success else 1.0}


def _imagined(
    scenes: Sequence[ImaginedScene | None], poses: Sequence[Floats], odometry: Sequence[Floats]
) -> dict[str, Any]:
    """Return the fields of a trace about the imagined scenes at poses in the world and in the odom frame."""
    first = next((scene for scene in scenes if scene is not None), None)
    if first is None:
        return {}
    cells = np.zeros((len(scenes), *first.futures.shape[1:]), np.uint8)
    centres, plans = np.full((len(scenes), 3), np.nan), np.full((len(scenes), *first.path.shape), np.nan)
    for i, scene in enumerate(scenes):
        if scene is None:
            continue
        same = i > 0 and scenes[i - 1] is scene
        cells[i] = cells[i - 1] if same else np.rint(255.0 * scene.futures.max(axis=0))
        # Seen from the robot, so that the drift of the odometry does not shift the picture.
        to_world = compose(poses[i], relative(odometry[i], np.zeros(3)))
        centres[i], plans[i] = compose(to_world, scene.pose), transform_points(to_world, scene.path)
    return {"imagined": cells, "imagined_poses": centres, "plans": plans}


def run_episode(scenario: Scenario, index: int, controller: Controller) -> tuple[EpisodeOutcome, Trace]:
    """Drive episode ``index`` of a scenario."""
    return Episode(scenario, scenario.case(index), controller).run()
