"""A robot with brakes, a scanner and walls, and a person who walks: what happens when they meet."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edge_worldmodel.core.geometry import compose, points_in_frame, transform_points
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.motion.braking import arc_pose
from edge_worldmodel.core.sweep import Sweep

from .supervised_robot import SupervisedRobot

PERSON_RADIUS_M = 0.25
_FAR_M = 12.0


@dataclass
class World:
    """Walls as pairs of ends (w, 2, 2) and posts as x, y, radius (p, 3)."""

    walls: np.ndarray = field(default_factory=lambda: np.empty((0, 2, 2)))
    posts: np.ndarray = field(default_factory=lambda: np.empty((0, 3)))

    def ranges(self, origin, angles, posts) -> np.ndarray:
        """Distance (n,) to the nearest surface in each direction."""
        ray = np.stack((np.cos(angles), np.sin(angles)), axis=-1)
        found = np.full(len(angles), _FAR_M)
        for start, end in self.walls - origin:
            edge = end - start
            across = ray[:, 0] * edge[1] - ray[:, 1] * edge[0]
            with np.errstate(divide="ignore", invalid="ignore"):
                far = (start[0] * edge[1] - start[1] * edge[0]) / across
                along = (start[0] * ray[:, 1] - start[1] * ray[:, 0]) / across
            found = np.where((far > 0.0) & (along >= 0.0) & (along <= 1.0), np.minimum(found, far), found)
        for x, y, radius in np.concatenate((self.posts, posts)):
            center = np.array((x, y)) - origin
            middle = ray @ center
            inside = radius**2 - (center @ center - middle**2)
            far = middle - np.sqrt(np.maximum(inside, 0.0))
            found = np.where((inside > 0.0) & (far > 0.0), np.minimum(found, far), found)
        return found


def scan_of(world, pose, people, stamp_ns, beams, noise_m, rng, fov_rad=2 * np.pi) -> Sweep:
    """A scan from a pose, all around or in a field of view ahead, with people as circles."""
    angles = np.linspace(-0.5 * fov_rad, 0.5 * fov_rad, beams, endpoint=False)
    bodies = np.column_stack((people[:, :2], np.full(len(people), PERSON_RADIUS_M)))
    ranges = world.ranges(pose[:2], angles + pose[2], bodies)
    hit = ranges < _FAR_M
    ranges = np.where(hit, ranges + noise_m * rng.standard_normal(beams), ranges)
    ends = ranges[:, None] * np.stack((np.cos(angles), np.sin(angles)), axis=-1)
    return Sweep(stamp_ns, np.zeros(2), ends, hit, echo=hit)


class MeetingRobot(SupervisedRobot):
    """The robot brakes no faster than its supervisor believes, and sees the world with a noisy scanner."""

    def __init__(self, config=None, twist=(1.0, 0.0, 0.0), world=None, scan_ticks=5, seed=0):
        super().__init__(config or SupervisorConfig(), twist)
        self.world, self.scan_ticks = world or World(), scan_ticks
        self.rng, self.people = np.random.default_rng(seed), np.empty((0, 4))
        self.limits, self.delayed, self.drives = set(), [], False

    def scan(self) -> Sweep:
        return scan_of(self.world, self.pose, self.people, self.ros_ns, 360, 0.03, self.rng)

    def step(self):
        # Scans come at their own rate: the base class asks for one every fifth tick.
        tick, self.tick = self.tick, 0 if self.tick % self.scan_ticks == 0 else 2 if self.tick % 2 == 0 else 1
        verdict = super().step()
        self.tick = tick + 1
        self.limits.update(verdict.limits)
        self._drive(verdict.command)
        self.people[:, :2] += 0.02 * self.people[:, 2:]
        return verdict

    def _drive(self, command) -> None:
        """The base follows a command after its reaction time and within its deceleration."""
        self.delayed.append(command.copy())
        if len(self.delayed) > round(self.config.reaction_time_s / 0.02):
            wanted = self.delayed.pop(0)
            brake = 0.02 * (1.0 - self.config.slip) * self.config.braking_deceleration_mps2
            change = wanted - self.moves
            change[:2] = np.clip(change[:2], -brake, 0.02 * self.config.max_acceleration_mps2)
            self.moves = self.moves + change

    def gap_m(self) -> float:
        """Distance between the nearest person and the footprint."""
        if not len(self.people):
            return np.inf
        seen = points_in_frame(self.pose, self.people[:, :2])
        return float(self.supervisor._gate.footprint.clearance(seen).min()) - PERSON_RADIUS_M

    def speed_at_contact(self, duration_s=3.5) -> float | None:
        """Drive on until a person touches the robot; the robot's speed then, None without contact."""
        for _ in range(round(duration_s / 0.02)):
            self.step()
            if self.gap_m() <= 0.0:
                return float(np.hypot(*self.moves[:2]))
        return None

    def person_who_meets_it(self, bearing, seen_m, speed_mps=1.6) -> None:
        """Put a person so far away who walks to where the robot would be at unchanged speed when they meet."""
        offset = (seen_m + PERSON_RADIUS_M + self.supervisor._gate.footprint.reach_m) * np.array(
            (np.cos(bearing), np.sin(bearing))
        )
        start = transform_points(self.pose, offset)
        times = np.linspace(0.05, 6.0, 600)
        robot = np.array([arc_end(self.pose, self.moves, t)[:2] for t in times])
        reach = np.hypot(*(robot - start).T) - speed_mps * times
        meet = robot[np.argmax(reach <= 0.0)] if (reach <= 0.0).any() else self.pose[:2]
        way = meet - start
        self.people = np.array([[*start, *(speed_mps * way / np.hypot(*way))]])


def arc_end(pose, twist, duration_s) -> np.ndarray:
    """Where a twist leads from a pose."""
    return compose(pose, arc_pose(twist, duration_s))
