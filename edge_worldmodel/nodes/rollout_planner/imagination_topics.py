"""The planner's topics beside the plan: candidates, solution, imagined occupancy and markers."""

from __future__ import annotations

import dataclasses

import numpy as np
from nav_msgs.msg import OccupancyGrid
from visualization_msgs.msg import MarkerArray

import edge_worldmodel.msg as msg
from edge_worldmodel.core.planner.deliberation import PlanningDecision
from edge_worldmodel.core.types import RolloutSet
from edge_worldmodel.nodes.rollout_planner.markers import rollout_markers
from edge_worldmodel.nodes.rollout_planner.planning_job import PlanningJob
from edge_worldmodel.nodes.ros import convert
from edge_worldmodel.nodes.ros.convert_sensors import occupancy_to_msg
from edge_worldmodel.nodes.ros.managed_node import ManagedNode
from edge_worldmodel.nodes.ros.qos import LATCHED, LATEST


class ImaginationTopics:
    """The publishers of these topics."""

    def __init__(self, node: ManagedNode) -> None:
        self._rollouts = node.open_publisher(msg.RolloutSet, "planner/rollouts", LATEST)
        self._solutions = node.open_publisher(msg.LatentFrame, "planner/solution", LATEST)
        self._imagined = node.open_publisher(OccupancyGrid, "planner/imagined_occupancy", LATCHED)
        self._markers = node.open_publisher(MarkerArray, "planner/markers", LATEST)

    def publish(self, job: PlanningJob, decision: PlanningDecision) -> RolloutSet | None:
        """Publish what was imagined for a job.

        Returns:
            The candidates with all latencies filled in; None where the last plan is used again.
        """
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
        # These messages hold hundreds of poses, so they are built only for subscribers.
        if self._rollouts.get_subscription_count():
            self._rollouts.publish(convert.rollout_set_to_msg(rollouts))
        if self._markers.get_subscription_count():
            self._markers.publish(rollout_markers(rollouts, decision.plan))
        solution = dataclasses.replace(frame, tensor=decision.output.solution, obstacles=frame.obstacles[:0])
        self._solutions.publish(convert.latent_frame_to_msg(solution))
        return rollouts
