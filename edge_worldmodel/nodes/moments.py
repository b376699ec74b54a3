"""Keeps the newest message of each kind and, looking now and then, the moment most worth a picture."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from rclpy.serialization import deserialize_message

from edge_worldmodel.core.errors import EdgeWorldModelError
from edge_worldmodel.core.geometry import transform_points
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.types import Floats, Plan, RolloutSet
from edge_worldmodel.nodes import convert
from edge_worldmodel.nodes.convert_sensors import sweep_from_scan_msg
from edge_worldmodel.nodes.snapshot import Journey, Moment
from edge_worldmodel.sim.recordings.playback import chain
from edge_worldmodel.sim.recordings.records import Pose3D, Transform

_KEPT = (
    "odom", "goal_pose", "perception/grid", "planner/rollouts", "planner/plan", "planner/imagined_occupancy",
    "supervisor/verdict", "sim/people",
)  # fmt: skip
_SCANS_KEPT = 6
_STATES = ("starting", "active", "limiting", "stopping", "stopped", "hold", "landing", "latched", "estop")
_NOTHING = np.zeros((0, 2))


class Moments:
    """Fed with every serialised message; converts only when ``look`` is called."""

    def __init__(self, base_frame: str) -> None:
        self.best: Moment | None = None
        self.journey = Journey()
        self._base_frame = base_frame
        self._latest: dict[str, tuple[bytes, Any]] = {}
        self._scans: deque[tuple[bytes, Any]] = deque(maxlen=_SCANS_KEPT)
        self._mounts: dict[str, Transform] = {}
        self._begin_ns: int | None = None
        self._looked_at: int = -1
        self._stop_noted = False

    def keep(self, topic: str, data: bytes, kind: Any) -> None:
        """Remember a message of a topic (relative name) if the picture needs it."""
        if topic in _KEPT:
            self._latest[topic] = (data, kind)
        elif topic.startswith("scan"):
            self._scans.append((data, kind))
        elif topic == "tf_static":
            for item in deserialize_message(data, kind).transforms:
                t, q = item.transform.translation, item.transform.rotation
                pose = Pose3D((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))
                self._mounts[item.child_frame_id] = Transform(item.header.frame_id, item.child_frame_id, pose, True)

    def note_stop(self) -> None:
        """Mark the robot's place as one where the supervisor stopped it."""
        self._stop_noted = True

    def look(self) -> None:
        """Note the way so far and keep the present moment if it beats the best one."""
        odometry = self._message("odom")
        if odometry is None:
            return
        try:
            self._look(odometry)
        except (EdgeWorldModelError, ValueError, IndexError):
            # a picture is not worth more than a malformed message deserves
            return

    def _look(self, odometry: Any) -> None:
        pose = convert.pose_from_msg(odometry.pose.pose)
        speed_mps = float(np.hypot(odometry.twist.twist.linear.x, odometry.twist.twist.linear.y))
        now_ns = convert.stamp_from_msg(odometry.header.stamp)
        self._begin_ns = now_ns if self._begin_ns is None else self._begin_ns
        self.journey.add_pose((now_ns - self._begin_ns) * 1e-9, float(pose[0]), float(pose[1]))
        if self._stop_noted:
            self.journey.stops.append((float(pose[0]), float(pose[1])))
            self._stop_noted = False
        people = self._people()
        self.journey.add_people(people)
        rollouts = self._message("planner/rollouts")
        if rollouts is None or int(rollouts.sequence) == self._looked_at or not rollouts.rollouts:
            return
        self._looked_at = int(rollouts.sequence)
        rollout_set = convert.rollout_set_from_msg(rollouts)
        points = self._scan_points(rollout_set)
        self.journey.add_hits(points)
        moment = self._moment(rollout_set, speed_mps, points, people)
        if moment is not None and (self.best is None or moment.interest() > self.best.interest()):
            self.best = moment

    def _moment(self, rollouts: RolloutSet, speed_mps: float, points: Floats, people: Floats) -> Moment | None:
        grid, imagined, plan_message = (
            self._message(t) for t in ("perception/grid", "planner/imagined_occupancy", "planner/plan")
        )
        if grid is None or imagined is None or plan_message is None:
            return None
        plan: Plan = convert.plan_from_msg(plan_message)
        candidates = np.array([rollout.trajectory.poses for rollout in rollouts.rollouts])
        ego = candidates[0, 0]
        goal, verdict = self._message("goal_pose"), self._message("supervisor/verdict")
        imagined_ns = convert.stamp_from_msg(imagined.header.stamp)
        near = np.hypot(*(people - ego[:2]).T) < 6.4 if len(people) else np.zeros(0, bool)
        return Moment(
            time_s=(rollouts.stamp_ns - (self._begin_ns or 0)) * 1e-9,
            ego=ego,
            speed_mps=speed_mps,
            grid=_cells(grid),
            grid_pose=_grid_pose(grid),
            imagined=_cells(imagined),
            imagined_pose=_grid_pose(imagined),
            imagined_after_s=(imagined_ns - rollouts.stamp_ns) * 1e-9,
            cell_size_m=float(grid.info.resolution),
            candidates=candidates,
            risks=np.array([rollout.risk for rollout in rollouts.rollouts]),
            names=np.array([rollout.name for rollout in rollouts.rollouts]),
            selected=rollouts.selected,
            plan=plan.trajectory.poses,
            plan_risk=plan.risk,
            goal=np.zeros(0) if goal is None else convert.pose_from_msg(goal.pose),
            scan_points=points,
            people=people[near],
            reason=rollouts.reason or plan.reason,
            verdict=""
            if verdict is None
            else f"{_STATES[verdict.state % len(_STATES)]}: {verdict.reason or 'free to go'}",
        )

    def _scan_points(self, rollouts: RolloutSet) -> Floats:
        """Return where the scans of the imagined moment ended, in the odom frame."""
        ego, points = rollouts.rollouts[0].trajectory.poses[0], [_NOTHING]
        for data, kind in self._scans:
            message = deserialize_message(data, kind)
            if convert.stamp_from_msg(message.header.stamp) == rollouts.stamp_ns:
                mount = chain(self._mounts, self._base_frame, message.header.frame_id)
                sweep: Sweep = sweep_from_scan_msg(message, np.zeros(3) if mount is None else mount.planar())
                points.append(transform_points(ego, sweep.endpoints[sweep.hit]))
        return np.concatenate(points)

    def _people(self) -> Floats:
        message = self._message("sim/people")
        markers = [] if message is None else [marker for marker in message.markers if marker.action == marker.ADD]
        return np.array([(m.pose.position.x, m.pose.position.y) for m in markers]).reshape(-1, 2)

    def _message(self, topic: str) -> Any:
        kept = self._latest.get(topic)
        return None if kept is None else deserialize_message(*kept)


def _cells(message: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return occupancy in 0..1, NaN where unknown."""
    cells = np.frombuffer(message.data, dtype=np.int8).reshape(message.info.height, message.info.width)
    return np.where(cells < 0, np.nan, cells / 100.0).astype(np.float32)


def _grid_pose(message: Any) -> Floats:
    """Return the pose of the grid's lower corner."""
    return convert.pose_from_msg(message.info.origin)
