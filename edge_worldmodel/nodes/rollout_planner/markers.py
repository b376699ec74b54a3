"""Markers of one tick for rviz: candidates coloured by risk, the plan on top, and the reason for it."""

from __future__ import annotations

import math

from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from edge_worldmodel.core.types import Floats, Plan, Rollout, RolloutSet
from edge_worldmodel.nodes.ros.convert import stamp_to_msg

_CANDIDATE_WIDTH_M = 0.02
_PLAN_WIDTH_M = 0.08
_TEXT_HEIGHT_M = 0.3
_PLAN_COLOUR = ColorRGBA(r=0.1, g=0.45, b=1.0, a=1.0)
_NOT_IMAGINED = ColorRGBA(r=0.5, g=0.5, b=0.5, a=0.4)
_TEXT_COLOUR = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)


def rollout_markers(rollouts: RolloutSet, plan: Plan) -> MarkerArray:
    """Return a line per candidate, a line for the plan and a text; they replace those of the last tick."""
    header = Header(stamp=stamp_to_msg(rollouts.stamp_ns), frame_id=rollouts.frame_id)
    clear = Marker(header=header, action=Marker.DELETEALL)
    lines = [
        _line(header, "candidates", index, rollout.trajectory.poses, _CANDIDATE_WIDTH_M, _risk_colour(rollout))
        for index, rollout in enumerate(rollouts.rollouts)
    ]
    chosen = _line(header, "plan", 0, plan.trajectory.poses, _PLAN_WIDTH_M, _PLAN_COLOUR)
    text = Marker(header=header, ns="reason", action=Marker.ADD, type=Marker.TEXT_VIEW_FACING, text=plan.reason)
    text.pose.position.x, text.pose.position.y = (float(v) for v in plan.trajectory.poses[0, :2])
    text.pose.position.z = 1.0
    text.scale.z = _TEXT_HEIGHT_M
    text.color = _TEXT_COLOUR
    return MarkerArray(markers=[clear, *lines, chosen, text])


def _line(header: Header, namespace: str, index: int, poses: Floats, width_m: float, colour: ColorRGBA) -> Marker:
    marker = Marker(header=header, ns=namespace, id=index, action=Marker.ADD, type=Marker.LINE_STRIP, color=colour)
    marker.pose.orientation.w = 1.0
    marker.scale.x = width_m
    marker.points = [Point(x=float(x), y=float(y), z=0.05) for x, y, _ in poses]
    return marker


def _risk_colour(rollout: Rollout) -> ColorRGBA:
    """Return green at risk 0, yellow at 0.5, red at 1; grey where nothing was imagined."""
    if math.isnan(rollout.risk):
        return _NOT_IMAGINED
    risk = min(max(rollout.risk, 0.0), 1.0)
    return ColorRGBA(r=min(1.0, 2.0 * risk), g=min(1.0, 2.0 - 2.0 * risk), b=0.1, a=0.8)
