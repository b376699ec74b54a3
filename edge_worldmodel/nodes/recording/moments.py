"""Selects the moment of a run that is most worth a picture, and gathers the overview of the run."""

from __future__ import annotations

import struct
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.errors import EdgeWorldModelError, InputError
from edge_worldmodel.core.geometry import transform_points, yaw_from_quaternion
from edge_worldmodel.core.tensors import HORIZON_STEP_S
from edge_worldmodel.core.time_units import NS_PER_S, to_nanoseconds, to_seconds
from edge_worldmodel.core.types import Points, Pose
from edge_worldmodel.nodes.ros import convert
from edge_worldmodel.nodes.ros.convert_sensors import sweep_from_scan_msg
from edge_worldmodel.recordings.playback import chain
from edge_worldmodel.recordings.records import Pose3D, Transform
from edge_worldmodel.recordings.snapshot import Moment, RunOverview

_NEWEST_ONLY = ("odom", "goal_pose", "supervisor/verdict")
_PEOPLE = "sim/people"
_BY_STAMP = ("perception/grid", "planner/rollouts", "planner/plan", "planner/imagined_occupancy")
_SCAN = "scan"
_STAMPS_KEPT = 12
_ODOMETRY_STRIDE = 10
_IMAGINED_AHEAD_NS = to_nanoseconds(HORIZON_STEP_S)
_STATES = ("starting", "active", "limiting", "stopping", "stopped", "hold", "landing", "latched", "estop")
_NEAR_M = 6.4
_STAMP_END = 12
"""In bytes from the beginning of a serialised message with a header."""
_NO_POINTS = np.zeros((0, 2))


