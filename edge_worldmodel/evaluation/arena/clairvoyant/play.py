"""Plays a planned drive in a private simulation of an episode, with a tracking controller that knows the true pose."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from edge_worldmodel.core.geometry import wrap_angle
from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.arena.clairvoyant.search import DT_S, SEGMENT_S, PlannedDrive
from edge_worldmodel.evaluation.controllers.controller import CONTROL_PERIOD_S
from edge_worldmodel.sim.simulation import CROWD_PERIOD_S, Simulation
from edge_worldmodel.sim.world import World

_MEASURE_S = 0.05
"""The arena looks so often whether the robot has arrived."""
_ALONG_HZ, _ASIDE_RADPM, _HEADING_HZ = 1.5, 3.0, 2.0
_MOTOR_LAG_S = 0.04


@dataclass(frozen=True)
class EpisodeSetup:
    """Everything that a drive depends on: world and seed, the speed cap, and the rules of the scenario."""

    world: World
    seed: int
    max_speed_mps: float
    observe_s: float
    time_limit_s: float
    goal_tolerance_m: float

    @property
    def people_react(self) -> bool:
        """Return whether the people walk otherwise if the robot drives otherwise; step-outs do not count."""
        return self.world.crowd.reacts_to_robot and any(person.attentive for person in self.world.people)


@dataclass(frozen=True)
class PlayedDrive:
    """A drive up to its arrival, its first contact or the end of the time.

    Attributes:
        commands: (n, 2), one per control period.
        states: (n + 1, 5: x, y, yaw, v, w) before each of them and at the end.
        robot_states: (m, 4) position and velocity every CROWD_PERIOD_S from the beginning of the simulation.
        drive_ticks: how many of the commands are those of the last planned drive.
        arrived: whether it arrived without a contact.
        time_s: duration on the clock of the episode.
        path_m: length.
    """

    commands: Floats
    states: Floats
    robot_states: Floats
    drive_ticks: int = 0
    arrived: bool = False
    time_s: float = 0.0
    path_m: float = 0.0

    @classmethod
    def nothing(cls, world: World) -> PlayedDrive:
        """Return a drive that has not begun."""
        start = np.array(world.robots[0].start)
        return cls(np.empty((0, 2)), np.append(start, (0.0, 0.0))[None], np.empty((0, 4)))

    @property
    def ticks(self) -> int:
        """Return how many control periods it has."""
        return len(self.commands)

    def until(self, ticks: int) -> PlayedDrive:
        """Return its beginning."""
        ticks = max(ticks, 0)
        return replace(self, commands=self.commands[:ticks], states=self.states[: ticks + 1])


def play(setup: EpisodeSetup, commands: Floats, drive: PlannedDrive) -> PlayedDrive:
    """Give commands (n, 2), then follow a planned drive."""
    simulation = Simulation(setup.world, setup.seed)
    given, states, robot_states = list(map(tuple, commands.tolist())), [], []
    step_s, path_m, tick, arrived, time_s = setup.world.step_s, 0.0, 0, False, setup.time_limit_s
    crowd_steps, measure_steps = round(CROWD_PERIOD_S / step_s), round(_MEASURE_S / step_s)
    begin = round(setup.observe_s / step_s)
    for step in range(begin + round(setup.time_limit_s / step_s)):
        driven = step - begin
        if driven >= 0 and driven % round(CONTROL_PERIOD_S / step_s) == 0:
            states.append(_state(simulation))
            if tick == len(given):
                after_s = CONTROL_PERIOD_S * (tick - len(commands))
                given.append(_tracking(drive, after_s, simulation.pose(), setup.max_speed_mps))
            simulation.command(*given[tick])
            tick += 1
        if step % crowd_steps == 0:
            robot_states.append(_moving_point(_state(simulation)))
        simulation.step()
        if simulation.contact_events:
            break
        if driven >= 0 and (driven + 1) % measure_steps == 0:
            path_m += float(np.hypot(*simulation.twist()[:2])) * _MEASURE_S
            if simulation.goal_distance() <= setup.goal_tolerance_m:
                arrived, time_s = True, (driven + 1) * step_s
                break
    states.append(_state(simulation))
    return PlayedDrive(
        commands=np.array(given[:tick]).reshape(-1, 2),
        states=np.array(states),
        robot_states=np.array(robot_states),
        drive_ticks=max(tick - len(commands), 0),
        arrived=arrived,
        time_s=time_s,
        path_m=path_m,
    )


def _state(simulation: Simulation) -> Floats:
    twist = simulation.twist()
    return np.array([*simulation.pose(), twist[0], twist[2]])


def _moving_point(state: Floats) -> Floats:
    x, y, yaw, speed_mps, _ = state.tolist()
    return np.array([x, y, speed_mps * math.cos(yaw), speed_mps * math.sin(yaw)])


def _tracking(drive: PlannedDrive, time_s: float, pose: Floats, cap_mps: float) -> tuple[float, float]:
    """Return the planned command at a time, corrected by the deviation from the planned pose."""
    speed_mps, turn_radps = drive.commands[min(int(time_s / SEGMENT_S + 1e-6), len(drive.commands) - 1)].tolist()
    at = max(time_s - _MOTOR_LAG_S, 0.0) / DT_S
    before = min(int(at), len(drive.states) - 2)
    share = min(at - before, 1.0)
    wanted = (1.0 - share) * drive.states[before, :3] + share * drive.states[before + 1, :3]
    c, s = math.cos(pose[2]), math.sin(pose[2])
    dx, dy = (wanted[:2] - pose[:2]).tolist()
    along_m, aside_m, turned_rad = c * dx + s * dy, c * dy - s * dx, float(wrap_angle(wanted[2] - pose[2]))
    forward_mps = speed_mps + _ALONG_HZ * along_m
    turn_radps += _ASIDE_RADPM * aside_m * math.copysign(min(abs(speed_mps), 1.0), speed_mps) + _HEADING_HZ * turned_rad
    return min(max(forward_mps, -cap_mps), cap_mps), turn_radps
