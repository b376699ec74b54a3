"""Candidate maneuvers with their trajectories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core.planner.robot_limits import POSES_PER_FRAME
from edge_worldmodel.core.types import Pose, Twist


@dataclass(frozen=True)
class Candidates:
    """Maneuvers rolled out from the present.

    Attributes:
        names: M names.
        poses: (M, T + 1, 3) in the present ego frame, at times DT_S apart.
        twists: (M, T + 1, 3) base twists at the same times.
    """

    names: tuple[str, ...]
    poses: Pose
    twists: Twist

    def __len__(self) -> int:
        """Return the number of maneuvers."""
        return len(self.names)

    def maneuver_tensor(self) -> Pose:
        """Return the ego poses (M, H, 3) at the imagined times."""
        return self.poses[:, POSES_PER_FRAME::POSES_PER_FRAME]

    def joined_with(self, others: Candidates) -> Candidates:
        """Return these candidates followed by others."""
        return Candidates(
            names=(*self.names, *others.names),
            poses=np.concatenate((self.poses, others.poses)),
            twists=np.concatenate((self.twists, others.twists)),
        )

    def pick(self, indices: list[int]) -> Candidates:
        """Return the candidates at ``indices``."""
        names = tuple(self.names[i] for i in indices)
        return Candidates(names=names, poses=self.poses[indices], twists=self.twists[indices])