class Moments:
    """Keeps the serialised messages that a picture needs and reads them only when ``examine`` is called.

    Args:
        base_frame: the base frame.
        read: turns (message type, bytes) into a message.
    """

    def __init__(self, base_frame: str, read: Callable[[str, bytes], Any]) -> None:
        self._read = read
        self.best: Moment | None = None
        self.overview = RunOverview()
        self._base_frame = base_frame
        self._latest: dict[str, tuple[str, bytes]] = {}
        # by stamp, because the parts of one moment arrive at different times
        self._stamped: dict[str, OrderedDict[int, tuple[str, bytes]]] = {}
        self._people_messages: deque[tuple[str, bytes]] = deque(maxlen=_STAMPS_KEPT)
        self._odometry_count = 0
        self._mounts: dict[str, Transform] = {}
        self._begin_ns: int | None = None
        self._examined_ns = -1
        self._stop_noted = False

    def keep(self, topic: str, type_name: str, data: bytes) -> None:
        """Keep a message if the picture needs it; ``topic`` is its relative name."""
        if topic in _NEWEST_ONLY:
            self._latest[topic] = (type_name, data)
            self._odometry_count += topic == "odom"
            if topic == "odom" and self._odometry_count % _ODOMETRY_STRIDE == 1:
                self._note_pose(self._read(type_name, data))
        elif topic == _PEOPLE:
            self._people_messages.append((type_name, data))
        elif topic in _BY_STAMP or topic == _SCAN:
            by_stamp = self._stamped.setdefault(topic, OrderedDict())
            by_stamp[header_stamp_ns(data)] = (type_name, data)
            if len(by_stamp) > _STAMPS_KEPT:
                by_stamp.popitem(last=False)
        elif topic == "tf_static":
            for item in self._read(type_name, data).transforms:
                t, q = item.transform.translation, item.transform.rotation
                pose = Pose3D((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))
                self._mounts[item.child_frame_id] = Transform(item.header.frame_id, item.child_frame_id, pose, True)

    def note_stop(self) -> None:
        """Mark the next position of the robot as one where the supervisor stopped it."""
        self._stop_noted = True

    def examine(self) -> None:
        """Add to the overview, and keep the newest moment if it is more interesting than the best one."""
        try:
            self.overview.add_people(self._people(None))
            moment = self._newest()
        except (EdgeWorldModelError, ValueError, IndexError):
            return  # a malformed message is no reason to stop recording
        if moment is None:
            return
        self.overview.add_hits(moment.scan_points)
        if self.best is None or moment.interest() > self.best.interest():
            self.best = moment

    def _note_pose(self, odometry: Any) -> None:
        pose = convert.pose_from_msg(odometry.pose.pose)
        now_ns = convert.stamp_from_msg(odometry.header.stamp)
        self._begin_ns = now_ns if self._begin_ns is None else self._begin_ns
        self.overview.add_pose(to_seconds(now_ns - self._begin_ns), float(pose[0]), float(pose[1]))
        if self._stop_noted:
            self.overview.stops.append((float(pose[0]), float(pose[1])))
            self._stop_noted = False

    def _newest(self) -> Moment | None:
        """Return the newest complete moment that was not examined before."""
        for stamp_ns in reversed(self._stamped.get("planner/rollouts", {})):
            if stamp_ns <= self._examined_ns:
                return None
            rollouts, grid = self._at("planner/rollouts", stamp_ns), self._at("perception/grid", stamp_ns)
            imagined = self._at("planner/imagined_occupancy", stamp_ns + _IMAGINED_AHEAD_NS)
            if grid is not None and imagined is not None and rollouts.rollouts:
                self._examined_ns = stamp_ns
                return self._moment(stamp_ns, rollouts, grid, imagined)
        return None

    def _moment(self, stamp_ns: int, rollouts: Any, grid: Any, imagined: Any) -> Moment:
        candidates = np.array([_planar(rollout.poses) for rollout in rollouts.rollouts])
        ego = candidates[0, 0]
        plan = self._at("planner/plan", stamp_ns)
        chosen = max(rollouts.selected, 0)
        odometry, goal, verdict = (self._message(t) for t in ("odom", "goal_pose", "supervisor/verdict"))
        speed = (0.0, 0.0) if odometry is None else (odometry.twist.twist.linear.x, odometry.twist.twist.linear.y)
        people = self._people(stamp_ns)
        near = np.hypot(*(people - ego[:2]).T) < _NEAR_M
        return Moment(
            time_s=to_seconds(stamp_ns - (self._begin_ns or stamp_ns)),
            ego=ego,
            speed_mps=float(np.hypot(*speed)),
            grid=_cells(grid),
            grid_pose=convert.pose_from_msg(grid.info.origin),
            imagined=_cells(imagined),
            imagined_pose=convert.pose_from_msg(imagined.info.origin),
            imagined_after_s=to_seconds(_IMAGINED_AHEAD_NS),
            cell_size_m=float(grid.info.resolution),
            candidates=candidates,
            risks=np.array([rollout.risk for rollout in rollouts.rollouts]),
            names=np.array([rollout.name for rollout in rollouts.rollouts]),
            selected=int(rollouts.selected),
            plan=candidates[chosen] if plan is None else _planar(plan.poses),
            plan_risk=float(rollouts.rollouts[chosen].risk if plan is None else plan.risk),
            goal=np.zeros(0) if goal is None else convert.pose_from_msg(goal.pose),
            scan_points=self._scan_points(stamp_ns, ego),
            people=people[near],
            reason=rollouts.reason,
            verdict=""
            if verdict is None
            else f"{_STATES[verdict.state % len(_STATES)]}: {verdict.reason or 'free to go'}",
        )

    def _scan_points(self, stamp_ns: int, ego: Pose) -> Points:
        """Return the hits of the scan with this stamp, in the odom frame."""
        message = self._at(_SCAN, stamp_ns)
        if message is None:
            return _NO_POINTS
        mount = chain(self._mounts, self._base_frame, message.header.frame_id)
        sweep = sweep_from_scan_msg(message, np.eye(4) if mount is None else mount.matrix())
        return transform_points(ego, sweep.endpoints[sweep.hit])

    def _people(self, stamp_ns: int | None) -> Points:
        """Return the positions of people at a time, or the newest ones."""
        for type_name, data in reversed(self._people_messages):
            markers = [marker for marker in self._read(type_name, data).markers if marker.action == marker.ADD]
            if markers and (stamp_ns is None or convert.stamp_from_msg(markers[0].header.stamp) <= stamp_ns):
                return np.array([(m.pose.position.x, m.pose.position.y) for m in markers])
        return _NO_POINTS

    def _message(self, topic: str) -> Any:
        kept = self._latest.get(topic)
        return None if kept is None else self._read(*kept)

    def _at(self, topic: str, stamp_ns: int) -> Any:
        kept = self._stamped[topic].get(stamp_ns) if topic in self._stamped else None
        return None if kept is None else self._read(*kept)


def header_stamp_ns(data: bytes) -> int:
    """Return the stamp of a serialised message that begins with a header, which follows four bytes of CDR.

    Raises:
        InputError: the data is too short for a stamp.
    """
    if len(data) < _STAMP_END:
        raise InputError(f"{len(data)} bytes have no stamp")
    order = "<" if data[1] & 1 else ">"
    seconds, nanoseconds = struct.unpack_from(f"{order}iI", data, 4)
    return int(seconds) * NS_PER_S + int(nanoseconds)


def _planar(poses: Any) -> Pose:
    """Return pose messages as (n, 3)."""
    parts = [
        (p.position.x, p.position.y, p.orientation.x, p.orientation.y, p.orientation.z, p.orientation.w) for p in poses
    ]
    columns = np.array(parts).reshape(-1, 6).T
    return np.stack((columns[0], columns[1], yaw_from_quaternion(*columns[2:])), axis=-1)


def _cells(message: Any) -> NDArray[np.float32]:
    """Return the occupancy of a grid message in 0..1, NaN where unknown."""
    cells = np.frombuffer(message.data, dtype=np.int8).reshape(message.info.height, message.info.width)
    return np.where(cells < 0, np.nan, cells / 100.0).astype(np.float32)
