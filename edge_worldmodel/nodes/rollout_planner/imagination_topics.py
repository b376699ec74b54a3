"""What the planner tells about its imagination, beside the plan itself: candidates, solution, what it expects."""

from __future__ import annotations

import dataclasses

import numpy as np
from nav_msgs.msg import OccupancyGrid
from visualization_msgs.msg import MarkerArray

import edge_worldmodel.msg as msg
from edge_worldmodel.core.planner.deliberation import Decision
from edge_worldmodel.core.types import RolloutSet
from edge_worldmodel.nodes.rollout_planner.markers import rollout_markers
from edge_worldmodel.nodes.rollout_planner.planning_job import Job
from edge_worldmodel.nodes.ros import convert
from edge_worldmodel.nodes.ros.convert_sensors import occupancy_to_msg
from edge_worldmodel.nodes.ros.managed_node import ManagedNode
from edge_worldmodel.nodes.ros.qos import LATCHED, LATEST


class ImaginationTopics:
    """Publishers that a node has for as long as it is configured."""

    def __init__(self, node: ManagedNode) -> None:
        self._rollouts = node.open_publisher(msg.RolloutSet, "planner/rollouts", LATEST)
        self._solutions = node.open_publisher(msg.LatentFrame, "planner/solution", LATEST)
        self._imagined = node.open_publisher(OccupancyGrid, "planner/imagined_occupancy", LATCHED)
        self._markers = node.open_publisher(MarkerArray, "planner/markers", LATEST)

    def publish(self, job: Job, decision: Decision) -> RolloutSet | None:
        """Send what was imagined, and what is expected next; return the candidates, None where a plan is re-used."""
        frame, expected = job.frame, decision.expected
        known = np.ones(expected.probability.shape, bool)
        self._imagined.publish(
            occupancy_to_msg(expected.probability, known, expected.pose, expected.stamp_ns, frame.frame_id)
        )
        if decision.output is None:
            return None
        rollouts = decision.output.rollout_set
        latency = dataclasses.replace(rollouts.latency, load_s=job.load_s, communication_s=job.communication_s)
        rollouts = dataclasses.replace(rollouts, latency=latency)
        # Hundreds of poses each: made only where somebody looks.
        if self._rollouts.get_subscription_count():
            self._rollouts.publish(convert.rollout_set_to_msg(rollouts))
        if self._markers.get_subscription_count():
            self._markers.publish(rollout_markers(rollouts, decision.plan))
        solution = dataclasses.replace(frame, tensor=decision.output.solution, obstacles=frame.obstacles[:0])
        self._solutions.publish(convert.latent_frame_to_msg(solution))
        return rollouts
