"""Recorded people of whom some avoid the robots.

An attentive person wants to be where the recording has it; within some metres of a robot the velocity for that is
corrected by ORCA (van den Berg et al., 2011), which leaves half of the avoidance to the robot. The others, and walls,
are not avoided again: the recording has already done so.
"""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core.types import Floats, Mask
from edge_worldmodel.sim.crowds.crowd import CrowdState
from edge_worldmodel.sim.crowds.replay import ReplayedCrowd
from edge_worldmodel.sim.crowds.tracks import RecordedTracks
from edge_worldmodel.sim.fields import WorldError
from edge_worldmodel.sim.world import World

try:
    import pyrvo
except ImportError as error:
    raise WorldError("a replay that reacts to robots needs the package pyrvo (pip install pyrvo)") from error

_SEEN_M = 5.0
_HORIZON_S = 3.0
_RETURN_S = 1.0
"""People try to be back on their tracks within this time."""
_FASTEST_MPS = 2.0
_ON_TRACK_M = 0.01


class ReactingReplay:
    """People who move as recorded unless a robot is in their way."""

    def __init__(self, tracks: RecordedTracks, world: World) -> None:
        """Start at the first frame."""
        self._recorded = ReplayedCrowd(tracks)
        self._attentive: Mask = np.array([person.attentive for person in world.people], bool)
        self._radii = [person.radius_m for person in world.people]
        self._robot_radii = [robot.spec.radius_m + world.crowd.robot_margin_m for robot in world.robots]
        self.state = self._recorded.state

    def step(self, dt_s: float, robots: Floats) -> CrowdState:
        """Advance by ``dt_s`` with the robots at (r, 4: x, y, vx, vy)."""
        before, recorded = self.state, self._recorded.step(dt_s, robots)
        positions, velocities = recorded.positions.copy(), recorded.velocities.copy()
        present = np.isfinite(recorded.positions[:, 0]) & np.isfinite(before.positions[:, 0])
        for person in np.flatnonzero(self._attentive & present).tolist():
            here, wanted = before.positions[person], recorded.positions[person]
            near = np.hypot(*(robots[:, :2] - here).T) < _SEEN_M
            if not near.any() and np.hypot(*(wanted - here)) < _FASTEST_MPS * dt_s + _ON_TRACK_M:
                continue
            velocity = self._velocity(person, here, before.velocities[person], recorded, robots[near], dt_s)
            positions[person], velocities[person] = here + velocity * dt_s, velocity
        self.state = CrowdState(positions, velocities)
        return self.state

    def _velocity(
        self, person: int, here: Floats, velocity: Floats, recorded: CrowdState, robots: Floats, dt_s: float
    ) -> Floats:
        """Return the velocity (2,) of an attentive person who may be off the recorded track."""
        # On the track this is the recorded velocity.
        late = recorded.positions[person] - recorded.velocities[person] * dt_s - here
        preferred = recorded.velocities[person] + late / _RETURN_S
        preferred *= min(1.0, _FASTEST_MPS / max(float(np.hypot(*preferred)), 1e-9))
        if not len(robots):
            return np.asarray(preferred)
        sim = pyrvo.RVOSimulator()
        sim.set_time_step(dt_s)
        sim.set_agent_defaults(2 * _SEEN_M, len(robots), _HORIZON_S, _HORIZON_S, self._radii[person], _FASTEST_MPS)
        self._add(sim, here, np.nan_to_num(velocity), self._radii[person])
        sim.set_agent_pref_velocity(0, tuple(preferred.tolist()))
        for robot, radius_m in zip(robots, self._robot_radii, strict=False):
            sim.set_agent_pref_velocity(self._add(sim, robot[:2], robot[2:], radius_m), tuple(robot[2:].tolist()))
        sim.do_step()
        return np.array(sim.get_agent_velocity(0).to_tuple())

    @staticmethod
    def _add(sim: pyrvo.RVOSimulator, position: Floats, velocity: Floats, radius_m: float) -> int:
        agent = int(sim.add_agent(tuple(position.tolist())))
        sim.set_agent_velocity(agent, tuple(velocity.tolist()))
        sim.set_agent_radius(agent, radius_m)
        return agent
